"""The calls of a home into a store in PostgreSQL and back, and the tables of its store there to another version."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import msgspec

from deputize.core.config import StoreSettings
from deputize.core.errors import UsageError
from deputize.home import Home
from deputize.store.access.roles import Actor, Right, require
from deputize.store.moving import HandsOver, TakesOver
from deputize.store.postgres_connection import server_of
from deputize.store.postgres_schema import NEWEST, change_tables, check_here, whereabouts
from deputize.store.sqlite import STORE_FILE, SqliteStore
from deputize.store.sqlite_arrival import begin_arrival, end_arrival, mark_arrival

POSTGRES = "postgres"


class StoreMoved(msgspec.Struct, frozen=True):
    """Result of a move."""

    to: str
    n_calls: int
    """Calls that can be read there."""


def options_of(address: str, schema: str = "") -> dict[str, Any]:
    """`[store.options]` of an address as a command takes it: postgresql://..., env:VARIABLE or service:NAME."""
    kind, _, name = address.partition(":")
    options: dict[str, Any] = {
        "env": {"url_env": name},
        "service": {"service": name},
    }.get(kind, {"url": address})
    return {**options, "schema": schema} if schema else options


def move_store(home: Home, actor: Actor, options: dict[str, Any]) -> StoreMoved:
    """Moves everything in the home's store into an empty one in PostgreSQL; all of it or nothing.

    Gateways may go on serving: what they record meanwhile waits in their journals, until they are started again with the new
    settings. The old store stays as it is, and refuses whatever is asked of it from then on.

    Args:
        home: the home.
        actor: who does it.
        options: `[store.options]` of the new store.

    Raises:
        AccessDenied: the actor may not.
        UsageError: the store of this home cannot be left, or a conversion is under way.
        StoreError, BadInput, MissingExtra: the new store cannot be opened or holds something already; nothing has changed.
    """
    require(actor, Right.MANAGE_KEYS)
    home.require_keys()
    name = server_of(options).name
    home.open_store().close()  # takes in what crashed processes have left
    with (
        home.exclusive("run"),
        contextlib.closing(home.open_store_for_writing()) as source,
        contextlib.closing(
            home.open_store_for_writing(settings=StoreSettings(kind=POSTGRES, options=options))
        ) as target,
    ):
        if not isinstance(source, HandsOver) or not isinstance(target, TakesOver):
            raise UsageError("Only the calls of an SQLite store, or of one in PostgreSQL, can be moved.")
        home.audit.append("store.move", actor=actor.name, subject=name)
        with source.handed_over(name) as rows:
            n_calls = target.take_over(rows)
    return StoreMoved(to=name, n_calls=n_calls)


def move_store_back(home: Home, actor: Actor) -> StoreMoved:
    """Moves everything in the home's store in PostgreSQL into HOME/store.db; all of it or nothing. What was killed in the middle is
    ended, or begun again, by the next call.

    The tables stay as they are, and refuse whatever is asked of them from then on, whichever home asks: calls of gateways wait in
    their journals until they are started again with other settings.

    Args:
        home: the home.
        actor: who does it.

    Raises:
        AccessDenied: the actor may not.
        UsageError: the store of this home is not in PostgreSQL, or a conversion is under way.
        StoreError: there is a store.db already, or one of the two cannot be used; nothing has changed.
    """
    require(actor, Right.MANAGE_KEYS)
    home.require_keys()
    settings = home.store_settings()
    if settings.kind != POSTGRES:
        raise UsageError(
            f"The store of {home.path} is {settings.kind}, and only one in PostgreSQL can be moved back."
        )
    server = server_of(settings.options)
    path = home.path / STORE_FILE
    with home.exclusive("run"):
        moved = whereabouts(server)
        if not moved:
            moved = _fill(home, actor)
        if not end_arrival(path, moved):
            check_here(moved, server.name)
    with contextlib.closing(SqliteStore(path, home.keyring, clock=home.now)) as store:
        return StoreMoved(to=f"SQLite in {path}", n_calls=store.count())


def _fill(home: Home, actor: Actor) -> str:
    """Everything into the file that becomes store.db, which PostgreSQL then names; returns the name of the move."""
    path = home.path / STORE_FILE
    move = f"SQLite in {path} (move {os.urandom(6).hex()})"
    arriving = begin_arrival(path)
    home.open_store().close()  # takes in what crashed processes have left
    with contextlib.closing(home.open_store_for_writing()) as source:
        if not isinstance(source, HandsOver):
            raise UsageError("The calls of this store cannot be moved.")
        home.audit.append("store.move", actor=actor.name, subject=move)
        with source.handed_over(move) as rows:
            with contextlib.closing(SqliteStore(arriving, home.keyring, clock=home.now)) as target:
                target.take_over(rows)
            mark_arrival(path, move)
    return move


def migrate_tables(home: Home, actor: Actor, version: int = NEWEST) -> int:
    """Brings the tables of the home's store in PostgreSQL to a version, by default the one that this release needs.

    Returns:
        The version before.

    Raises:
        AccessDenied: the actor may not.
        UsageError: the store is not in PostgreSQL.
        BadInput: there is no such version.
        StoreError: there are no tables, or they cannot be changed now.
    """
    require(actor, Right.MANAGE_KEYS)
    settings = home.store_settings()
    if settings.kind != POSTGRES:
        raise UsageError(
            f"Only tables in PostgreSQL have versions; the store of {home.path} is {settings.kind}."
        )
    server = server_of(settings.options)
    home.audit.append(
        "store.migrate", actor=actor.name, subject=server.name, detail={"version": str(version)}
    )
    return change_tables(server, version)
