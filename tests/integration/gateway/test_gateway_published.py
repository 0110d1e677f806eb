"""Gateways that share routes and API keys: a route closed on one is closed on all, and nothing is taken for true for
long."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from tests import postgres_cluster
from tests.integration.gateway.specialists import InMemorySpecialists, publish, route_for, saying
from tests.integration.gateway.test_gateway_routes import LABELS, MESSAGES, REQUEST
from tests.integration.gateway.upstream import LoopbackUpstream, completion

from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.home import Home
from deputize.operations.route_changes import close_route
from deputize.store.published.buckets import open_bucket

CLOSED_WITHIN_S = 2.0
Ask = Callable[[str], Awaitable[str]]


def sharing_homes(folder: Path, url: str, n_homes: int, more: str = "") -> list[Path]:
    """Homes with the same keys and the same `[objects]`."""
    made = [folder / f"home-{n}" for n in range(n_homes)]
    assert Home(made[0]).keyring.id
    for home in made[1:]:
        shutil.copytree(made[0] / "keys", home / "keys")
    for home in made:
        (home / "config.toml").write_text(f'[objects]\nurl = "{url}"\n{more}')
    return made


@asynccontextmanager
async def answered(home: Path, upstream: LoopbackUpstream, answer: str = "lost_card") -> AsyncIterator[Ask]:
    """A gateway with a specialist; asks it with a key ("": none) and returns the answer, or the status of a refusal."""
    settings = settings_for(home, upstream.base_url).model_copy(update={"audit_share": 0.0})
    async with (
        running_gateway(home, settings=settings, specialists=InMemorySpecialists(saying(answer))) as url,
        aiohttp.ClientSession() as client,
    ):

        async def ask(key: str) -> str:
            headers = {"authorization": "Bearer sk", **({"x-deputize-key": key} if key else {})}
            request = {"model": "m", "messages": MESSAGES}
            async with client.post(f"{url}/v1/chat/completions", json=request, headers=headers) as reply:
                if reply.status != 200:
                    return f"{reply.status}"
                return str((await reply.json())["choices"][0]["message"]["content"])

        yield ask


async def seconds_until(ask: Ask, wanted: str, key: str = "") -> float:
    """Seconds until a gateway answers so."""
    began = time.monotonic()
    async with asyncio.timeout(30):
        while await ask(key) != wanted:
            await asyncio.sleep(0.02)
    return time.monotonic() - began


def close_all(home: Path) -> None:
    opened = Home(home)
    for route in opened.routes().routes:
        close_route(opened, route)


async def check_close_and_revoke(folder: Path, url: str, upstream: LoopbackUpstream) -> dict[str, float]:
    """Two gateways: routes published and closed on one home and a key revoked there; seconds until the other knew."""
    homes = sharing_homes(folder, url, 2)
    upstream.answer_with(completion("transfer"))
    took: dict[str, float] = {}
    async with answered(homes[0], upstream) as one, answered(homes[1], upstream) as other:
        await asyncio.to_thread(publish, homes[0], route_for(REQUEST, LABELS))
        await seconds_until(one, "lost_card")
        took["published"] = await seconds_until(other, "lost_card")
        await asyncio.to_thread(close_all, homes[0])
        took["closed"] = await seconds_until(other, "transfer")
        await seconds_until(one, "transfer")
        keys = Home(homes[0]).api_keys
        made = await asyncio.to_thread(keys.create, "ingest")
        took["key made"] = await seconds_until(other, "401")
        assert await other(made.text) == "transfer"
        await asyncio.to_thread(Home(homes[0]).api_keys.revoke, made.key.id)
        took["key revoked"] = await seconds_until(other, "401", made.text)
    return took


def check_bucket(url: str) -> None:
    """An object store below an address where nothing is: a name is written once, and a stream is there as a whole or
    not at all."""
    bucket, other = open_bucket(url), open_bucket(url)
    assert bucket.names("p") == [] and bucket.read("p/1") is None
    assert bucket.create("p/1", b"one") and not bucket.create("p/1", b"two")
    assert bucket.create("p/1", b"one"), "an answer that was lost, and a second try"
    assert bucket.read("p/1") == b"one" and other.names("p") == ["1"]
    large = bytes(range(256)) * (20 << 12)
    for name, data in (("p/2", b"three"), ("p/3", large), ("p/4", b"")):
        with bucket.writing(name) as out:
            for start in range(0, len(data), 3 << 20):
                out.write(data[start : start + (3 << 20)])
            assert name[2:] not in other.names("p"), "nothing is there before all of it is"
        with other.reading(name) as file:
            found = file.read(2) + b"".join(iter(lambda: file.read(1 << 20), b""))
        assert found == data
    with pytest.raises(FileNotFoundError), other.reading("p/5"):
        pass
    for n_bytes in (9, 20 << 20):
        with pytest.raises(RuntimeError, match="stop"), bucket.writing("p/5") as out:
            out.write(bytes(n_bytes))
            raise RuntimeError("stop")
    assert other.names("p") == ["1", "2", "3", "4"], "no part of it"
    for name in ("p/2", "p/3", "p/4", "p/4"):
        bucket.remove(name)
    assert other.names("p") == ["1"]


async def test_a_route_closed_and_a_key_revoked_on_one_machine_are_so_on_the_other(
    tmp_path: Path, upstream: LoopbackUpstream
) -> None:
    took = await check_close_and_revoke(tmp_path, f"file://{tmp_path}/shared", upstream)
    assert took["closed"] < CLOSED_WITHIN_S, took


async def test_a_rate_holds_over_both_gateways_of_a_store(tmp_path: Path, upstream: LoopbackUpstream) -> None:
    options = "\n".join(f'{k} = "{v}"' for k, v in postgres_cluster.options_for(tmp_path).items())
    store = f'[store]\nkind = "postgres"\n[store.options]\n{options}\n'
    homes = sharing_homes(tmp_path, f"file://{tmp_path}/shared", 2, store)
    upstream.answer_with(completion("transfer"))
    made = await asyncio.to_thread(
        partial(Home(homes[0]).api_keys.create, "ingest", requests_per_minute=6, usd_per_month=5)
    )
    async with answered(homes[0], upstream) as one, answered(homes[1], upstream) as other:
        await seconds_until(other, "transfer", made.text)
        began = time.monotonic()
        statuses = [await ask(made.text) for _ in range(5) for ask in (one, other)]
        allowed = 5 + (time.monotonic() - began) / 10 + 2
    assert set(statuses) == {"transfer", "429"} and 5 <= statuses.count("transfer") <= allowed


async def test_what_cannot_be_known_is_not_served(tmp_path: Path, upstream: LoopbackUpstream) -> None:
    limits = "max_age_s = 0.6\nkeys_max_age_s = 1.5\npoll_s = 0.05\n"
    homes = sharing_homes(tmp_path, f"file://{tmp_path}/shared", 1, limits)
    publish(homes[0], route_for(REQUEST, LABELS))
    key = Home(homes[0]).api_keys.create("ingest").text
    upstream.answer_with(completion("transfer"))
    async with answered(homes[0], upstream) as ask:
        await seconds_until(ask, "lost_card", key)
        (tmp_path / "shared").rename(tmp_path / "away")
        began = time.monotonic()
        await seconds_until(ask, "transfer", key)
        assert time.monotonic() - began > 0.4
        await seconds_until(ask, "503", key)
        (tmp_path / "away").rename(tmp_path / "shared")
        await seconds_until(ask, "lost_card", key)
