"""Requests that wait for the thread that answers them, and the batches in which it takes them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from deputize.specialists.serving.frames import PredictReply, PredictRequest

WINDOW_S = 0.003
"""How long the first request of a batch waits for company."""
MAX_BATCH = 32
MAX_WAITING = 4096
"""Requests that wait at once; a further one is refused, so that the LLM answers at once instead of after a time
limit."""


@dataclass
class Pending:
    """One request on its way through."""

    ask: PredictRequest
    due: float
    """Monotonic seconds after which nobody waits."""
    reply: Callable[[PredictReply], None]
    is_open: bool = False
    """True once the first member of a cascade has left it to the others."""

    @property
    def arrived(self) -> float:
        """Monotonic seconds at which it came."""
        return self.due - self.ask.within_s


@dataclass
class Batcher:
    """Requests waiting for the model thread; the oldest decides which specialist is next."""

    max_batch: int = MAX_BATCH
    max_waiting: int = MAX_WAITING
    window_s: float = WINDOW_S
    clock: Callable[[], float] = time.monotonic
    wait_s: float = 0.0
    """Of all requests that were taken, from their arrival on; those of a cascade are taken twice."""
    n_taken: int = 0
    _waiting: list[Pending] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)
    _closed: bool = False

    def put(self, pending: Pending) -> None:
        """Adds a request; refuses it where too many wait."""
        with self._changed:
            if len(self._waiting) >= self.max_waiting:
                self._drop_overdue()
            if len(self._waiting) < self.max_waiting:
                self._waiting.append(pending)
                self._changed.notify()
                return
        pending.reply(PredictReply(id=pending.ask.id, error="too many requests wait for specialists"))

    def close(self) -> None:
        """Lets `take` return [] once nothing waits."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    @property
    def closed(self) -> bool:
        return self._closed

    @property
    def n_waiting(self) -> int:
        """Requests that wait now."""
        return len(self._waiting)

    def take(self, patience_s: float) -> list[Pending]:
        """The next batch, all of one specialist, oldest first; [] when none comes within patience or it is closed.

        Requests that nobody waits for any more are dropped unanswered.
        """
        with self._changed:
            if not self._waiting and not self._closed:
                self._changed.wait(patience_s)
            if not self._waiting:
                return []
            if self.window_s > 0 and not self._closed:
                end = self.clock() + self.window_s
                while len(self._waiting) < self.max_batch and (left := end - self.clock()) > 0:
                    self._changed.wait(left)
            self._drop_overdue()
            if not self._waiting:
                return []
            name = self._waiting[0].ask.specialist
            batch = [p for p in self._waiting if p.ask.specialist == name][: self.max_batch]
            chosen = {id(p) for p in batch}
            self._waiting = [p for p in self._waiting if id(p) not in chosen]
            self._count(batch)
            return batch

    def next_name(self) -> str:
        """The specialist that the oldest waiting request is for; "" where none waits."""
        with self._changed:
            self._drop_overdue()
            return self._waiting[0].ask.specialist if self._waiting else ""

    def take_next(self, name: str, most: int) -> list[Pending]:
        """The oldest requests as far as they are all for one specialist, at most so many; [] where the next is for
        another."""
        with self._changed:
            self._drop_overdue()
            n = 0
            while n < min(most, len(self._waiting)) and self._waiting[n].ask.specialist == name:
                n += 1
            batch, self._waiting = self._waiting[:n], self._waiting[n:]
            self._count(batch)
            return batch

    def _count(self, taken: list[Pending]) -> None:
        now = self.clock()
        self.wait_s += sum(max(0.0, now - pending.arrived) for pending in taken if pending.due > 0)
        self.n_taken += len(taken)

    def _drop_overdue(self) -> None:
        now = self.clock()
        self._waiting = [p for p in self._waiting if p.due > now]
