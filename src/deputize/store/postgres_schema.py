"""The tables of the PostgreSQL store: made on first use, and brought to a version and back
(sql/postgres_schema.sql)."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from typing import TYPE_CHECKING, Any

from deputize.core.errors import BadInput, StoreError
from deputize.store.keys.keyring import KeyRing
from deputize.store.postgres_connection import (
    PostgresServer,
    connect,
    psycopg_or_error,
    server_errors_in_words,
)
from deputize.store.postgres_keys import written
from deputize.store.sql import load_queries

if TYPE_CHECKING:
    from deputize.store.postgres_connection import Connection

_SQL = load_queries("postgres")
_STEPS = load_queries("postgres_schema")

NEWEST = max(int(name.removeprefix("up_")) for name in _STEPS if name.startswith("up_"))
OLDEST = 1
_LOCK_TO_DROP_MS = 200


def version_of(db: Connection) -> int:
    """The version of the tables; 0 where there are none."""
    row = db.execute(_SQL["is_made"]).fetchone()
    if row is None or not row[0]:
        return 0
    found = db.execute(_SQL["get_meta"], {"name": "version"}).fetchone()
    return int(found[0]) if found is not None else 0


def moved_to(db: Connection) -> str:
    """The store that the calls of these tables were moved to; "" where they are here. Inside a transaction of the
    caller."""
    found = db.execute(_SQL["get_meta"], {"name": "moved"}).fetchone() if version_of(db) else None
    return "" if found is None else str(found[0])


def check_here(moved: str, name: str) -> None:
    """Raises StoreError where the calls of a server's tables (`name`) were moved to another store."""
    if moved:
        raise StoreError(
            f"The calls in {name} were moved to {moved}: name that store in config.toml and start again."
        )


def check_arrived(arriving: str, name: str) -> None:
    """Raises StoreError where a move into a server's tables (`name`) was not ended; `arriving` is the store that it
    came from."""
    if arriving:
        raise StoreError(
            f"A move of calls from {arriving} into {name} was not ended, and its tables take and give nothing until then: repeat "
            "`deputize store migrate --to ...` on that home, or drop them there with `--drop-unfinished`."
        )


def unfinished_move(server: PostgresServer, *, wait_s: float = 60.0) -> str:
    """The store from which a move into the tables of a server was not ended; "" where there is none."""
    with server_errors_in_words(server, wait_s), closing(connect(server, wait_s)) as db, db.transaction():
        found = db.execute(_SQL["get_meta"], {"name": "arriving"}).fetchone() if version_of(db) else None
        return "" if found is None else str(found[0])


def end_unfinished_move(server: PostgresServer, *, drop: bool, wait_s: float = 60.0) -> None:
    """Ends a move whose mark stands in the tables: they are in force from now on, or (`drop`) gone with all that was
    moved."""
    with server_errors_in_words(server, wait_s), closing(connect(server, wait_s)) as db, db.transaction():
        hold(db, server.schema, wait_s, alone=True)
        if drop:
            db.execute(f"DROP SCHEMA {server.schema} CASCADE".encode())
        else:
            db.execute(_SQL["forget_meta"], {"name": "arriving"})


def whereabouts(server: PostgresServer, *, wait_s: float = 60.0) -> str:
    """`moved_to` by a connection of its own."""
    with server_errors_in_words(server, wait_s), closing(connect(server, wait_s)) as db, db.transaction():
        return moved_to(db)


def has_tables(server: PostgresServer, *, wait_s: float = 60.0) -> bool:
    """True where there are tables of a store, of whatever version."""
    with server_errors_in_words(server, wait_s), closing(connect(server, wait_s)) as db, db.transaction():
        return bool(version_of(db))


def change_version(db: Connection, version: int) -> int:
    """Brings tables that are there to a version, one step after the other, inside the caller's transaction; no call is
    touched.

    Returns:
        The version before.

    Raises:
        BadInput: there is no such version.
        StoreError: there are no tables.
    """
    if not OLDEST <= version <= NEWEST:
        raise BadInput(f"Versions of the tables go from {OLDEST} to {NEWEST}; {version} is none.")
    before = now = version_of(db)
    if not before:
        raise StoreError("There are no tables of a store yet; they are made when calls are first recorded.")
    if before > NEWEST:
        raise StoreError(
            f"The tables are of version {before}, which this release does not know: bring them back to {NEWEST} with the "
            "release that made them."
        )
    while now != version:
        step = f"up_{now + 1}" if now < version else f"down_{now}"
        now += 1 if now < version else -1
        _run(db, step)
        db.execute(_SQL["set_meta"], {"name": "version", "value": str(now)})
    return before


