"""The tables of the PostgreSQL store: every statement is SQL over them, versions go up and back, tenants are kept
apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests import postgres_cluster

from deputize.core.errors import BadInput, StoreError
from deputize.core.records import Call
from deputize.store.keys.keyring import KeyRing
from deputize.store.postgres import PostgresStore
from deputize.store.postgres_connection import PostgresServer, connect, server_of
from deputize.store.postgres_schema import (
    NEWEST,
    OLDEST,
    add_partitions,
    change_tables,
    change_version,
    prepare_tables,
    version_of,
)
from deputize.store.sql import load_queries


@pytest.fixture
def server(tmp_path: Path) -> PostgresServer:
    return server_of(postgres_cluster.options_for(tmp_path))


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.open(tmp_path, environ={})


def some_calls() -> list[Call]:
    return [
        Call(id=f"c{i}", messages=[], response={}, tenant=f"t{i % 2}", timestamp=1e9 * i) for i in range(4)
    ]


def test_every_statement_is_sql_over_its_tables(server: PostgresServer, ring: KeyRing) -> None:
    PostgresStore(server, ring).close()
    db = connect(server, 5.0)
    db.execute(load_queries("postgres")["staging"])
    for name, query in (load_queries("postgres") | load_queries("postgres_limits")).items():
        assert "--" not in query
        plain = re.sub(r"%(?:\(\w+\))?s(?:::\w+(?:\[\])?)?", "NULL", query)
        if query.split()[0] in ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH") and "unnest" not in query:
            db.execute(f"EXPLAIN {plain}".encode())
        else:
            assert name in ("staging", "stage", "empty_staging", "find_keys", "add_keys")
    db.close()


def test_versions_go_back_and_up_with_every_call(server: PostgresServer, ring: KeyRing) -> None:
    store = PostgresStore(server, ring)
    store.append(some_calls())
    assert change_tables(server, OLDEST) == NEWEST
    with pytest.raises(StoreError, match=r"are of version 1.*deputize store migrate"):
        PostgresStore(server, ring)
    assert change_tables(server, NEWEST) == OLDEST and change_tables(server, NEWEST) == NEWEST
    with pytest.raises(BadInput, match="5 is none"):
        change_tables(server, NEWEST + 1)
    store.close()
    again = PostgresStore(server, ring)
    assert [c.id for c in again.calls()] == ["c0", "c1", "c2", "c3"]
    assert again.has_episode("t0", "e") and not again.has_episode("t2", "e"), (
        "of older calls it cannot be told"
    )
    again.append([Call(id="later", messages=[], response={}, tenant="t1", timestamp=5e8)])
    assert again.count() == 5
    again.close()


def test_there_is_no_version_of_nothing(server: PostgresServer) -> None:
    with connect(server, 5.0) as db:
        assert version_of(db) == 0
        with pytest.raises(StoreError, match="no tables"):
            change_version(db, NEWEST)


def test_tables_of_a_later_release_are_left_alone(server: PostgresServer, ring: KeyRing) -> None:
    PostgresStore(server, ring).close()
    with connect(server, 5.0) as db:
        db.execute("UPDATE meta SET value = '99' WHERE name = 'version'")
        with pytest.raises(StoreError, match="of version 99"):
            prepare_tables(db, server.schema, ring, "the server")
        with pytest.raises(StoreError, match="does not know"):
            change_version(db, NEWEST)


def test_other_keys_are_refused(server: PostgresServer, ring: KeyRing, tmp_path: Path) -> None:
    PostgresStore(server, ring).close()
    with pytest.raises(StoreError, match=f"key ring {ring.id}"):
        PostgresStore(server, KeyRing.open(tmp_path / "other", environ={}))


def test_a_role_above_row_level_security_is_refused(server: PostgresServer, ring: KeyRing) -> None:
    admin = server_of({"url": postgres_cluster.cluster().url("admin"), "schema": server.schema})
    with pytest.raises(StoreError, match="is a superuser or has BYPASSRLS"):
        PostgresStore(admin, ring)


TABLES = ("calls", "call_ids", "data_keys", "partitions", "tombstones")


@pytest.mark.parametrize(
    ("scope", "n_seen"), [("", 0), ("=t0", 2), ("=t", 0), ("t0", 0), ("=*", 0), ("*", 4)]
)
def test_a_session_sees_the_tenant_that_it_names(
    server: PostgresServer, ring: KeyRing, scope: str, n_seen: int
) -> None:
    store = PostgresStore(server, ring, clock=lambda: 1e9)
    store.append(some_calls())
    for origin, tenant in (("o_1", "t0"), ("o_2", "t1")):
        store.erase(origin, tenant=tenant)
    store.add_feedback(episode="e", metric="m", value=1.0)
    store.close()
    with connect(server, 5.0) as db, db.transaction():
        db.execute(load_queries("postgres")["scope"], {"scope": scope})
        leaves = [row[0] for row in db.execute("SELECT 'calls_' || id FROM partitions").fetchall()]
        assert len(leaves) == n_seen
        for table in (*TABLES, *leaves):
            rows = db.execute(f"SELECT tenant FROM {table}".encode()).fetchall()
            assert {row[0] for row in rows} <= ({"t0", "t1", "default"} if scope == "*" else {scope[1:]})
            assert bool(rows) == (n_seen > 0)
        n_feedback = db.execute("SELECT count(*) FROM feedback").fetchone()
        assert n_feedback == (1 if scope == "*" else 0,)
    db.close()


def test_a_partition_that_is_asked_for_by_name_hides_other_tenants(
    server: PostgresServer, ring: KeyRing
) -> None:
    PostgresStore(server, ring).close()
    with connect(server, 5.0) as db, db.transaction():
        db.execute(load_queries("postgres")["scope"], {"scope": "*"})
        add_partitions(db, server.schema, {("t0", "2026-01"), ("t0", "undated")})
        add_partitions(db, server.schema, {("t0", "2026-01")})
        hidden = db.execute(
            "SELECT relname, relrowsecurity AND relforcerowsecurity FROM pg_class c "
            "JOIN pg_inherits i ON i.inhrelid = c.oid WHERE i.inhparent = 'calls'::regclass"
        ).fetchall()
    db.close()
    assert len(hidden) == 2 and all(is_hidden for _, is_hidden in hidden)
