"""A store that forgets when the process ends; for tests and for trying things out. Same contract as the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence

from deputize.core.errors import BadInput
from deputize.core.records import Call, Message
from deputize.store.base import Entry, Erased, Feedback
from deputize.store.codec import Outcomes, checked_feedback, decode_call, entry_of, is_about
from deputize.store.keys.data_keys import month_of
from deputize.store.registry import StoreContext


class MemoryStore:
    """Keeps encoded calls in a dict, so that what comes out is what a file would have given."""

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._calls: dict[str, Call] = {}
        self._feedback: list[Feedback] = []
        self._feedback_at: list[str] = []
        """The month that each came in."""
        self._erased_ids: set[str] = set()
        self._tombstones: dict[tuple[str, str, str], float] = {}
        """(tenant, origin, "") of people, (tenant, "", episode) of what runs of theirs may still say -> Unix seconds."""

    def append(self, calls: Sequence[Call]) -> int:
        return self.append_entries([entry_of(call) for call in calls])

    def append_entries(self, entries: Sequence[Entry]) -> int:
        copies = [decode_call(entry.data) for entry in entries]
        with self._lock:
            for call in copies:
                if self._is_late(call) and call.origin and call.episode:
                    self._forget((), call.tenant, {call.episode})
            before = len(self._calls)
            for call in copies:
                if call.id not in self._erased_ids and not self._is_late(call):
                    self._calls.setdefault(call.id, call)
            return len(self._calls) - before

    def _is_late(self, call: Call) -> bool:
        """True for a call from before its origin was erased; of one that names nobody, before its episode was."""
        who = (call.origin, "" if call.origin else call.episode)
        erased_at = self._tombstones.get((call.tenant, *who))
        return erased_at is not None and (call.timestamp is None or call.timestamp <= erased_at)

    def calls(
        self, *, agent: str | None = None, since: float | None = None, tenant: str | None = None
    ) -> Iterator[Call]:
        with self._lock:
            kept = [
                c
                for c in self._calls.values()
                if (agent is None or c.agent == agent)
                and (tenant is None or c.tenant == tenant)
                and (since is None or (c.timestamp or 0.0) >= since)
            ]
            outcomes = Outcomes(self._feedback)
        kept.sort(key=lambda c: c.timestamp or 0.0)  # stable: equal times stay in the order they came
        yield from map(outcomes.merged, kept)

    def get(self, call_ids: Sequence[str]) -> Iterator[Call | None]:
        return (self._calls.get(id) for id in call_ids)

    def count(self) -> int:
        return len(self._calls)

    def add_feedback(
        self,
        *,
        episode: str = "",
        call_id: str = "",
        metric: str,
        value: float,
        tenant: str = "",
        correction: Message | None = None,
    ) -> None:
        one = checked_feedback(episode, call_id, metric, value, tenant, correction)
        with self._lock:
            self._feedback.append(one)
            self._feedback_at.append(month_of(self._clock()))

    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        if not origin:
            raise BadInput("An erasure needs an origin.")
        with self._lock:
            own = {i: c for i, c in self._calls.items() if (c.tenant, c.origin) == (tenant, origin)}
            gone = self._forget(own, tenant, {c.episode for c in own.values()})
            erased_at = self._tombstones[tenant, origin, ""] = self._clock()
        return Erased(tenant=tenant, origin=origin, erased_at=erased_at, call_ids=sorted(gone))

    def erase_calls(
        self, call_ids: Collection[str], *, tenant: str = "default", episodes: Collection[str] = ()
    ) -> list[str]:
        with self._lock:
            here = {i for i in call_ids if i in self._calls and self._calls[i].tenant == tenant}
            return sorted(self._forget(here, tenant, set(episodes)))

    def _forget(self, call_ids: Collection[str], tenant: str, episodes: set[str]) -> set[str]:
        """Erases calls, and of their episodes those that name nobody and what was said of them; ids of all."""
        episodes = episodes - {""}
        gone = {*call_ids} | {
            i for i, c in self._calls.items() if c.tenant == tenant and not c.origin and c.episode in episodes
        }
        self._calls = {i: c for i, c in self._calls.items() if i not in gone}
        self._keep_feedback(
            lambda f, _: f.tenant not in ("", tenant) or (f.episode not in episodes and f.call_id not in gone)
        )
        self._erased_ids |= gone
        self._tombstones |= {(tenant, "", episode): self._clock() for episode in episodes}
        return gone

    def erased(self, call_ids: Sequence[str]) -> set[str]:
        return self._erased_ids & set(call_ids)

    def gone(self, call_ids: Sequence[str]) -> set[str]:
        return {id for id in call_ids if id not in self._calls}

    def has_episode(self, tenant: str, episode: str) -> bool:
        with self._lock:
            return bool(episode) and any(
                (c.tenant, c.episode) == (tenant, episode) for c in self._calls.values()
            )

    def _keep_feedback(self, is_kept: Callable[[Feedback, str], bool]) -> None:
        told = [(f, m) for f, m in zip(self._feedback, self._feedback_at, strict=True) if is_kept(f, m)]
        self._feedback, self._feedback_at = [f for f, _ in told], [m for _, m in told]

    def tenants(self) -> list[str]:
        with self._lock:
            return sorted({c.tenant for c in self._calls.values()})

    def older(self, *, tenant: str, before: float) -> int:
        with self._lock:
            n_feedback = sum(
                is_about(f, tenant) and m < month_of(before)
                for f, m in zip(self._feedback, self._feedback_at, strict=True)
            )
            return n_feedback + sum(_is_older(c, tenant, before) for c in self._calls.values())

    def expire(self, *, tenant: str, before: float) -> int:
        with self._lock:
            n_before = len(self._calls)
            self._calls = {i: c for i, c in self._calls.items() if not _is_older(c, tenant, before)}
            self._keep_feedback(lambda f, month: not is_about(f, tenant) or month >= month_of(before))
            return n_before - len(self._calls)

    def rewrap(self) -> int:
        return 0  # nothing is encrypted

    def compact(self) -> bool:
        return True

    def close(self) -> None:
        """Nothing to give back."""


def build(place: StoreContext) -> MemoryStore:
    """As store.registry asks for it; every opening starts empty."""
    return MemoryStore(clock=place.clock)


def _is_older(call: Call, tenant: str, before: float) -> bool:
    return call.tenant == tenant and call.timestamp is not None and call.timestamp < before
