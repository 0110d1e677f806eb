"""Two gateways, each with a home of its own, and one store in PostgreSQL: real answers, a server that goes away and
comes back."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import aiohttp
from tests import postgres_cluster
from tests.integration.gateway.upstream import LoopbackUpstream, completion

from deputize.gateway.launch import running_gateway
from deputize.home import Home
from deputize.store.recording.journal_backlog import backlog_of


def shared_homes(folder: Path, n_homes: int, url: str = "") -> list[Path]:
    """Homes with the same keys and the same store (`url`; by default in the cluster of the tests), made by the first
    one."""
    options = {"url": url} if url else postgres_cluster.options_for(folder)
    lines = "\n".join(f'{name} = "{value}"' for name, value in options.items())
    made = [folder / f"home-{n}" for n in range(n_homes)]
    for home in made:
        home.mkdir()
        (home / "config.toml").write_text(f'[store]\nkind = "postgres"\n[store.options]\n{lines}\n')
    with Home(made[0]) as first:
        assert first.store.count() == 0
    for other in made[1:]:
        shutil.copytree(made[0] / "keys", other / "keys")
    return made


async def ask(url: str, text: str) -> str:
    request = {"model": "m", "messages": [{"role": "user", "content": text}]}
    async with (
        aiohttp.ClientSession() as client,
        client.post(
            f"{url}/v1/chat/completions", json=request, headers={"authorization": "Bearer sk"}
        ) as reply,
    ):
        assert reply.status == 200
        return str((await reply.json())["choices"][0]["message"]["content"])


async def metric(url: str, name: str) -> float:
    async with aiohttp.ClientSession() as client, client.get(f"{url}/metrics") as reply:
        lines = (await reply.text()).splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


async def test_two_gateways_share_a_store_that_goes_away_and_comes_back(
    tmp_path: Path, upstream: LoopbackUpstream
) -> None:
    homes = shared_homes(tmp_path, 3)
    upstream.answer_with(completion("yes"))
    cluster = postgres_cluster.cluster()
    async with (
        running_gateway(homes[0], upstream.base_url) as one,
        running_gateway(homes[1], upstream.base_url) as other,
    ):
        assert [await ask(url, f"{n}") for n, url in enumerate((one, other, one))] == ["yes"] * 3
        await asyncio.to_thread(cluster.stop)
        try:
            assert [await ask(url, f"away {n}") for n, url in enumerate((one, other))] == ["yes", "yes"]
            assert await metric(one, "deputize_recorder_pending") >= 1
            assert backlog_of((homes[1] / "journal",)).n_bytes > 0
            async with running_gateway(homes[2], upstream.base_url) as late:
                assert await ask(late, "late") == "yes"
        finally:
            await asyncio.to_thread(cluster.start)
    with Home(homes[2]) as home:  # whatever opens it takes in what it had answered
        asked = sorted(str(c.messages[0]["content"]) for c in home.store.calls())
    assert asked == ["0", "1", "2", "away 0", "away 1", "late"]
