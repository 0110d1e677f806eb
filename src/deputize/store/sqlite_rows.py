"""Rows of the SQLite store: as calls, as what an erasure has to take, and as rows that go to another store or come from
one (store.moving). Inside a transaction of the caller."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from typing import Any

from deputize.core.errors import StoreError, Tampered
from deputize.core.records import Call
from deputize.store.codec import decode_call
from deputize.store.filing import episode_digest, episode_tombstone
from deputize.store.keys.data_keys import DataKey, subject_of
from deputize.store.keys.keyring import KeyRing
from deputize.store.moving import StoredCall, StoredFeedback, StoredKey, StoredRows, Tombstone
from deputize.store.sql import load_queries
from deputize.store.sqlite_keys import DataKeySnapshot

_SQL = load_queries("sqlite")
CALL = b"call"
"""Kind of a record, which a payload is bound to."""


def opened_call(key: DataKey, row: tuple[bytes, float, int, int, bytes]) -> Call:
    """The call of a row, its clear columns checked against what is sealed.

    Raises:
        Tampered: they do not agree, or the seal is broken.
    """
    id, at, _, schema, payload = row
    call = decode_call(key.decrypt(CALL, id, schema, payload))
    if (call.timestamp or 0.0) != at:
        raise Tampered(f"The stored call {id.hex()} was moved in time: its column and its seal disagree.")
    return call


def what_to_erase(
    db: sqlite3.Connection, reader: DataKeySnapshot, key_ids: Sequence[int]
) -> tuple[set[str], set[str]]:
    """Ids and episodes of the calls under these keys. A damaged record does not stand in the way of erasing it."""
    ids, episodes = set[str](), set[str]()
    for key_id in key_ids:
        for _, call in _calls(db, reader, _SQL["calls_of_key"], (key_id,)):
            ids.add(call.id)
            episodes |= {call.episode} - {""}
    return ids, episodes


def end_episodes(
    db: sqlite3.Connection, keyring: KeyRing, tenant: str, episodes: Collection[str], erased_at: float
) -> set[str]:
    """Erases the calls of episodes that name nobody, and takes none any more that was made before; ids of the erased
    ones."""
    reader, nobody = DataKeySnapshot(db, keyring), subject_of(keyring, tenant, "")
    found: dict[bytes, str] = {}
    for episode in set(episodes) - {""}:
        wanted = {"episode": episode_digest(keyring, tenant, episode), "tenant": tenant, "nobody": nobody}
        found |= {row: call.id for row, call in _calls(db, reader, _SQL["unnamed_calls"], wanted)}
        db.execute(_SQL["bury"], (tenant, episode_tombstone(keyring, tenant, episode), erased_at, 0))
    db.executemany(_SQL["erase_call"], ((row,) for row in found))
    return set(found.values())


def _calls(
    db: sqlite3.Connection, reader: DataKeySnapshot, query: str, wanted: tuple[int] | dict[str, Any]
) -> Iterator[tuple[bytes, Call]]:
    for row in db.execute(query, wanted):
        with suppress(Tampered):
            if (key := reader.get(row[2])) is not None:
                yield row[0], opened_call(key, row)


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
