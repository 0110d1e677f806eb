"""Predictions within a time limit: in chunks sized by the measured speed, none begun that would end too late."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from deputize.core.deadline import Clock, Deadline
from deputize.core.records import Prediction, Request
from deputize.specialists.base import Predictor

FIRST, CHUNK = 8, 64
"""Calls of the first chunk, which measures the speed, and of a chunk at most."""
CHUNK_S = 8.0
"""Seconds a chunk should take: what a limit may be overrun by, and how often progress moves."""


@dataclass
class TimedPredictor:
    """A predictor and the speed it has shown so far."""

    predictor: Predictor
    clock: Clock
    chunks: list[tuple[int, float]] = field(default_factory=list)
    """(calls, seconds) of each chunk that was answered."""

    @property
    def seconds_per_call(self) -> float:
        """Mean over all chunks but the first, which includes warming up; 0 where nothing was asked."""
        counted = self.chunks[1:] or self.chunks
        n = sum(calls for calls, _ in counted)
        return sum(seconds for _, seconds in counted) / n if n else 0.0

    def affordable(self, seconds: float) -> float:
        """Number of calls that fit into a time, at the measured speed; infinite where none was measured."""
        each = self.seconds_per_call
        return math.inf if each <= 1e-9 or math.isinf(seconds) else max(0.0, seconds / each)

    def predict_in_time(
        self,
        requests: Sequence[Request],
        deadline: Deadline,
        on_chunk: Callable[[int], None] = lambda done: None,
    ) -> list[Prediction]:
        """Predictions of the first requests: all of them, or as many as there is time for.

        A chunk is begun only where it is expected to end in time, so the deadline is overrun by one chunk at most.
        """
        out: list[Prediction] = []
        for chunk in self.chunks_in_time(len(requests), deadline):
            out += self.ask(requests[chunk.start : chunk.stop])
            on_chunk(len(out))
        return out

    def chunks_in_time(self, n_calls: int, deadline: Deadline) -> Iterator[range]:
        """Positions of calls to ask next, as long as there is time; each chunk is to be asked before the next is
        taken."""
        done = 0
        while done < n_calls:
            size = min(self._size(deadline.left_s()), n_calls - done)
            if size < 1:
                return
            yield range(done, done + size)
            done += size

    def ask(self, requests: Sequence[Request]) -> list[Prediction]:
        """Predictions of one chunk, timed."""
        if not requests:
            return []
        began = self.clock()
        predictions = self.predictor.predict(requests)
        self.chunks.append((len(requests), self.clock() - began))
        return predictions

    def _size(self, left_s: float) -> int:
        if left_s <= 0:
            return 0
        if not self.chunks:
            return FIRST
        wanted = min(CHUNK, max(FIRST, int(CHUNK_S / max(self.seconds_per_call, 1e-6))))
        return int(min(wanted, self.affordable(left_s)))
