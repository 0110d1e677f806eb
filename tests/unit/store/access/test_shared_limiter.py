"""Limits of API keys over several gateways, against a real PostgreSQL: exact to the stated bounds, whoever is killed."""

from __future__ import annotations

import asyncio
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import postgres_cluster
from tests.unit.store.access.test_api_keys import Clock, a_key

from deputize.core.errors import OverLimit, StoreError
from deputize.store.access import shared_limiter
from deputize.store.access.api_keys import ApiKey
from deputize.store.access.shared_limiter import BUDGET_SHARE, TURNS_S, SharedLimiter
from deputize.store.keys.keyring import KeyRing
from deputize.store.postgres import PostgresStore
from deputize.store.postgres_connection import PostgresServer, server_of

ROOT = Path(__file__).resolve().parents[4]
HOLDER = """
import asyncio, sys, time
from tests.unit.store.access.test_api_keys import a_key
from deputize.store.access.shared_limiter import SharedLimiter
from deputize.store.postgres_connection import server_of

async def main():
    limiter = SharedLimiter(server_of({"url": sys.argv[1], "schema": sys.argv[2]}), clock=lambda: 0.0)
    key = a_key(id="killed", usd_per_month=10.0, requests_per_minute=60.0)
    await limiter.obtain(key, 1.0)
    limiter.take_turn(key)
    limiter.reserve(key, 1.0)
    print("holds", flush=True)
    time.sleep(60)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("limits")
    found = postgres_cluster.options_for(folder)
    PostgresStore(server_of(found), KeyRing.open(folder, environ={})).close()
    return found


@pytest.fixture(scope="module")
def server(options: dict[str, str]) -> PostgresServer:
    return server_of(options)


@asynccontextmanager
async def limiters(
    server: PostgresServer, n: int, monotonic: Callable[[], float] = time.monotonic
) -> AsyncIterator[list[SharedLimiter]]:
    made = [SharedLimiter(server, clock=lambda: 0.0, monotonic=monotonic) for _ in range(n)]
    yield made
    for limiter in made:
        await asyncio.to_thread(limiter.close)


async def call(limiter: SharedLimiter, key: ApiKey, expected: float, cost: float) -> bool:
    """A call, unless it is refused."""
    try:
        await limiter.obtain(key, expected)
        set_aside = limiter.reserve(key, expected)
    except OverLimit:
        return False
    await asyncio.sleep(0)
    limiter.spend(key, cost)
    limiter.release(key, set_aside)
    return True


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    n=st.integers(1, 4),
    budget=st.floats(0.01, 5),
    dearest=st.floats(0.001, 1),
    seed=st.integers(0, 10**9),
)
async def test_a_budget_is_spent_to_the_stated_bound(
    server: PostgresServer, n: int, budget: float, dearest: float, seed: int
) -> None:
    chance = random.Random(seed)
    key = a_key(id=os.urandom(6).hex(), usd_per_month=budget)
    spent, most_missed = 0.0, 0.0
    async with limiters(server, n) as made:
        for _ in range(200):
            expected = chance.uniform(0, dearest)
            cost = expected * chance.uniform(0, 1)  # at most what was expected of it
            if await call(chance.choice(made), key, expected, cost):
                spent += cost
                most_missed = max(most_missed, cost)
    # the last call of each process sets aside what is left and may cost more than that
    assert spent <= budget + n * most_missed + 1e-9
    async with limiters(server, 1) as (again,):
        assert again.taken_usd(key) == pytest.approx(spent, abs=1e-9), "what was not spent was given back"


async def test_a_budget_is_never_passed_where_every_call_costs_at_most_what_was_set_aside(
    server: PostgresServer,
) -> None:
    key = a_key(id="exact", usd_per_month=1.0)
    async with limiters(server, 4) as made:
        done = [await call(made[i % 4], key, 0.01, 0.01) for i in range(130)]
    # 0.01 is set aside for each, and at most the last one of each process had less left
    assert 100 - 4 * math.ceil(BUDGET_SHARE / 0.01) <= sum(done) <= 104


async def test_calls_that_come_at_once_are_refused_only_where_the_limit_is_reached(
    server: PostgresServer,
) -> None:
    limiter = SharedLimiter(server, clock=lambda: 0.0)
    key = a_key(id="at once", usd_per_month=1.0, requests_per_minute=60.0)

    async def call() -> float:
        await limiter.obtain(key, 0.1)
        limiter.take_turn(key)
        return limiter.reserve(key, 0.1)

    try:
        found = await asyncio.gather(*(call() for _ in range(12)), return_exceptions=True)
    finally:
        limiter.close()
    refused = [one for one in found if isinstance(one, OverLimit)]
    assert len(refused) == 2 and all("1 USD" in str(one) for one in refused), "the budget is for ten"
    assert sum(one for one in found if isinstance(one, float)) == pytest.approx(1.0)


async def test_calls_under_way_in_one_gateway_count_in_another(server: PostgresServer) -> None:
    key = a_key(id="under-way", usd_per_month=1.0)
    async with limiters(server, 2) as (one, other):
        await one.obtain(key, 1.0)
        set_aside = one.reserve(key, 1.0)
        await other.obtain(key, 0.1)
        with pytest.raises(OverLimit, match="has used its 1 USD"):
            other.reserve(key, 0.1)
        with pytest.raises(OverLimit):
            other.check_budget(key)
        one.spend(key, 0.2)
        one.release(key, set_aside)
        assert one.taken_usd(key) == pytest.approx(1.0)


@pytest.mark.parametrize("n", [1, 3])
async def test_a_rate_is_held_to_one_slice_a_process(server: PostgresServer, n: int) -> None:
    per_minute = 600.0
    key = a_key(id=f"rate-{n}", requests_per_minute=per_minute)
    n_in, began = 0, time.monotonic()
    async with limiters(server, n) as made:
        while time.monotonic() - began < 1.5:
            for limiter in made:
                try:
                    await limiter.obtain(key, 0.0)
                    limiter.take_turn(key)
                    n_in += 1
                except OverLimit as error:
                    assert 0 < error.retry_after_s <= 60 / per_minute + 0.01
            await asyncio.sleep(0)
        took = time.monotonic() - began
    allowed = per_minute + took * per_minute / 60
    assert n_in <= allowed + n * math.ceil(per_minute / 60 * TURNS_S)
    assert n_in >= min(allowed, 100) - n * math.ceil(per_minute / 60 * TURNS_S)


async def test_a_gateway_that_is_killed_leaves_its_slice_taken(
    server: PostgresServer, options: dict[str, str]
) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, options["url"], options["schema"]],
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    assert holder.stdout is not None
    with holder.stdout:
        assert await asyncio.to_thread(holder.stdout.readline) == b"holds\n"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    key = a_key(id="killed", usd_per_month=10.0, requests_per_minute=60.0)
    async with limiters(server, 1) as (limiter,):
        assert limiter.taken_usd(key) == pytest.approx(1.0 + 10 * BUDGET_SHARE)
        done = 0
        while await call(limiter, key, 0.5, 0.5):
            done += 1
    assert done == 18, "all but the slice, the last with what was left"


async def test_a_month_begins_again_and_what_was_set_aside_before_is_not_of_it(
    server: PostgresServer,
) -> None:
    clock, key = Clock(0.0), a_key(id="months", usd_per_month=1.0)
    limiter = SharedLimiter(server, clock=clock)
    await limiter.obtain(key, 1.0)
    set_aside = limiter.reserve(key, 1.0)
    clock.now = 40 * 86400.0
    await limiter.obtain(key, 0.1)
    limiter.reserve(key, 0.1)
    limiter.release(key, set_aside)
    assert limiter.taken_usd(key) == pytest.approx(0.1 + BUDGET_SHARE)
    await asyncio.to_thread(limiter.close)


async def test_while_the_server_is_away_a_process_has_what_it_took(tmp_path: Path) -> None:
    now = Clock(1000.0)
    cluster = postgres_cluster.cluster()
    options = postgres_cluster.options_for(tmp_path)
    PostgresStore(server_of(options), KeyRing.open(tmp_path, environ={})).close()
    key = a_key(id="away", usd_per_month=1.0, requests_per_minute=6000.0)
    unlimited = a_key(id="unlimited")
    limiter = SharedLimiter(server_of(options), clock=lambda: 0.0, monotonic=now)
    assert await call(limiter, key, 0.01, 0.01)
    limiter.take_turn(key)
    await asyncio.to_thread(cluster.stop)
    try:
        assert await call(limiter, key, 0.001, 0.001), "of its slice"
        n_in = 0
        with pytest.raises(StoreError, match="cannot be checked now"):
            for _ in range(100):
                await limiter.obtain(key, 0.0)
                limiter.take_turn(key)
                n_in += 1
        assert n_in == math.ceil(100 * TURNS_S) - 1
        with pytest.raises(StoreError, match="cannot be checked now"):
            for _ in range(100):
                await call(limiter, key, 0.01, 0.01)
        await limiter.obtain(unlimited, 0.0)
        limiter.take_turn(unlimited)
    finally:
        await asyncio.to_thread(cluster.start)
    now.now += 5
    assert await call(limiter, key, 0.01, 0.01)
    limiter.take_turn(key)
    await asyncio.to_thread(limiter.close)


async def test_a_server_that_stands_still_keeps_no_call_waiting_for_long(
    options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its connections stay open, so nothing fails by itself."""
    monkeypatch.setattr(shared_limiter, "_ANSWER_S", 1.0)
    cluster, many = postgres_cluster.cluster(), [a_key(id=f"still-{n}", usd_per_month=1.0) for n in range(20)]
    async with limiters(server_of(options), 1) as (limiter,):
        assert await call(limiter, many[0], 0.001, 0.001)
        cluster.signal_all(signal.SIGSTOP)
        try:
            began = time.monotonic()
            refused = await asyncio.gather(
                *(call(limiter, key, 0.1, 0.1) for key in many[1:]), return_exceptions=True
            )
            assert time.monotonic() - began < 12.0
            assert all(isinstance(one, StoreError) for one in refused), refused
            assert await asyncio.wait_for(asyncio.to_thread(lambda: True), 1.0), "threads of others are free"
        finally:
            cluster.signal_all(signal.SIGCONT)
        async with asyncio.timeout(20):
            while True:
                try:
                    if await call(limiter, many[1], 0.001, 0.001):
                        break
                except StoreError:
                    await asyncio.sleep(0.2)


