"""A route under the real gateway: from shadow to live by its own calls, in every worker, over restarts."""

from __future__ import annotations

import asyncio
from pathlib import Path

import openai
from tests.integration.gateway.specialists import publish, route_for
from tests.integration.gateway.test_gateway_rollback import LABELS, REQUEST, GoesBad, gateway, other_worker
from tests.integration.gateway.upstream import LoopbackUpstream, completion

from deputize.home import Home
from deputize.routes_file import read_routes


async def ask(base_url: str, episode: str) -> str:
    async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client:
        raw = await client.chat.completions.with_raw_response.create(
            model="big",
            messages=REQUEST.messages,  # type: ignore[arg-type]
            extra_headers={"x-deputize-episode": episode},
        )
    return str(raw.headers["x-deputize-served-by"])


def state(home: Path) -> str:
    return read_routes(home / "routes.json").routes[0].state


async def until(home: Path, base_url: str, wanted: str, n: int) -> int:
    """Asks one episode after another until the route is in a state; the number of the last one."""
    while state(home) != wanted:
        await ask(base_url, f"e{n}")
        n += 1
        await asyncio.sleep(0.02)
        assert n < 400
    return n


async def test_a_route_goes_live_by_its_own_calls_and_a_restart_keeps_what_it_has_earned(
    home: Path, upstream: LoopbackUpstream
) -> None:
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(
        "[routes]\nstep_delta = 0.5\nsteps = [0.5]\nepisode_ends_after_s = 0.05\n"
    )
    publish(home, route_for(REQUEST, LABELS, state="shadow"))
    upstream.answer_with(completion("lost_card"))
    async with other_worker(home, upstream) as other:
        async with gateway(home, upstream, GoesBad()) as first:
            assert await ask(first, "e0") == "llm", "in shadow the LLM answers"
            n = await until(home, first, "canary", 1)
        async with gateway(home, upstream, GoesBad()) as second:
            one = set()
            for _ in range(4):
                one.add(await ask(second, "the same"))
                # else these are one episode of four calls, after which every episode weighs a quarter
                await asyncio.sleep(0.15)
            assert len(one) == 1, "an episode stays on its side"
            n = await until(home, second, "live", n)
            assert await ask(second, f"e{n}") == "slm"
        async with asyncio.timeout(10):
            while await ask(other, "elsewhere") == "llm":
                await asyncio.sleep(0.05)
    entries = [e for e in Home(home).audit.entries() if e.action == "route.promote"]
    assert [(e.detail["before"], e.detail["state"], e.actor) for e in entries] == [
        ("shadow 1", "canary", "gateway"),
        ("canary 0.5", "live", "gateway"),
    ]
    assert all(int(e.detail["differed"]) == 0 < int(e.detail["compared"]) for e in entries)
