"""Everything in the SQLite store, as another store takes it over."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import StoreError
from deputize.core.records import Call
from deputize.store.filing import episode_digest
from deputize.store.keys.keyring import KeyRing
from deputize.store.sqlite import SqliteStore


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    made = SqliteStore(tmp_path / "store.db", KeyRing.open(tmp_path, environ={}), busy_timeout_s=1.0)
    made.append(
        [Call(id=i, messages=[], response={}, origin=f"o_{i}", episode="f", timestamp=5.0) for i in "ab"]
    )
    made.add_feedback(episode="e", metric="m", value=1.0)
    made.erase("o_a")
    return made


def test_rows_are_sealed_and_whole(store: SqliteStore) -> None:
    with pytest.raises(RuntimeError, match="stop"), store.handed_over("there") as rows:
        keys, calls, feedback = list(rows.keys), list(rows.calls), list(rows.feedback)
        tombstones = list(rows.tombstones)
        raise RuntimeError("stop")
    assert [(key.tenant, key.month) for key in keys] == [("default", "1970-01"), ("default", keys[1].month)]
    assert [(call.time, call.payload is None, call.key == keys[0].id) for call in calls] == [
        (0.0, True, False),
        (5.0, False, True),
    ]
    assert [call.episode for call in calls] == [b"", episode_digest(store.keyring, "default", "f")]
    assert [(one.seq, one.key) for one in feedback] == [(1, keys[1].id)]
    assert sorted((one.tenant, one.n_calls) for one in tombstones) == [
        ("default", 0),
        ("default", 1),
    ], "of the episode, and of the person"
    assert store.count() == 1, "an error leaves the store as it was"
    store.close()


def test_a_store_that_was_left_says_where_its_calls_are(store: SqliteStore) -> None:
    other = SqliteStore(store.path, store.keyring)
    with store.handed_over("PostgreSQL calls at db"):
        pass
    for one in (store, other):
        with pytest.raises(StoreError, match="were moved to PostgreSQL calls at db"):
            one.append([Call(id="c", messages=[], response={})])
        one.close()
    with pytest.raises(StoreError, match="were moved to PostgreSQL calls at db"):
        SqliteStore(store.path, store.keyring)
