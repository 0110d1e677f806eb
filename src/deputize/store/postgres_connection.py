"""Connections to PostgreSQL: where the server is, sessions, and its errors as the errors of this package.

psycopg is imported when a store is opened. No sentence of this module holds a password, nor an address that may hold
one.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from deputize.core.errors import BadInput, MissingExtra, StoreError, Tampered
from deputize.store.sql import load_queries

if TYPE_CHECKING:
    import psycopg
    from psycopg_pool import ConnectionPool

    Connection = psycopg.Connection[tuple[Any, ...]]
    Pool = ConnectionPool[Connection]

_SQL = load_queries("postgres")
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_OPTIONS = frozenset({"url", "url_env", "service", "schema", "connections"})
_GONE_MS = "30000"
"""Milliseconds after which a server that acknowledges nothing counts as gone."""
_ASK_ALIVE_S = 10
"""Of silence, after which the server's machine is asked whether it is there. What was sent to one that is gone since may
be acknowledged: without that question whoever waits for its answer waits for two hours."""


class ServerAway(StoreError):
    """The server does not answer now, or does not let us in."""


class PostgresServer(msgspec.Struct, frozen=True):
    """Where the tables are."""

    conninfo: str
    """For libpq; may hold a password, so it is never shown."""
    schema: str
    """Schema of the tables."""
    connections: int
    """The most that the pool keeps open."""
    name: str
    """For messages: host, port and database."""


def psycopg_or_error() -> Any:
    """The module psycopg. Raises MissingExtra."""
    try:
        import psycopg
        import psycopg_pool  # noqa: F401 - the same extra
    except ImportError as error:
        raise MissingExtra.package("psycopg", "postgres") from error
    return psycopg


def server_of(options: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> PostgresServer:
    """The server that `[store.options]` names: one of

        url = "postgresql://user@host/db"    an address without a password (libpq finds one in ~/.pgpass or PGPASSWORD)
        url_env = "DEPUTIZE_STORE_URL"       the variable that holds the address
        service = "deputize"                 a section of libpq's service file (~/.pg_service.conf)

    and, with any of them, schema = "deputize" and connections = 8. A server on another machine is asked over TLS with
    its certificate checked, unless the address has an sslmode of its own.

    Raises:
        BadInput: none or several of them, a password in config.toml, or an address that is none.
        MissingExtra: psycopg is not installed.
    """
    psycopg = psycopg_or_error()
    given = {name for name in ("url", "url_env", "service") if options.get(name)}
    if len(given) != 1 or set(options) - _OPTIONS:
        raise BadInput(
            '[store.options] of the store postgres needs one of url = "postgresql://user@host/db", url_env = "VARIABLE" and '
            f'service = "NAME"; beside it schema and connections. Given: {", ".join(sorted(options)) or "nothing"}.'
        )
    schema, connections = options.get("schema", "deputize"), options.get("connections", 8)
    if not isinstance(schema, str) or not _SCHEMA_NAME.fullmatch(schema):
        raise BadInput("[store.options] schema: a name of small letters, digits and _, for example deputize.")
    if isinstance(connections, bool) or not isinstance(connections, int) or connections < 2:
        raise BadInput("[store.options] connections: a number of at least 2.")
    try:
        asked = _asked(psycopg, options, os.environ if environ is None else environ)
    except psycopg.ProgrammingError:
        # its message quotes the address
        raise BadInput(
            f"[store.options] {given.pop()}: this is no address of a PostgreSQL database."
        ) from None
    host = str(asked.get("host", ""))
    if "service" not in asked and not _is_here(host):
        asked.setdefault("sslmode", "verify-full")
    where = asked.get("service") or f"{host or 'this machine'}:{asked.get('port', 5432)}"
    name = f"PostgreSQL {asked.get('dbname', '')} at {where}, schema {schema}".replace("  ", " ")
    conninfo = psycopg.conninfo.make_conninfo(**asked)
    return PostgresServer(conninfo=conninfo, schema=schema, connections=connections, name=name)


def _asked(psycopg: Any, options: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    if service := options.get("service"):
        return {"service": str(service)}
    url = str(options.get("url") or "")
    if variable := options.get("url_env"):
        url = environ.get(str(variable), "")
        if not url:
            raise BadInput(f"[store.options] url_env: the variable {variable} is not set.")
    asked = dict(psycopg.conninfo.conninfo_to_dict(url))
    if "url" in options and (asked.get("password") or asked.get("sslpassword")):
        raise BadInput(
            "[store.options] url holds a password, and config.toml is no place for one: leave it out (libpq reads ~/.pgpass "
            'and PGPASSWORD), or name a variable with the whole address, url_env = "DEPUTIZE_STORE_URL".'
        )
    return asked


def _is_here(host: str) -> bool:
    return all(one in ("", "localhost", "127.0.0.1", "::1") or one.startswith("/") for one in host.split(","))


def connect(server: PostgresServer, timeout_s: float) -> Connection:
    """A connection of one's own, autocommit, to be closed by the caller. Raises psycopg.Error."""
    connection: Connection = psycopg_or_error().connect(**_settings(server, timeout_s))
    begin_session(connection)
    return connection