async def test_a_caller_that_hangs_up_takes_nothing_of_the_budget_along(server: PostgresServer) -> None:
    key = a_key(id="hangs-up", usd_per_month=1.0)
    async with limiters(server, 1) as (limiter,):
        asking = asyncio.create_task(limiter.obtain(key, 0.5))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        async with asyncio.timeout(10):
            while not limiter.taken_usd(key):
                await asyncio.sleep(0.01)
            await limiter.obtain(key, 0.5)
        assert limiter.reserve(key, 0.5) == 0.5
        assert limiter.taken_usd(key) == pytest.approx(0.5 + BUDGET_SHARE), "it was taken once"


_TERMINATED_AT_COMMIT = """
CREATE FUNCTION end_it() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); PERFORM pg_sleep(1); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON key_spending DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW WHEN (NEW.key = 'in-doubt' AND NEW.usd < OLD.usd) EXECUTE FUNCTION end_it()
"""


async def test_what_may_have_been_given_back_is_not_spent_as_well(
    server: PostgresServer, options: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared_limiter, "_IDLE_S", 0.1)
    key, path = a_key(id="in-doubt", usd_per_month=1.0), f"-c search_path={options['schema']}"
    async with limiters(server, 1) as (limiter,):
        with psycopg.connect(options["url"], options=path) as db:
            db.execute(_TERMINATED_AT_COMMIT)
        await limiter.obtain(key, 0.5)
        await asyncio.sleep(1)  # it is idle, and the server goes away while it commits what is given back
        with psycopg.connect(options["url"], options=path) as db:
            db.execute("DROP TRIGGER at_commit ON key_spending; DROP FUNCTION end_it")
        await asyncio.sleep(0.5)
        assert limiter.taken_usd(key) == pytest.approx(0.5 + BUDGET_SHARE)
        with pytest.raises(OverLimit):
            limiter.reserve(key, 0.1)
