"""The calls of a home into a store in PostgreSQL and back, and the tables of its store there to another version."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import msgspec

from deputize.core.config import StoreSettings
from deputize.core.errors import UsageError
from deputize.files import write_atomic
from deputize.home import Home
from deputize.store.access.moved_spending import (
    spent_in_home,
    spent_on_server,
    take_over_in_home,
    take_over_on_server,
)
from deputize.store.access.roles import Actor, Right, require
from deputize.store.keys.data_keys import month_of
from deputize.store.moving import HandsOver
from deputize.store.postgres import PostgresStore
from deputize.store.postgres_connection import PostgresServer, server_of
from deputize.store.postgres_schema import (
    NEWEST,
    change_tables,
    check_here,
    end_unfinished_move,
    has_tables,
    unfinished_move,
    whereabouts,
)
from deputize.store.sqlite import STORE_FILE, SqliteStore
from deputize.store.sqlite_arrival import begin_arrival, departed_to, end_arrival, mark_arrival

POSTGRES = "postgres"
_MOVE_FILE = "store.moving"
"""In a home: names the move of its calls that has not been ended."""


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
    """Moves everything in the home's store into an empty one in PostgreSQL; all of it or nothing. What was killed in
    the middle is ended, or begun again, by the next call; after a move that was ended it changes nothing.

    What API keys have spent this month comes along. Gateways may go on serving: what they record meanwhile waits in
    their journals, until they are started again with the new settings. The old store stays as it is, and refuses
    whatever is asked of it from then on.

    Args:
        home: the home.
        actor: who does it.
        options: `[store.options]` of the new store.

    Raises:
        AccessDenied: the actor may not.
        UsageError: the store of this home cannot be left, or a conversion is under way.
        StoreError, BadInput, MissingExtra: the new store cannot be opened or holds something already; nothing has
            changed.
    """
    require(actor, Right.MANAGE_KEYS)
    home.require_keys()
    server, wanted = server_of(options), StoreSettings(kind=POSTGRES, options=options)
    with home.exclusive("run"):
        if not _is_there(home, server) and not _is_left_for(home, server):
            _fill_tables(home, actor, server, wanted)
        if unfinished_move(server):
            end_unfinished_move(server, drop=False)
        (home.path / _MOVE_FILE).unlink(missing_ok=True)
    with contextlib.closing(home.open_store_for_writing(settings=wanted)) as target:
        return StoreMoved(to=server.name, n_calls=target.count())


def _is_there(home: Home, server: PostgresServer) -> bool:
    """True where an earlier call has moved the calls there, to the end; the settings may say so by now, or not yet."""
    if unfinished_move(server):
        return False
    settings = home.store_settings()
    if settings.kind == POSTGRES and server_of(settings.options).name == server.name:
        return True
    return _left_to(home) == server.name and has_tables(server)


def _is_left_for(home: Home, server: PostgresServer) -> bool:
    """True where an earlier call came so far that the home's store names the new one; then only the mark there is left
    to be taken away."""
    return unfinished_move(server) == _name_of_store(home) and _left_to(home) == server.name


def _left_to(home: Home) -> str:
    """The store that the calls of the home's store were moved to; "" where they are there."""
    settings = home.store_settings()
    if settings.kind == POSTGRES:
        return whereabouts(server_of(settings.options))
    return departed_to(home.path / STORE_FILE)


def _name_of_store(home: Home) -> str:
    """The home's store with a number of the move that is under way: another home may have a file of the same name."""
    settings, path = home.store_settings(), home.path / _MOVE_FILE
    name = f"SQLite in {home.path / STORE_FILE}"
    if settings.kind == POSTGRES:
        name = server_of(settings.options).name
    if not path.exists():
        write_atomic(path, os.urandom(6).hex().encode())
    return f"{name} (move {path.read_text('utf-8')})"


def _fill_tables(home: Home, actor: Actor, server: PostgresServer, wanted: StoreSettings) -> None:
    """Everything into the tables, which are marked as unfinished until the old store names them."""
    came_from, before = _name_of_store(home), unfinished_move(server)
    home.open_store().close()  # takes in what crashed processes have left
    if before == came_from:
        # nobody could write there: the mark refuses it
        end_unfinished_move(server, drop=True)
    with (
        contextlib.closing(home.open_store_for_writing()) as source,
        contextlib.closing(home.open_store_for_writing(settings=wanted)) as target,
    ):
        if not isinstance(source, HandsOver) or not isinstance(target, PostgresStore):
            raise UsageError("Only the calls of an SQLite store, or of one in PostgreSQL, can be moved.")
        home.audit.append("store.move", actor=actor.name, subject=server.name)
        with source.handed_over(server.name) as rows:
            target.take_over(rows, unfinished=came_from)
            take_over_on_server(server, month_of(home.now()), _spent(home))


def _spent(home: Home) -> dict[str, float]:
    """US dollars that API keys have spent this month, by the store of the home."""
    settings, month = home.store_settings(), month_of(home.now())
    if settings.kind == POSTGRES:
        return spent_on_server(server_of(settings.options), month)
    return spent_in_home(home.path, month)


def drop_unfinished(home: Home, actor: Actor, options: dict[str, Any]) -> str:
    """Drops the tables that a move which was not ended has filled; the old store stays in force.

    Args:
        home: a home with the keys of the tables.
        actor: who does it.
        options: `[store.options]` of the tables.

    Returns:
        The store that the move came from.

    Raises:
        AccessDenied: the actor may not.
        UsageError: there is no such move, or the old store names these tables already: its calls are nowhere else.
    """
    require(actor, Right.MANAGE_KEYS)
    home.require_keys()
    server = server_of(options)
    came_from = unfinished_move(server)
    if not came_from:
        (home.path / _MOVE_FILE).unlink(missing_ok=True)
        raise UsageError(f"No move into {server.name} was left unfinished: nothing is dropped.")
    if came_from != _name_of_store(home):
        raise UsageError(f"The move into {server.name} came from {came_from}: drop it on that home.")
    if _is_left_for(home, server):
        raise UsageError(
            f"{came_from} was left for {server.name}, so the calls are in force there: `deputize store migrate --to ...` ends the move."
        )
    home.audit.append("store.drop", actor=actor.name, subject=server.name)
    end_unfinished_move(server, drop=True)
    (home.path / _MOVE_FILE).unlink(missing_ok=True)
    return came_from


def move_store_back(home: Home, actor: Actor) -> StoreMoved:
    """Moves everything in the home's store in PostgreSQL into HOME/store.db; all of it or nothing. What was killed in
    the middle is ended, or begun again, by the next call.

    The tables stay as they are, and refuse whatever is asked of them from then on, whichever home asks: calls of
    gateways wait in their journals until they are started again with other settings.

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
            take_over_in_home(home.path, month_of(home.now()), _spent(home))
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
