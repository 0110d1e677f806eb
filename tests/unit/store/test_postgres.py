"""The store in PostgreSQL beyond the contract: keys, erasure, a server that goes away, several machines."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import postgres_cluster

from deputize.core.errors import StoreError
from deputize.core.records import Call
from deputize.home import Home
from deputize.maintenance.rotation import rotate
from deputize.store.keys.keyring import KeyRing
from deputize.store.postgres import MARKER, PostgresStore
from deputize.store.postgres_connection import PostgresServer, ServerAway, server_of

MARCH, APRIL = 1_772_500_000.0, 1_775_200_000.0


def a_call(id: str, **fields: object) -> Call:
    base: dict[str, object] = {"messages": [], "response": {"content": "yes"}, "timestamp": MARCH}
    return Call(id=id, **{**base, **fields})  # type: ignore[arg-type]


@pytest.fixture
def server(tmp_path: Path) -> PostgresServer:
    return server_of(postgres_cluster.options_for(tmp_path))


@pytest.fixture
def store(server: PostgresServer, tmp_path: Path) -> Iterator[PostgresStore]:
    made = PostgresStore(server, KeyRing.open(tmp_path, environ={}), busy_timeout_s=2.0)
    yield made
    made.close()


def dump(server: PostgresServer, *more: str) -> str:
    """The tables of a schema in clear."""
    cluster = postgres_cluster.cluster()
    return cluster.run(
        "pg_dump", "-h", cluster.folder, "-U", "admin", "-d", "deputize", "-n", server.schema, *more
    )


def test_no_text_of_a_caller_is_in_the_tables_in_clear(store: PostgresStore, server: PostgresServer) -> None:
    secrets = iter(f"CANARY-{i:03d}" for i in range(20))
    store.append(
        [
            a_call(
                next(secrets),
                messages=[{"role": "user", "content": next(secrets)}],
                response={"content": next(secrets)},
                agent=next(secrets),
                site=next(secrets),
                episode=next(secrets),
                origin=next(secrets),
                model=next(secrets),
            )
        ]
    )
    store.add_feedback(episode=next(secrets), metric=next(secrets), value=1.0)
    clear = dump(server, "--inserts")
    assert "default" in clear and "2026-03" in clear
    # a sealed text stands there in hexadecimal
    assert "CANARY" not in clear and b"CANARY".hex() not in clear


def test_an_erased_key_is_in_no_row_and_the_table_is_written_again(
    store: PostgresStore, server: PostgresServer
) -> None:
    store.append([a_call("a", origin="o_ann"), a_call("b", origin="o_bob")])
    cluster, keys = (
        postgres_cluster.cluster(),
        f"SELECT encode(wrapped, 'hex') FROM {server.schema}.data_keys",
    )
    before = set(cluster.sql(keys, "deputize").split())
    store.erase("o_ann")
    after = set(cluster.sql(keys, "deputize").split())
    (gone,) = before - after
    assert len(after) == 1 and after < before
    assert store.compact() is True
    file = cluster.sql(f"SELECT pg_relation_filepath('{server.schema}.data_keys')", "deputize")
    cluster.sql("CHECKPOINT")
    page = (cluster.data / file.strip()).read_bytes()
    assert bytes.fromhex(after.pop()) in page
    assert bytes.fromhex(gone) not in page


def test_a_reader_of_old_rows_is_told_of(store: PostgresStore, caplog: pytest.LogCaptureFixture) -> None:
    store.append([a_call("a", origin="o_1"), a_call("b")])
    reading = store.calls()
    next(reading)
    assert store.compact() is False and "is being read" in caplog.text
    assert [c.id for c in reading] == ["b"] and store.compact() is True


def test_a_partition_for_a_tenant_and_month_goes_when_all_of_it_is_over_age(
    store: PostgresStore, server: PostgresServer
) -> None:
    store.append(
        [a_call("a"), a_call("b", timestamp=APRIL), a_call("c", tenant="t"), a_call("d", timestamp=None)]
    )
    sql = f"SELECT tenant, month FROM {server.schema}.partitions ORDER BY 1, 2"
    cluster = postgres_cluster.cluster()
    assert cluster.sql(sql, "deputize").split() == [
        "default|2026-03",
        "default|2026-04",
        "default|undated",
        "t|2026-03",
    ]
    assert store.expire(tenant="default", before=APRIL) == 1
    assert cluster.sql(sql, "deputize").split() == ["default|2026-04", "default|undated", "t|2026-03"]
    assert store.append([a_call("e")]) == 1 and [c.id for c in store.calls()] == ["d", "c", "e", "b"]


def test_a_partition_that_is_being_read_stays_until_the_next_time(
    store: PostgresStore, server: PostgresServer
) -> None:
    store.append([a_call("a"), a_call("b")])
    reading = store.calls()
    next(reading)
    assert store.expire(tenant="default", before=APRIL) == 2
    assert [c.id for c in reading] == ["b"], "a snapshot"
    assert store.count() == 0 and store.append([a_call("a")]) == 1


def test_the_server_may_be_away_when_the_store_is_opened_and_come_back(tmp_path: Path) -> None:
    cluster = postgres_cluster.cluster()
    server = server_of(postgres_cluster.options_for(tmp_path))
    cluster.stop()
    try:
        store = PostgresStore(server, KeyRing.open(tmp_path, environ={}), busy_timeout_s=0.3)
        with pytest.raises(ServerAway, match="cannot be reached"):
            store.append([a_call("a")])
    finally:
        cluster.start()
    time.sleep(1.0)  # for so long what was found at the opening holds
    assert store.append([a_call("a")]) == 1
    cluster.stop()
    try:
        with pytest.raises(ServerAway, match="cannot be reached"):
            store.append([a_call("b")])
    finally:
        cluster.start()
    assert store.append([a_call("b")]) == 1 and store.count() == 2
    store.close()
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.count()


def test_two_machines_share_a_store_until_the_keys_of_one_are_older(tmp_path: Path) -> None:
    options = postgres_cluster.options_for(tmp_path)
    lines = "\n".join(f'{name} = "{value}"' for name, value in options.items())
    config = f'[store]\nkind = "postgres"\n[store.options]\n{lines}\n'
    homes = [tmp_path / "one", tmp_path / "other"]
    for home in homes:
        home.mkdir()
        (home / "config.toml").write_text(config)
    with Home(homes[0]) as one:
        one.store.append([a_call("a")])
        assert (homes[0] / MARKER).stat().st_mode & 0o077 == 0, "by which the audit log knows of a store"
        shutil.copytree(one.keys_path, homes[1] / "keys")
        with Home(homes[1]) as other:
            other.store.append([a_call("b")])
            assert [c.id for c in one.store.calls()] == ["a", "b"]
            rotate(one)
            with pytest.raises(StoreError, match="the keys folder here is older"):
                other.store.append([a_call("c")])
            shutil.rmtree(homes[1] / "keys")
            shutil.copytree(one.keys_path, homes[1] / "keys")
        with Home(homes[1]) as other:
            assert other.store.append([a_call("c")]) == 1
        assert [c.id for c in one.store.calls()] == ["a", "b", "c"]
