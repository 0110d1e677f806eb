"""What another store held, in PostgreSQL, and back in SQLite: read, told of, erased and added to as before."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests import postgres_cluster

from deputize.core.errors import StoreError
from deputize.core.records import Call
from deputize.store.keys.keyring import KeyRing
from deputize.store.postgres import PostgresStore
from deputize.store.postgres_connection import server_of
from deputize.store.postgres_schema import NEWEST, change_tables
from deputize.store.sqlite import SqliteStore


def drawn_calls(dice: random.Random) -> list[Call]:
    return [
        Call(
            id=f"c{i}",
            messages=[{"role": "user", "content": f"q{i}"}],
            response={},
            tenant=dice.choice(("default", "t\0\\2")),
            origin=dice.choice(("", "o_1", "o_2")),
            episode=f"e{i % 7}",
            agent=f"a{i % 2}",
            timestamp=None if i % 9 == 0 else 1.6e9 + dice.randrange(90 * 86400),
        )
        for i in range(60)
    ]


def check_whole(
    new: PostgresStore | SqliteStore, calls: list[Call], before: list[Call], gone: set[str]
) -> None:
    """All that was readable is, in its order; nothing that was erased comes back; what comes is filed as before."""
    assert list(new.calls()) == before and new.count() == len(before)
    assert list(new.calls(agent="a1")) == [c for c in before if c.agent == "a1"]
    readable = {(c.tenant, c.episode) for c in before}
    for tenant, episode in {*readable, ("default", "e7"), ("t", "e1")}:
        assert new.has_episode(tenant, episode) == ((tenant, episode) in readable)
    assert new.erased([c.id for c in calls]) == gone
    assert new.append(calls) == 0, "each id once, and no erased one comes back"
    late = Call(id="late", messages=[], response={}, origin="o_1", timestamp=1.0)
    assert new.append([late]) == 0, "tombstones went over"
    new.add_feedback(episode="e1", metric="success", value=0.0)
    told = [c.outcome for c in new.calls() if c.episode == "e1"]
    assert told and all(one is not None and one.success is False for one in told)
    fresh = Call(id="new", messages=[], response={}, origin="o_3", timestamp=1.0)
    assert new.append([fresh]) == 1 and new.erase("o_2").call_ids


def test_a_store_goes_over_with_all_that_was_said_and_erased(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    old = SqliteStore(tmp_path / "store.db", ring, clock=lambda: 1.7e9)
    dice = random.Random(3)
    calls = drawn_calls(dice)
    old.append(calls)
    old.add_feedback(episode="e1", metric="success", value=1.0)
    erased = old.erase("o_1").call_ids + old.erase_calls(["c2", "c3", "c4"])
    before, tenants = list(old.calls()), old.tenants()
    server = server_of(postgres_cluster.options_for(tmp_path))
    new = PostgresStore(server, ring, clock=lambda: 1.7e9)
    with old.handed_over(server.name) as rows:
        assert new.take_over(rows) == len(before)
    assert new.tenants() == tenants
    check_whole(new, calls, before, set(erased))
    with pytest.raises(StoreError, match="holds calls or keys already"):
        new.take_over(rows)
    old.close()
    new.close()


def test_a_store_comes_back_with_all_that_was_said_and_erased(tmp_path: Path) -> None:
    """Calls from before the digests of episodes (version 3 of the tables) included."""
    ring, dice = KeyRing.open(tmp_path, environ={}), random.Random(4)
    server = server_of(postgres_cluster.options_for(tmp_path))
    old = PostgresStore(server, ring, clock=lambda: 1.7e9)
    calls = drawn_calls(dice)
    old.append(calls)
    old.add_feedback(episode="e1", metric="success", value=1.0)
    erased = old.erase("o_1").call_ids + old.erase_calls(["c2", "c3", "c4"])
    assert change_tables(server, 2) and change_tables(server, NEWEST)
    before, tenants = list(old.calls()), old.tenants()
    new = SqliteStore(tmp_path / "store.db", ring, clock=lambda: 1.7e9)
    with pytest.raises(RuntimeError, match="stop"), old.handed_over("there") as rows:
        raise RuntimeError("stop")
    other = PostgresStore(server, ring)
    assert other.append([]) == 0 and old.count() == len(before), "an error leaves the store as it was"
    with old.handed_over("SQLite over there") as rows:
        assert new.take_over(rows) == len(before)
    assert new.tenants() == tenants
    check_whole(new, calls, before, set(erased))
    for one in (old, other):
        with pytest.raises(StoreError, match="were moved to SQLite over there"):
            one.append([Call(id="d", messages=[], response={})])
        one.close()
    with pytest.raises(StoreError, match="were moved to SQLite over there"):
        PostgresStore(server, ring)
    with pytest.raises(StoreError, match="holds calls or keys already"):
        new.take_over(rows)
    new.close()
