"""Where the server is, and what is said of it: never a password."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import pytest
from tests import postgres_cluster

from deputize.core.errors import BadInput, MissingExtra, StoreError, Tampered

psycopg = pytest.importorskip("psycopg", reason="pip install 'deputize[postgres]'")

from deputize.store.postgres_connection import (  # noqa: E402
    PostgresServer,
    ServerAway,
    connect,
    in_words,
    make_pool,
    server_errors_in_words,
    server_of,
)

SECRET = "hunter2secret"
URL = f"postgresql://ann:{SECRET}@db.example.org/calls"


def test_the_address_comes_from_a_variable_and_its_password_is_in_no_message() -> None:
    server = server_of({"url_env": "STORE"}, {"STORE": URL})
    assert SECRET in server.conninfo and SECRET not in server.name
    assert server.name == "PostgreSQL calls at db.example.org:5432, schema deputize"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "nothing"),
        ({"url": "postgresql://db/x", "service": "s"}, "one of"),
        ({"url": "postgresql://db/x", "pool": 3}, "pool"),
        ({"url": URL}, "holds a password"),
        ({"url": f"postgresql://a:{SECRET}@[db/x"}, "no address"),
        ({"url_env": "MISSING"}, "MISSING is not set"),
        ({"service": "s", "schema": "a; drop"}, "schema"),
        ({"service": "s", "connections": 1}, "connections"),
    ],
)
def test_options_that_lead_nowhere_are_refused_in_a_sentence(options: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said) as caught:
        server_of(options, {})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "mode"),
    [
        ("postgresql://db.example.org/x", "verify-full"),
        ("postgresql://localhost,db.example.org/x", "verify-full"),
        ("postgresql://db.example.org/x?sslmode=require", "require"),
        ("postgresql://localhost/x", None),
        ("postgresql:///x?host=/run/postgresql", None),
    ],
)
def test_another_machine_is_asked_over_tls(url: str, mode: str | None) -> None:
    asked = psycopg.conninfo.conninfo_to_dict(server_of({"url": url}, {}).conninfo)
    assert asked.get("sslmode") == mode


def test_a_service_file_is_left_to_libpq() -> None:
    server = server_of({"service": "calls", "schema": "mine"}, {})
    assert psycopg.conninfo.conninfo_to_dict(server.conninfo) == {"service": "calls"}
    assert server.name == "PostgreSQL at calls, schema mine"


def test_a_missing_driver_is_named_with_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"pip install 'deputize\[postgres\]'"):
        server_of({"service": "s"}, {})


NOBODY = PostgresServer("host=127.0.0.1 port=1 user=ann password=hunter2secret dbname=x", "s", 2, "nobody")


def test_a_server_that_is_away_is_said_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    with (
        pytest.raises(ServerAway, match=r"cannot be reached.*refused") as caught,
        server_errors_in_words(NOBODY, 1),
    ):
        connect(NOBODY, 1.0)
    pool = make_pool(NOBODY, 0.2)
    with (
        pytest.raises(ServerAway, match="refused") as by_pool,
        server_errors_in_words(NOBODY, 1),
        pool.connection(),
    ):
        raise AssertionError("there is nobody")
    pool.close()
    with pytest.raises(StoreError, match="is closed"), server_errors_in_words(NOBODY, 1), pool.connection():
        raise AssertionError("it is closed")
    assert SECRET not in f"{caught.value} {by_pool.value} {caplog.text}"


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (psycopg.errors.LockNotAvailable, StoreError, "locked for more than 3 s"),
        (psycopg.errors.DiskFull, ServerAway, "disk is full"),
        (psycopg.errors.TooManyConnections, ServerAway, "no room"),
        (psycopg.errors.InvalidPassword, ServerAway, "does not let us in"),
        (psycopg.errors.InvalidCatalogName, StoreError, "no such database"),
        (psycopg.errors.InsufficientPrivilege, StoreError, "may not write"),
        (psycopg.errors.ReadOnlySqlTransaction, StoreError, "may not write"),
        (psycopg.errors.AdminShutdown, ServerAway, "cannot be reached"),
        (psycopg.errors.DataCorrupted, Tampered, "damaged"),
        (psycopg.errors.UndefinedColumn, Tampered, "damaged"),
        (psycopg.errors.DivisionByZero, Tampered, "damaged"),
        (psycopg.errors.UniqueViolation, StoreError, "SQLSTATE 23505"),
    ],
)
def test_errors_of_the_server_are_sentences(error: Any, kind: type[StoreError], said: str) -> None:
    found = in_words(error("a line\nanother"), "the server", 3.0)
    assert type(found) is kind and said in str(found) and "another line" not in str(found)


def test_a_server_whose_machine_is_gone_is_noticed_by_whoever_waits_for_its_answer(tmp_path: Path) -> None:
    # measured with a network that was cut while an answer was due: 31 s, and no end within 90 s without it
    with contextlib.closing(connect(server_of(postgres_cluster.options_for(tmp_path)), 5.0)) as db:
        asked = db.info.get_parameters()
    assert int(asked["keepalives_idle"]) <= 10 and int(asked["keepalives_interval"]) <= 10
    assert int(asked["tcp_user_timeout"]) <= 30_000
