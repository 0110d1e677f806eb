"""Two gateways on one PostgreSQL under kill -9 of a gateway, of a mover and of the server: no answered call is lost."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import socket
import sys
from pathlib import Path
from typing import NamedTuple

import aiohttp
import psutil
import pytest
from tests import postgres_cluster
from tests.integration.gateway.test_gateway_shared_store import ask, shared_homes
from tests.integration.gateway.upstream import LoopbackUpstream, completion

from deputize.home import Home

N_KILLS = 12
KINDS = ("gateway", "mover", "server")
BETWEEN_S = (0.2, 1.5)


class ServedGateway:
    """`deputize serve` on a home, killed and started again at the same port."""

    def __init__(self, home: Path, upstream: str) -> None:
        self.home, self._upstream = home, upstream
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deputize.cli.main", "--home", str(self.home), "serve"),
            *("--upstream", self._upstream, "--port", str(self.port)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with aiohttp.ClientSession() as client:
            for _ in range(600):
                with contextlib.suppress(aiohttp.ClientError):
                    async with client.get(f"{self.url}/healthz"):
                        return
                await asyncio.sleep(0.1)
        raise AssertionError("the gateway does not answer")

    def _tree(self) -> list[psutil.Process]:
        top = psutil.Process(self._process.pid)
        return [top, *top.children(recursive=True)]

    async def kill(self) -> None:
        """All of it at once, as a machine that loses its power."""
        for process in self._tree():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        await self._process.wait()

    def kill_mover(self) -> bool:
        """The process that a worker has its calls moved by; False where that has been killed before."""
        leaves = [one for one in self._tree()[1:] if one.ppid() != self._process.pid]
        for process in leaves:
            process.send_signal(signal.SIGKILL)
        return bool(leaves)

    async def stop(self) -> None:
        self._process.terminate()
        await self._process.wait()


async def keep_asking(gateway: ServedGateway, name: str, answered: set[str], pause_s: float) -> None:
    for number in range(1_000_000):
        text = f"{name} {number}"
        try:
            assert await ask(gateway.url, text) == "yes"
            answered.add(text)
        except (aiohttp.ClientError, AssertionError, TimeoutError):
            await asyncio.sleep(0.05)  # refused or cut: nothing was promised
        await asyncio.sleep(pause_s)


class AfterKills(NamedTuple):
    """What is left when everything has been killed often enough."""

    answered: set[str]
    """Texts of calls whose answer has come."""
    kept: list[str]
    """Texts of the calls in the store."""
    killed: dict[str, int]


async def killed_at_random(
    homes: list[Path],
    upstream: str,
    cluster: postgres_cluster.Cluster,
    n_kills: int,
    dice: random.Random,
    *,
    between_s: tuple[float, float] = BETWEEN_S,
    pause_s: float = 0.0,
) -> AfterKills:
    """Clients ask a gateway on each home while a gateway, a mover or the server is killed, in an order that is drawn.

    Args:
        homes: share a store in `cluster`.
        upstream: address of an LLM that says "yes".
        cluster: the server.
        n_kills: of all three kinds.
        dice: draws.
        between_s: least and most seconds between two kills.
        pause_s: of a client between two calls.
    """
    gateways = [ServedGateway(home, upstream) for home in homes]
    await asyncio.gather(*(one.start() for one in gateways))
    answered: set[str] = set()
    asking = [
        asyncio.create_task(keep_asking(g, f"{n}-{i}", answered, pause_s))
        for n, g in enumerate(gateways)
        for i in (1, 2)
    ]
    killed = dict.fromkeys(KINDS, 0)
    deck: list[str] = []
    while sum(killed.values()) < n_kills:
        await asyncio.sleep(dice.uniform(*between_s))
        deck = deck or dice.sample(KINDS, len(KINDS))
        what, gateway = deck.pop(), dice.choice(gateways)
        if what == "gateway":
            await gateway.kill()
            await gateway.start()
        elif what == "server":
            await asyncio.to_thread(cluster.kill)
            await asyncio.sleep(dice.uniform(0, 0.5))
            await asyncio.to_thread(cluster.start)
        elif not gateway.kill_mover():
            continue
        killed[what] += 1
    for task in asking:
        task.cancel()
    await asyncio.gather(*asking, return_exceptions=True)
    await asyncio.gather(*(one.stop() for one in gateways))
    kept: list[str] = []
    for home in homes:
        with Home(home) as opened:
            kept = [
                str(c.messages[0]["content"]) for c in opened.store.calls() if not c.aborted and c.messages
            ]
    return AfterKills(answered, kept, killed)


@pytest.mark.slow
@pytest.mark.timeout(900)
async def test_no_answered_call_is_lost_whatever_is_killed(
    tmp_path: Path, upstream: LoopbackUpstream
) -> None:
    """The same with 200 kills and fsync: `python -m benchmarks.store_kills`."""
    upstream.answer_with(completion("yes"))
    found = await killed_at_random(
        shared_homes(tmp_path, 2), upstream.base_url, postgres_cluster.cluster(), N_KILLS, random.Random(7)
    )
    assert min(found.killed.values()) > 0 and len(found.answered) > 20 * N_KILLS / 12
    assert found.answered - set(found.kept) == set(), "lost"
    assert len(found.kept) == len(set(found.kept)), "kept twice"
