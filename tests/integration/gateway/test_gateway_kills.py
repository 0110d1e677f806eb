"""The life of a route under kill -9: whatever moment a gateway dies at, its evidence and its state go on from there."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import groupby
from pathlib import Path

import aiohttp
import pytest
from tests.integration.gateway.specialists import publish, route_for
from tests.integration.gateway.test_gateway_rollback import KEY, LABELS, REQUEST
from tests.integration.gateway.upstream import LoopbackUpstream, completion

from deputize.gateway.evidence_file import read_evidence
from deputize.home import Home
from deputize.routes_file import read_routes

ORDER = ("shadow", "canary", "live", "rolled_back")
GATEWAY = """
import asyncio, sys
from pathlib import Path
from tests.integration.gateway.specialists import InMemorySpecialists, saying
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for

async def main():
    home, upstream, share, answer = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4]
    settings = settings_for(home, upstream).model_copy(update={"route_poll_s": 0.05, "audit_share": share})
    async with running_gateway(home, settings=settings, specialists=InMemorySpecialists(saying(answer))) as url:
        print(url, flush=True)
        await asyncio.sleep(120)

asyncio.run(main())
"""


@asynccontextmanager
async def killed_gateway(
    home: Path, upstream: LoopbackUpstream, audit_share: float, answer: str
) -> AsyncIterator[str]:
    """A gateway process that ends by kill -9."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", GATEWAY, str(home), upstream.base_url, str(audit_share), answer),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).resolve().parents[3],
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            yield (await process.stdout.readline()).decode().strip()
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()


async def ask_for(base_url: str, seconds: float, first: int) -> list[str]:
    """Who answered each of the calls that one client gets through in that time, one episode each."""
    loop = asyncio.get_running_loop()
    served: list[str] = []
    end = loop.time() + seconds
    async with aiohttp.ClientSession() as session:
        while loop.time() < end:
            async with session.post(
                f"{base_url}/v1/chat/completions",
                json={"model": "big", "messages": REQUEST.messages},
                headers={"x-deputize-episode": f"e{first + len(served)}"},
            ) as reply:
                assert reply.status == 200
                served.append(reply.headers["x-deputize-served-by"])
    return served


def state(home: Path) -> str:
    return read_routes(home / "routes.json", Home(home).routes_seal).routes[0].state


def n_compared(home: Path) -> int:
    evidence = read_evidence(home, None).get(KEY)
    return 0 if evidence is None or evidence.state is None else evidence.state.n_audits


@pytest.mark.slow  # a dozen gateway processes
async def test_a_route_lives_through_kills_and_changed_audit_shares(
    home: Path, upstream: LoopbackUpstream
) -> None:
    home.mkdir()
    (home / "config.toml").write_text(
        "[routes]\nstep_delta = 0.1\nsteps = [0.5]\nepisode_ends_after_s = 0.05\n"
    )
    publish(home, route_for(REQUEST, LABELS, state="shadow"))
    upstream.answer_with(completion("lost_card"))
    rng, n_asked, seen, compared = random.Random(3), 0, ["shadow"], [0]

    async def live_until_killed(answer: str, seconds: float) -> list[str]:
        nonlocal n_asked
        share = rng.choice([0.3, 0.6, 1.0])
        async with killed_gateway(home, upstream, share, answer) as base_url:
            served = await ask_for(base_url, seconds, n_asked)
        n_asked += len(served)
        seen.append(state(home))
        compared.append(n_compared(home))
        return served

    while seen[-1] != "live":
        await live_until_killed("lost_card", rng.uniform(0.1, 0.6))
        assert len(seen) < 40
    assert len(seen) > 3, "it was killed in between"
    assert compared == sorted(compared) and compared[-1] > 0, "what was compared stays compared"
    while seen[-1] == "live":
        await live_until_killed("transfer", rng.uniform(0.1, 0.6))
        assert len(seen) < 80
    assert [ORDER.index(s) for s in seen] == sorted(ORDER.index(s) for s in seen), "no step back, none twice"
    assert seen[-1] == "rolled_back"
    served = await live_until_killed("transfer", 1.0)
    assert served and set(served) == {"llm"}, "a closed route stays closed"
    steps = [
        (e.action, e.detail.get("state"))
        for e in Home(home).audit.entries()
        if e.action in ("route.promote", "route.rollback")
    ]
    # a step is written down before it is done: one that a kill came between is done, and written, by the next process
    assert [step for step, _ in groupby(steps)] == [
        ("route.promote", "canary"),
        ("route.promote", "live"),
        ("route.rollback", steps[-1][1]),
    ]
