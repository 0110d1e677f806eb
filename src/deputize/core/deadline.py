"""Time budgets: one absolute end on a monotonic clock, from which every step takes its part."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

Clock: TypeAlias = Callable[[], float]
"""Seconds from an arbitrary start, never going back: time.monotonic, time.perf_counter, or a test's own."""


@dataclass(frozen=True)
class Deadline:
    """The moment at which work has to stop, or no limit at all."""

    at_s: float
    """Reading of the clock at the end; infinite where there is no limit."""
    clock: Clock = time.monotonic

    @classmethod
    def after(cls, seconds: float | None, clock: Clock = time.monotonic) -> Deadline:
        """The deadline this many seconds from now; None or infinity: no limit."""
        return cls(math.inf if seconds is None else clock() + seconds, clock)

    @property
    def is_limited(self) -> bool:
        """False where work may take as long as it needs."""
        return not math.isinf(self.at_s)

    @property
    def passed(self) -> bool:
        """True from the moment itself on."""
        return self.is_limited and self.clock() >= self.at_s

    def left_s(self) -> float:
        """Seconds left: 0 once it has passed, infinite without a limit."""
        return max(0.0, self.at_s - self.clock()) if self.is_limited else math.inf

    def part(self, share: float, *, least_s: float = 0.0) -> Deadline:
        """An earlier deadline: a share of the time left, of at least `least_s` seconds, but never later than this one.

        Without a limit the part has none either.

        Args:
            share: of the time left, in [0, 1].
            least_s: seconds that the part is given even where its share would be less.
        """
        if not self.is_limited:
            return self
        left_s = self.left_s()
        return Deadline(self.clock() + min(left_s, max(least_s, share * left_s)), self.clock)
