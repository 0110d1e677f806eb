"""Rows of another store into an empty PostgreSQL store, and the rows of one for another store (store.moving); inside a
transaction of the caller that holds the store alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from deputize.core.errors import StoreError
from deputize.store.filing import episode_digest
from deputize.store.keys.keyring import KeyRing
from deputize.store.moving import StoredCall, StoredFeedback, StoredKey, StoredRows, Tombstone
from deputize.store.postgres_keys import RowKeys, read_back, written
from deputize.store.postgres_rows import opened_call, stage
from deputize.store.postgres_schema import add_partitions
from deputize.store.sql import load_queries

if TYPE_CHECKING:
    from deputize.store.postgres_connection import Connection

_SQL = load_queries("postgres")
_AT_ONCE = 2000

T = TypeVar("T")


def load_rows(db: Connection, schema: str, rows: StoredRows) -> int:
    """Writes all rows; the transaction holds the store alone and sees every tenant.

    Returns:
        Calls that can be read.

    Raises:
        StoreError: the store is not empty.
    """
    found = db.execute(_SQL["is_empty"]).fetchone()
    if found is None or not found[0]:
        raise StoreError(
            f"The schema {schema} holds calls or keys already. Name another one, or drop it (DROP SCHEMA {schema} CASCADE)."
        )
    partitions: dict[int, tuple[str, str]] = {}
    with db.cursor() as cursor:
        for keys in _chunks(rows.keys):
            partitions |= {key.id: (key.tenant, key.month) for key in keys}
            cursor.executemany(_SQL["load_key"], [k._replace(tenant=written(k.tenant)) for k in keys])
        add_partitions(db, schema, set(partitions.values()))
        n_calls = sum(_load_calls(db, calls, partitions) for calls in _chunks(rows.calls))
        for feedback in _chunks(rows.feedback):
            cursor.executemany(_SQL["load_feedback"], feedback)
        for tombstones in _chunks(rows.tombstones):
            cursor.executemany(
                _SQL["load_tombstone"], [t._replace(tenant=written(t.tenant)) for t in tombstones]
            )
    db.execute(_SQL["number_keys"])
    db.execute(_SQL["number_feedback"])
    db.execute(_SQL["next_epoch"])
    return n_calls


def _load_calls(db: Connection, calls: list[StoredCall], partitions: dict[int, tuple[str, str]]) -> int:
    """Calls with a key into their partitions; of the erased ones the ids. Returns how many can be read."""
    readable = [(call, partitions[call.key]) for call in calls if call.payload and call.key in partitions]
    stage(
        db,
        (
            (
                n,
                call.id,
                written(tenant),
                month,
                call.time,
                call.agent,
                call.episode,
                call.key,
                call.schema,
                call.payload or b"",
            )
            for n, (call, (tenant, month)) in enumerate(readable)
        ),
    )
    n_added = db.execute(_SQL["add_calls"]).rowcount
    db.execute(_SQL["empty_staging"])
    kept = {call.id for call, _ in readable}
    with db.cursor() as cursor:
        cursor.executemany(_SQL["load_erased"], [(call.id,) for call in calls if call.id not in kept])
    return n_added


def stored_rows(db: Connection, keyring: KeyRing) -> StoredRows:
    """The rows of the whole store, read from the server as they are taken. Only calls from before version 3 of the
    tables are opened on the way, for the digests of their episodes."""
    return StoredRows(
        keys=(
            StoredKey(id, read_back(tenant), bytes(subject), month, by, bytes(wrapped))
            for id, tenant, subject, month, by, wrapped in _read(db, "hand_over_keys")
        ),
        calls=_calls(db, keyring),
        feedback=(
            StoredFeedback(seq, key, bytes(payload)) for seq, key, payload in _read(db, "hand_over_feedback")
        ),
        tombstones=(
            Tombstone(read_back(tenant), bytes(subject), erased_at, n_calls)
            for tenant, subject, erased_at, n_calls in _read(db, "hand_over_tombstones")
        ),
    )


def _calls(db: Connection, keyring: KeyRing) -> Iterator[StoredCall]:
    """Calls that can be read, then the ids of the erased ones."""
    keys = RowKeys(keyring)
    for id, at, agent, episode, key, schema, payload, *of_key in _read(db, "hand_over_calls"):
        if episode is None:
            call = opened_call(keys, (id, at, key, schema, payload, *of_key))
            episode = episode_digest(keyring, call.tenant, call.episode)
        yield StoredCall(bytes(id), at, bytes(agent), bytes(episode), key, schema, bytes(payload))
    for (id,) in _read(db, "hand_over_erased"):
        yield StoredCall(bytes(id), 0.0, b"", b"", 0, 0, None)


def _read(db: Connection, query: str) -> Iterator[tuple[Any, ...]]:
    """Rows of a query, some at a time, so that memory does not grow with the store."""
    with db.cursor(name=query, binary=True) as rows:
        rows.itersize = _AT_ONCE
        yield from rows.execute(_SQL[query])


def _chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """Rows some thousand at a time."""
    rest = iter(rows)
    while chunk := list(islice(rest, _AT_ONCE)):
        yield chunk
