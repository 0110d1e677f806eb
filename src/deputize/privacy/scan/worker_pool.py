"""Looks for personal data in processes beside this one: what S2 spends its time on is independent from line to line.

Each of them makes the same detectors from the same recipe and is told lines through a pipe; nothing of a log touches
the disk or a command line. What they find does not depend on them, and one that ends is done without.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any, Self

from deputize.core.errors import MissingExtra
from deputize.privacy.scan.ensemble import DetectorEnsemble, EnsembleFindings
from deputize.privacy.standard_detectors import DetectorRecipe

MOST = 3
"""Other processes: each holds about half a GB of models."""
AHEAD = 2
"""Batches that each may have at once, so that none waits for the next."""
IDLE_S = 60
"""They end by themselves after so long without work, as they must where this process was killed."""


class WorkerPool:
    """The other processes; a context manager. They are started by the first batch."""

    def __init__(self, recipe: DetectorRecipe, numbers: bool = False, n: int | None = None) -> None:
        """
        Args:
            recipe: of the detectors.
            numbers: as of Standard.reader.
            n: how many; as many as this machine has cores left where None.

        Raises:
            MissingExtra: loky is not installed.
        """
        try:
            from loky import ProcessPoolExecutor, cpu_count
        except ImportError:
            raise MissingExtra.package("loky", "privacy") from None
        n = min(MOST, cpu_count() - 1) if n is None else n
        self._pool: Any = None
        if n > 0:
            self._pool = ProcessPoolExecutor(
                n,
                timeout=IDLE_S,
                initializer=_prepare,
                initargs=(recipe, numbers),
                env={"OMP_NUM_THREADS": "1"},
            )
        self._free = AHEAD * n
        """Batches that may be out at once; 0 where nobody is left to read them."""
        self._given: list[Future[EnsembleFindings]] = []

    def give(self, lines: Sequence[str], is_prose: Sequence[bool]) -> Future[EnsembleFindings] | None:
        """Has lines read elsewhere; None where nobody is free. The future fails where the process that had them ended."""
        self._given = [future for future in self._given if not future.done()]
        if len(self._given) >= self._free:
            return None
        try:
            future: Future[EnsembleFindings] = self._pool.submit(_read, lines, is_prose)
        except RuntimeError:  # a broken pool, or one that was shut down
            self._free = 0
            return None
        self._given.append(future)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)


_reader: DetectorEnsemble | None = None


def _prepare(recipe: DetectorRecipe, numbers: bool) -> None:
    """Runs in the other process."""
    global _reader
    # Ctrl-C is for the process that started this one, which ends it
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _reader = recipe.made().reader(numbers)


def _read(lines: Sequence[str], is_prose: Sequence[bool]) -> EnsembleFindings:
    if _reader is None:
        raise RuntimeError("the process was not prepared")
    return _reader.read(lines, is_prose)
