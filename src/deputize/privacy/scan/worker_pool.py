"""Looks for personal data in further processes: most of the time of curation is spent on it, line by line independently.

Each process makes its own detectors and receives lines through a pipe; nothing of a log is written to disk or to a
command line. The findings do not depend on the number of processes, and a process that dies is not needed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Self

from deputize.core.errors import MissingExtra
from deputize.privacy.scan.ensemble import DetectorEnsemble, EnsembleFindings

MAX_PROCESSES = 3
"""Each process holds about half a GB of models."""
BATCHES_PER_PROCESS = 2
"""Batches that a process may have at once, so that it never waits for the next one."""
IDLE_S = 60
"""A process without work for so long ends by itself, as it must where this process was killed."""


class WorkerPool:
    """Further processes; a context manager. The first batch starts them."""

    def __init__(self, make_ensemble: Callable[[], DetectorEnsemble], n_processes: int | None = None) -> None:
        """
        Args:
            make_ensemble: makes the detectors in each process; can be pickled.
            n_processes: how many; None: as many as this machine has further cores, at most MAX_PROCESSES.

        Raises:
            MissingExtra: loky is not installed.
        """
        try:
            from loky import ProcessPoolExecutor, cpu_count
        except ImportError:
            raise MissingExtra.package("loky", "privacy") from None
        n = min(MAX_PROCESSES, cpu_count() - 1) if n_processes is None else n_processes
        self._pool: Any = None
        if n > 0:
            self._pool = ProcessPoolExecutor(
                n,
                timeout=IDLE_S,
                initializer=_initialise,
                initargs=(make_ensemble,),
                env={"OMP_NUM_THREADS": "1"},
            )
        self._max_pending = BATCHES_PER_PROCESS * n
        """0 where no process is left."""
        self._pending: list[Future[EnsembleFindings]] = []

    def submit(self, lines: Sequence[str], is_prose: Sequence[bool]) -> Future[EnsembleFindings] | None:
        """Gives a batch to a process; None where all are busy. The future fails where the process dies."""
        self._pending = [future for future in self._pending if not future.done()]
        if len(self._pending) >= self._max_pending:
            return None
        try:
            future: Future[EnsembleFindings] = self._pool.submit(_detect, lines, is_prose)
        except RuntimeError:  # a broken pool, or one that was shut down
            self._max_pending = 0
            return None
        self._pending.append(future)
        return future

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)


_ensemble: DetectorEnsemble | None = None
"""Of this process, where it is one of a pool."""


def _initialise(make_ensemble: Callable[[], DetectorEnsemble]) -> None:
    """Runs first in each process of the pool."""
    global _ensemble
    # Ctrl-C is for the parent, which ends this process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _ensemble = make_ensemble()


def _detect(lines: Sequence[str], is_prose: Sequence[bool]) -> EnsembleFindings:
    if _ensemble is None:
        raise RuntimeError("the process was not initialised")
    return _ensemble.detect(lines, is_prose)