def make_pool(server: PostgresServer, timeout_s: float) -> Pool:
    """Connections that are opened when they are needed and tried before each use, so a restarted server goes
    unnoticed."""
    psycopg_or_error()
    from psycopg_pool import ConnectionPool

    settings = _settings(server, timeout_s)
    return ConnectionPool(
        conninfo=settings.pop("conninfo"),
        kwargs=settings,
        min_size=0,
        max_size=server.connections,
        open=True,
        timeout=timeout_s,
        reconnect_timeout=timeout_s,
        configure=begin_session,
        check=ConnectionPool.check_connection,
        name="deputize-store",
    )


def begin_session(connection: Connection) -> None:
    """A commit is on the server's disk when it returns, whatever the server's default is."""
    connection.execute(_SQL["session"])


def _settings(server: PostgresServer, timeout_s: float) -> dict[str, Any]:
    return {
        "conninfo": server.conninfo,
        "autocommit": True,
        "application_name": "deputize",
        "options": f"-c search_path={server.schema}",
        "connect_timeout": max(2, int(timeout_s)),
        "tcp_user_timeout": _GONE_MS,
        "keepalives_idle": _ASK_ALIVE_S,
        "keepalives_interval": _ASK_ALIVE_S,
    }


@contextmanager
def server_errors_in_words(server: PostgresServer, wait_s: float) -> Iterator[None]:
    """psycopg's errors as sentences."""
    psycopg = psycopg_or_error()
    from psycopg_pool import PoolClosed, PoolTimeout

    try:
        yield
    except PoolClosed as error:
        raise StoreError(f"{server.name} is closed.") from error
    except PoolTimeout as error:
        raise _why_none(psycopg, server, wait_s) from error
    except psycopg.Error as error:
        raise in_words(error, server.name, wait_s) from error


def _why_none(psycopg: Any, server: PostgresServer, wait_s: float) -> StoreError:
    """The reason why the pool gives no connection, which it keeps to itself."""
    try:
        connect(server, 2.0).close()
    except psycopg.Error as error:
        return in_words(error, server.name, wait_s)
    return StoreError(
        f"The store in {server.name} cannot be used now: all {server.connections} connections are in use."
    )


def in_words(error: psycopg.Error, name: str, wait_s: float) -> StoreError:
    """The error of deputize.core.errors that one of PostgreSQL means for the user."""
    code = error.sqlstate or ""
    match code[:2], code:
        case _, "55P03":
            what = f"another program has held it locked for more than {wait_s:g} s"
        case "53", "53100":
            what = "the server's disk is full. Nothing of this batch was written; what was there before is intact"
        case "53", _:
            what = f"the server has no room for another connection or lock ({_first_line(error)})"
        case "28", _:
            what = f"the server does not let us in ({_first_line(error)})"
        case "3D" | "3F", _:
            what = f"there is no such database or schema ({_first_line(error)})"
        case ("42", "42501") | ("25", "25006"):
            what = f"we may not write there ({_first_line(error)})"
        case (("XX" | "22" | "42"), _):
            return Tampered(
                f"The tables in {name} are damaged or not those of a store ({_first_line(error)}). Restore them from a backup."
            )
        case (("" | "08" | "57"), _):
            what = f"the server cannot be reached ({_first_line(error)})"
        case _:
            what = f"{type(error).__name__}, SQLSTATE {code}"
    kind = ServerAway if code[:2] in ("", "08", "28", "53", "57") else StoreError
    return kind(f"The store in {name} cannot be used now: {what}.")


def _first_line(error: psycopg.Error) -> str:
    with suppress(IndexError):
        return str(error).splitlines()[0].strip().rstrip(".")
    return type(error).__name__
