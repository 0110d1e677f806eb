"""A store as a user would write one: the memory store, written in clear to one file after every change."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.records import Call, decode, encode
from deputize.store.base import Entry, Erased, Feedback
from deputize.store.memory import MemoryStore
from deputize.store.registry import StoreContext


class State(msgspec.Struct):
    """Everything the store holds, as one file."""

    calls: list[bytes] = msgspec.field(default_factory=list)
    feedback: list[tuple[bytes, str]] = msgspec.field(default_factory=list)
    erased_ids: list[str] = msgspec.field(default_factory=list)
    tombstones: list[tuple[str, str, str, float]] = msgspec.field(default_factory=list)


class FileStore(MemoryStore):
    """The memory store, written to one file after every change."""

    def __init__(self, path: Path, clock: object) -> None:
        super().__init__(clock=clock)  # type: ignore[arg-type]
        self._path = path
        if path.exists():
            state = msgspec.msgpack.decode(path.read_bytes(), type=State)
            self._calls = {c.id: c for c in (decode(data, Call) for data in state.calls)}
            self._feedback = [decode(data, Feedback) for data, _ in state.feedback]
            self._feedback_at = [month for _, month in state.feedback]
            self._erased_ids = set(state.erased_ids)
            self._tombstones = {(t, o, e): at for t, o, e, at in state.tombstones}

    def append_entries(self, entries: Sequence[Entry]) -> int:
        n_new = super().append_entries(entries)
        self._save()
        return n_new

    def add_feedback(self, **told: Any) -> None:
        super().add_feedback(**told)
        self._save()

    def erase(self, origin: str, *, tenant: str = "default") -> Erased:
        done = super().erase(origin, tenant=tenant)
        self._save()
        return done

    def erase_calls(
        self, call_ids: Collection[str], *, tenant: str = "default", episodes: Collection[str] = ()
    ) -> list[str]:
        gone = super().erase_calls(call_ids, tenant=tenant, episodes=episodes)
        self._save()
        return gone

    def expire(self, *, tenant: str, before: float) -> int:
        n_deleted = super().expire(tenant=tenant, before=before)
        self._save()
        return n_deleted

    def _save(self) -> None:
        with self._lock:
            told = zip(self._feedback, self._feedback_at, strict=True)
            state = State(
                calls=[encode(c) for c in self._calls.values()],
                feedback=[(encode(f), month) for f, month in told],
                erased_ids=sorted(self._erased_ids),
                tombstones=[(*who, at) for who, at in self._tombstones.items()],
            )
            self._path.write_bytes(msgspec.msgpack.encode(state))


def build(place: StoreContext) -> FileStore:
    return FileStore(place.folder / "store.file", place.clock)
