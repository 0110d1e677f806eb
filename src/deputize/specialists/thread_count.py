"""How many threads a model works with: all cores, or one where neighbours hold the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from deputize.specialists.torch_runtime import torch_module


class Threads:
    """How many threads the work in hand runs on: all cores, or one where neighbours hold the others.

    Two threads that share one free core wait for each other at every step and are slower than one alone, up to ten
    times; so both are measured as the work goes on, and the faster is kept.
    """

    def __init__(
        self, most: int, clock: Callable[[], float] = time.perf_counter, again_every: int = 24
    ) -> None:
        self.options = sorted({1, most})
        self._clock, self._again = clock, again_every
        self._rates: dict[int, float] = {}
        self._count = 0

    def pick(self) -> int:
        """The option to run with now: an unmeasured one, the best, or now and then the other."""
        for option in reversed(self.options):
            if option not in self._rates:
                return option
        best = max(self.options, key=lambda o: self._rates[o])
        self._count += 1
        return best if self._count % self._again else min(self.options, key=lambda o: self._rates[o])

    def record(self, option: int, rate: float) -> None:
        """Takes a measurement (work per second)."""
        before = self._rates.get(option, rate)
        self._rates[option] = 0.5 * before + 0.5 * rate

    @property
    def rate(self) -> float | None:
        """Work per second of the best option so far; None before anything was measured."""
        return max(self._rates.values(), default=None)

    @contextmanager
    def work(self, amount: float) -> Iterator[None]:
        """Runs the block on the picked number of threads; `amount` is its size, in any unit."""
        torch = torch_module()
        option = self.pick()
        if len(self.options) > 1:
            torch.set_num_threads(option)
        began = self._clock()
        yield
        self.record(option, amount / max(self._clock() - began, 1e-9))
