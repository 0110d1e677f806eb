"""A store.db on its way: marked, named once, and never over another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import StoreError
from deputize.core.records import Call
from deputize.store.keys.keyring import KeyRing
from deputize.store.sqlite import SqliteStore
from deputize.store.sqlite_arrival import arrival_of, begin_arrival, check_arrived, end_arrival, mark_arrival


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.open(tmp_path, environ={})


def filled(path: Path, ring: KeyRing, id: str, move: str) -> None:
    store = SqliteStore(begin_arrival(path), ring)
    store.append([Call(id=id, messages=[], response={})])
    store.close()
    mark_arrival(path, move)


def test_what_an_earlier_move_left_does_not_count(tmp_path: Path, ring: KeyRing) -> None:
    path = tmp_path / "store.db"
    assert not end_arrival(path, "move 1")
    check_arrived(path)
    filled(path, ring, "a", "move 1")
    filled(path, ring, "b", "move 2")
    with pytest.raises(StoreError, match=r"was not ended.*delete .*store\.db\.arriving"):
        check_arrived(path)
    assert not end_arrival(path, "move 1") and not path.exists()
    assert end_arrival(path, "move 2") and end_arrival(path, "move 2") and not arrival_of(path).exists()
    check_arrived(path)
    store = SqliteStore(path, ring)
    assert [c.id for c in store.calls()] == ["b"]
    store.close()
    with pytest.raises(StoreError, match="is there already, and nothing is moved over it"):
        begin_arrival(path)


def test_a_store_that_came_meanwhile_is_not_replaced(tmp_path: Path, ring: KeyRing) -> None:
    path = tmp_path / "store.db"
    filled(path, ring, "a", "move 1")
    SqliteStore(path, ring).close()
    with pytest.raises(StoreError, match="move it away"):
        end_arrival(path, "move 1")


def test_a_file_that_another_program_reads_is_not_called_whole(tmp_path: Path, ring: KeyRing) -> None:
    """A part of it is in SQLite's log, which a rename would leave behind."""
    path = tmp_path / "store.db"
    store = SqliteStore(begin_arrival(path), ring)
    store.append([Call(id=str(n), messages=[], response={}) for n in range(9)])
    reading = store.calls()
    next(reading)
    with pytest.raises(StoreError, match="is open in another program"):
        mark_arrival(path, "move 1")
    reading.close()  # type: ignore[attr-defined]
    store.close()
