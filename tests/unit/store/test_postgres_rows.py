"""Rows of the PostgreSQL store: whoever changes one is found out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests import postgres_cluster

from deputize.core.errors import Tampered
from deputize.core.records import Call
from deputize.store.filing import episode_tombstone
from deputize.store.keys.keyring import KeyRing
from deputize.store.postgres import PostgresStore
from deputize.store.postgres_connection import connect, server_of
from deputize.store.postgres_keys import RowKeys
from deputize.store.postgres_rows import (
    end_episodes,
    erase_feedback,
    feedback_row,
    old_feedback,
    opened_call,
    read_feedback,
    what_to_erase,
)
from deputize.store.sql import load_queries

ALL = {"since": 0.0, "agent": None, "tenant": None}
Change = Callable[[list[tuple[Any, ...]]], Any]
TAMPERING: dict[str, tuple[int, Change]] = {
    "a changed byte": (4, lambda rows: rows[0][4][:20] + b"\0" + rows[0][4][21:]),
    "a cut payload": (4, lambda rows: rows[0][4][:10]),
    "a payload of another call": (4, lambda rows: rows[1][4]),
    "another id": (0, lambda rows: rows[1][0]),
    "another schema": (3, lambda rows: 2),
    "another time": (1, lambda rows: 5.0),
    "another key": (2, lambda rows: rows[1][2]),
    "another tenant": (5, lambda rows: "x"),
    "another subject": (6, lambda rows: bytes(16)),
    "another month": (7, lambda rows: "1999-01"),
    "a key of another subject": (9, lambda rows: rows[1][9]),
}


def test_what_was_changed_in_the_database_is_noticed_and_can_be_erased(tmp_path: Path) -> None:
    ring, server = KeyRing.open(tmp_path, environ={}), server_of(postgres_cluster.options_for(tmp_path))
    store = PostgresStore(server, ring, clock=lambda: 1.7e9)
    store.append(
        [Call(id=o, messages=[], response={}, origin=o, episode=o, timestamp=1.0) for o in ("o_a", "o_b")]
    )
    store.append([Call(id="unnamed", messages=[], response={}, episode="o_b", timestamp=2.0)])
    store.add_feedback(episode="o_a", metric="m", value=1.0)
    store.add_feedback(episode="o_b", metric="m", value=2.0, tenant="x")
    store.close()
    sql = load_queries("postgres")
    with connect(server, 5.0) as db, db.transaction():
        db.execute(sql["scope"], {"scope": "*"})
        rows = db.execute(sql["calls"], ALL).fetchall()
        assert [opened_call(RowKeys(ring), row).id for row in rows] == ["o_a", "o_b", "unnamed"]
        for name, (place, change) in TAMPERING.items():
            row = list(rows[0])
            row[place] = change(rows)
            with pytest.raises(Tampered):
                opened_call(RowKeys(ring), tuple(row))
                raise AssertionError(name)
        assert what_to_erase(db, ring, "default", [rows[0][2]]) == ({"o_a"}, {"o_a"})
        db.execute("UPDATE calls SET payload = '' WHERE key = %s", [rows[0][2]])
        assert what_to_erase(db, ring, "default", [rows[0][2], rows[1][2]]) == ({"o_b"}, {"o_b"})
        told = list(read_feedback(db, RowKeys(ring)))
        assert [(seq, one.value) for seq, one in told] == [(1, 1.0), (2, 2.0)]
        assert feedback_row(12) == b"12"
        assert old_feedback(db, ring, "x", 1.8e9) == [2] and old_feedback(db, ring, "x", 1.7e9) == []
        erase_feedback(db, ring, "default", [], {"o_a", "o_b"})
        assert [seq for seq, _ in read_feedback(db, RowKeys(ring))] == [2], "another tenant's stays"
        assert end_episodes(db, ring, "default", {"o_a", "o_b", ""}, 7.0) == {"unnamed"}
        assert end_episodes(db, ring, "default", {"o_a", "o_b"}, 7.0) == set()
        buried = {(t, bytes(s)): at for t, s, at in db.execute(sql["tombstones"]).fetchall()}
        assert buried == {("default", episode_tombstone(ring, "default", e)): 7.0 for e in ("o_a", "o_b")}
        db.execute("UPDATE feedback SET seq = 1")
        with pytest.raises(Tampered):
            list(read_feedback(db, RowKeys(ring)))
    db.close()
