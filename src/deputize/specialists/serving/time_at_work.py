"""Seconds that a thread has spent at work, read from another thread while it works."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType


class TimeAtWork:
    """A context manager around the work of one thread; `total_s` counts work that is under way as well."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._state: tuple[float, float | None] = (0.0, None)
        """(seconds of what has ended, when what is under way began); one object, so that a reader sees both as they
        belong together."""

    def __enter__(self) -> None:
        self._state = (self._state[0], self._clock())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._state = (self.total_s(), None)

    def total_s(self) -> float:
        """Seconds at work so far."""
        ended_s, began = self._state
        return ended_s if began is None else ended_s + self._clock() - began
