"""Data keys of the PostgreSQL store: one a subject and month, forgotten with their epoch."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import postgres_cluster

from deputize.core.errors import StoreError
from deputize.core.records import Call
from deputize.store.keys.data_keys import DataKey
from deputize.store.keys.keyring import KeyRing
from deputize.store.postgres_keys import (
    Epoch,
    RowKeys,
    check_wrapping,
    obtain_keys,
    opened,
    read_back,
    written,
)


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\0\\0")))
def test_every_tenant_can_be_written_and_read_back(tenant: str) -> None:
    column = written(tenant)
    assert "\0" not in column and read_back(column) == tenant


def test_open_keys_are_bounded_and_the_oldest_goes() -> None:
    epoch = Epoch("1", {}, 2)
    names = [("t", f"o_{i}", "2026-01") for i in range(3)]
    keys = [DataKey(i, "t", bytes([i]) * 32) for i in range(3)]
    epoch.keep(dict(zip(names[:2], keys[:2], strict=True)))
    assert epoch.known(names) == dict(zip(names[:2], keys[:2], strict=True))
    epoch.known(names[:1])
    epoch.keep({names[2]: keys[2]})
    assert len(epoch) == 2 and set(epoch.known(names)) == {names[0], names[2]}


def test_a_keys_folder_that_is_older_than_the_store_writes_nothing(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    check_wrapping(ring, ring.wrapping_id, "the server")
    other = KeyRing.open_existing(tmp_path, environ={})
    check_wrapping(ring, other.begin_rotation(), "the server")  # the ring file tells
    with pytest.raises(StoreError, match=r"the keys folder here is older"):
        check_wrapping(ring, "w_elsewhere", "the server")


def test_a_key_is_made_once_and_opened_from_its_row(tmp_path: Path) -> None:
    from deputize.store.postgres import PostgresStore
    from deputize.store.postgres_connection import connect, server_of
    from deputize.store.sql import load_queries

    ring, server = KeyRing.open(tmp_path, environ={}), server_of(postgres_cluster.options_for(tmp_path))
    PostgresStore(server, ring).close()
    sql, names = load_queries("postgres"), {("t\0", "o_1", "2026-01"), ("t", "", "2026-02")}
    with connect(server, 5.0) as db, db.transaction():
        db.execute(sql["scope"], {"scope": "*"})
        made = obtain_keys(db, ring, Epoch("1", {}, 9), names)
        again = obtain_keys(db, ring, Epoch("1", {}, 9), [*names, ("t", "o_2", "2026-02")])
        rows = db.execute(sql["all_keys"], {"active": ""}).fetchall()
    db.close()
    assert {name: key.id for name, key in made.items()}.items() < {n: k.id for n, k in again.items()}.items()
    sealed = made["t\0", "o_1", "2026-01"].encrypt(b"call", b"id", 1, b"text")
    (row,) = (r for r in rows if r[0] == made["t\0", "o_1", "2026-01"].id)
    assert opened(ring, *row).decrypt(b"call", b"id", 1, sealed) == b"text"
    keys = RowKeys(ring)
    assert keys.of(*row) is keys.of(*row)


def test_a_key_that_was_erased_elsewhere_is_not_used_again(tmp_path: Path) -> None:
    from deputize.store.postgres import PostgresStore
    from deputize.store.postgres_connection import server_of

    ring, server = KeyRing.open(tmp_path, environ={}), server_of(postgres_cluster.options_for(tmp_path))
    one, other = PostgresStore(server, ring), PostgresStore(server, ring)
    call = Call(id="a", messages=[], response={}, origin="o_1", timestamp=1.0)
    one.append([call])
    other.erase("o_1")
    later = Call(id="b", messages=[], response={}, origin="o_1", timestamp=9e9)
    assert one.append([call]) == 0 and one.append([later]) == 1
    assert [c.id for c in other.calls()] == ["b"]
    one.close()
    other.close()
