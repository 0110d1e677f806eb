"""The questions that a host has answered, so that a recorded one costs it nothing when it is sent again."""

from __future__ import annotations

import time
from collections.abc import Callable

from deputize.specialists.serving.host_messages import MAX_AGE_S

MOST = 500_000
"""Ids in one generation, some 45 MB; beyond (1,700 questions a second over five minutes) the oldest are forgotten
early."""


class AnsweredOnce:
    """Ids of questions, kept for as long as their heads are taken: in two generations, the older one dropped whole."""

    def __init__(self, *, most: int = MOST, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock_s = most, clock_s
        self._now: set[bytes] = set()
        self._before: set[bytes] = set()
        self._began_s = clock_s()

    def __contains__(self, id_: bytes) -> bool:
        return id_ in self._now or id_ in self._before

    def add(self, id_: bytes) -> bool:
        """Notes a question; False where it was noted before."""
        if id_ in self:
            return False
        # a head may be MAX_AGE_S ahead and is taken until it is as old
        if self._clock_s() - self._began_s > 2 * MAX_AGE_S or len(self._now) >= self._most:
            self._before, self._now, self._began_s = self._now, set(), self._clock_s()
        self._now.add(id_)
        return True