def hold(db: Connection, schema: str, wait_s: float, *, alone: bool) -> None:
    """Locks the store until the caller's transaction ends, with other writers or alone; the rows of every tenant are
    seen.

    Raises:
        psycopg.errors.LockNotAvailable: others have held it for `wait_s` seconds.
    """
    asked = {"scope": "*", "wait": f"{int(1000 * wait_s)}", "schema": schema}
    db.execute(_SQL["lock_alone" if alone else "lock_shared"], asked)


def change_tables(server: PostgresServer, version: int, *, wait_s: float = 60.0) -> int:
    """`change_version` in a transaction of its own, while nobody else writes; returns the version before."""
    with (
        server_errors_in_words(server, wait_s),
        closing(connect(server, wait_s)) as db,
        db.transaction(),
    ):
        hold(db, server.schema, wait_s, alone=True)
        return change_version(db, version)


def drop_empty_partitions(db: Connection, whose: dict[str, Any]) -> None:
    """Drops a tenant's partitions of months before one that are empty; one that is being read stays until the next
    time.

    Args:
        db: in a transaction that holds the store alone.
        whose: tenant (as `written`) and month.
    """
    busy = psycopg_or_error().errors.LockNotAvailable
    for (month,) in db.execute(_SQL["empty_partitions"], whose).fetchall():
        try:
            with db.transaction():
                db.execute(f"SET LOCAL lock_timeout = {_LOCK_TO_DROP_MS}")
                db.execute(_SQL["drop_partition"], {"tenant": whose["tenant"], "month": month})
        except busy:
            return


def prepare_tables(db: Connection, schema: str, keyring: KeyRing, name: str) -> None:
    """Makes the tables where there are none, inside the caller's transaction, which holds the store alone.

    Args:
        db: a connection.
        schema: of the tables.
        keyring: the keys that the store is written with.
        name: of the server, for messages.

    Raises:
        StoreError: they are of another version or written with other keys, or the role is above row-level security.
    """
    role = db.execute(_SQL["role"]).fetchone()
    if role is None or role[0]:
        raise StoreError(
            f"The role that opens {name} is a superuser or has BYPASSRLS, and tenants would not be kept apart beneath it: "
            "make one without (CREATE ROLE deputize LOGIN; CREATE DATABASE deputize OWNER deputize)."
        )
    version = version_of(db)
    if not version:
        made = db.execute(_SQL["has_schema"]).fetchone()
        if made is None or not made[0]:  # a role may own its schema without the right to make one
            db.execute(f"CREATE SCHEMA {schema}".encode())
        for step in range(OLDEST, NEWEST + 1):
            _run(db, f"up_{step}")
        for key, value in {
            "version": str(NEWEST),
            "ring": keyring.id,
            "epoch": "0",
            "wrapping": keyring.wrapping_id,
        }.items():
            db.execute(_SQL["set_meta"], {"name": key, "value": value})
    elif version != NEWEST:
        raise StoreError(
            f"The tables in {name} are of version {version}, and this release needs {NEWEST}: stop what uses them, then "
            "`deputize store migrate`."
        )
    ring = db.execute(_SQL["get_meta"], {"name": "ring"}).fetchone()
    if ring is None or ring[0] != keyring.id:
        raise StoreError(
            f"{name} was written with the key ring {ring[0] if ring else '(none)'}, and the keys folder holds {keyring.id}: "
            "restore the keys folder that belongs to it."
        )
    check_here(moved_to(db), name)
    arriving = db.execute(_SQL["get_meta"], {"name": "arriving"}).fetchone()
    check_arrived("" if arriving is None else str(arriving[0]), name)


def add_partitions(db: Connection, schema: str, wanted: Collection[tuple[str, str]]) -> None:
    """Makes the partitions of (tenant, month) that are missing, each with row-level security of its own.

    Others that make some wait until the caller's transaction ends.
    """
    if not wanted:
        return
    db.execute(_SQL["lock_makers"], {"schema": schema})
    for tenant, month in sorted(wanted):
        row = db.execute(_SQL["add_partition"], {"tenant": written(tenant), "month": month}).fetchone()
        if row is not None and row[0] is not None:
            db.execute(_SQL["secure_partition"], {"leaf": row[0]})


def _run(db: Connection, step: str) -> None:
    """Several statements at once."""
    db.execute(_STEPS[step].encode())
