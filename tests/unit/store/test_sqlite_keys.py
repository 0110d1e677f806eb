"""Data keys of the SQLite store: one a subject and month, forgotten with a transaction that failed."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from deputize.store.keys.keyring import KeyRing
from deputize.store.sql import load_queries
from deputize.store.sqlite_keys import DataKeys, DataKeySnapshot


def test_a_key_is_made_once_and_read_from_a_snapshot(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    db = sqlite3.connect(":memory:")
    db.executescript(load_queries("sqlite")["schema"] + ";")
    keys = DataKeys(ring, size=1)
    keys.begin()
    key = keys.obtain(db, "default", "o_1", "2026-03")
    assert keys.obtain(db, "default", "o_1", "2026-03") is key
    other = keys.obtain(db, "default", "o_1", "2026-04")
    assert other.id != key.id and len(keys) == 1, "the cache is bounded"
    again = keys.obtain(db, "default", "o_1", "2026-03")
    assert again.id == key.id, "found in the database"
    sealed = key.encrypt(b"call", b"id", 1, b"text")
    snapshot = DataKeySnapshot(db, ring)
    found = snapshot.get(key.id)
    assert found is not None and found.decrypt(b"call", b"id", 1, sealed) == b"text"
    assert snapshot.get(99) is None
    keys.rolled_back()
    assert len(keys) == 0
    db.close()
