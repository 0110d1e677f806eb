"""Rows of another store into an empty PostgreSQL store (store.moving), inside a transaction of the caller."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from deputize.core.errors import StoreError
from deputize.store.moving import StoredCall, StoredRows
from deputize.store.postgres_keys import written
from deputize.store.postgres_rows import stage
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


def _chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """Rows some thousand at a time."""
    rest = iter(rows)
    while chunk := list(islice(rest, _AT_ONCE)):
        yield chunk
