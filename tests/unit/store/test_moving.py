"""Which stores can be left, and which can begin with what another one held."""

from __future__ import annotations

from deputize.store.memory import MemoryStore
from deputize.store.moving import HandsOver, TakesOver
from deputize.store.postgres import PostgresStore
from deputize.store.sqlite import SqliteStore


def test_sqlite_is_left_for_postgres() -> None:
    assert issubclass(SqliteStore, HandsOver) and not issubclass(SqliteStore, TakesOver)
    assert issubclass(PostgresStore, TakesOver) and not issubclass(PostgresStore, HandsOver)
    assert not issubclass(MemoryStore, HandsOver | TakesOver)
