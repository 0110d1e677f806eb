"""Which stores can be left, and which can begin with what another one held."""

from __future__ import annotations

from deputize.store.memory import MemoryStore
from deputize.store.moving import HandsOver
from deputize.store.postgres import PostgresStore
from deputize.store.sqlite import SqliteStore


def test_stores_on_disk_can_be_left_and_moved_into() -> None:
    for store in (SqliteStore, PostgresStore):
        assert issubclass(store, HandsOver)
    assert not issubclass(MemoryStore, HandsOver)
