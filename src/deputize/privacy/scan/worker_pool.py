"""Looks for personal data on the workers of a runner: most of the time of curation is spent on it, line by line
independently.

Each worker makes its own detectors. The findings do not depend on the number of workers, and one that dies is not
needed: its lines are scanned in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Self, TypeAlias

from deputize.privacy.scan.ensemble import EnsembleFindings
from deputize.runner.base import SHARDS_PER_WORKER, Runner, WorkerLost

Batch: TypeAlias = tuple[Sequence[str], Sequence[bool]]
"""Lines, and for each whether it is prose."""


class WorkerPool:
    """Workers with detectors; a context manager. The first batch starts them."""

    def __init__(self, make: Callable[[], Callable[[Batch], EnsembleFindings]], runner: Runner) -> None:
        """
        Args:
            make: makes the search in each worker; can be pickled.
            runner: has the workers.
        """
        self._workers = runner.start(make)
        self._pending: list[Future[Any]] = []

    def submit(self, lines: Sequence[str], is_prose: Sequence[bool]) -> Future[EnsembleFindings] | None:
        """Gives a batch to a worker; None where all are busy. The future fails where the worker dies."""
        self._pending = [future for future in self._pending if not future.done()]
        if len(self._pending) >= SHARDS_PER_WORKER * self._workers.n:
            return None
        try:
            future: Future[EnsembleFindings] = self._workers.submit((lines, is_prose))
        except WorkerLost:
            return None
        self._pending.append(future)
        return future

    def __enter__(self) -> Self:
        self._workers.__enter__()
        return self

    def __exit__(self, *about: Any) -> None:
        self._workers.__exit__(*about)
