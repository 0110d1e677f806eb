"""Everything in the SQLite store as rows that another store takes over (store.moving)."""

from __future__ import annotations

import sqlite3

from deputize.store.moving import StoredCall, StoredFeedback, StoredKey, StoredRows, Tombstone
from deputize.store.sql import load_queries

_SQL = load_queries("sqlite")


def stored_rows(db: sqlite3.Connection) -> StoredRows:
    """The rows, inside a transaction of the caller; read from the database as they are taken."""
    return StoredRows(
        keys=(StoredKey(*row) for row in db.execute(_SQL["all_keys"])),
        calls=(StoredCall(*row) for row in db.execute(_SQL["all_calls"])),
        feedback=(StoredFeedback(*row) for row in db.execute(_SQL["all_feedback"])),
        tombstones=(Tombstone(*row) for row in db.execute(_SQL["tombstones"])),
    )
