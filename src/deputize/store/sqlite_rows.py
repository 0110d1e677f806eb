"""Everything in the SQLite store as rows that another store takes over, and rows of another store in an empty one
(store.moving)."""

from __future__ import annotations

import sqlite3

from deputize.core.errors import StoreError
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


def load_rows(db: sqlite3.Connection, rows: StoredRows) -> int:
    """Writes all rows inside a write transaction of the caller, one at a time.

    Returns:
        Calls that can be read.

    Raises:
        StoreError: the store is not empty.
    """
    if not db.execute(_SQL["is_empty"]).fetchone()[0]:
        raise StoreError("The store holds calls or keys already: nothing was moved into it.")
    db.executemany(_SQL["load_key"], rows.keys)
    db.executemany(_SQL["load_call"], rows.calls)
    db.executemany(_SQL["add_feedback"], rows.feedback)
    db.executemany(_SQL["bury"], rows.tombstones)
    return int(db.execute(_SQL["count"]).fetchone()[0])
