"""A gateway whose specialists are on hosts of their own: served, and where a host is wrong, slow or dead, the LLM
answers in time."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from tests import tiny_tasks
from tests.integration.gateway.test_gateway_routes import LABELS, REQUEST
from tests.integration.gateway.upstream import LoopbackUpstream, completion
from tests.scripted_hosts import publish_pinned, says, scripted_host, until_ready

from deputize.core.records import Prediction, Request
from deputize.gateway.addresses import free_port
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.home import Home
from deputize.specialists.serving.base import ServedVersion
from deputize.specialists.serving.frames import PredictReply
from deputize.specialists.serving.host_messages import PURPOSE
from deputize.specialists.specialist_card import CARD, digest_of

MAX_MS = 400.0
NAME = "specialists/intent-linear"


class Asker:
    """A client of a gateway."""

    def __init__(self, url: str, client: aiohttp.ClientSession) -> None:
        self._url, self._client = url, client

    async def ask(self, request: Request) -> str:
        """Who answered: slm or llm."""
        body = {"model": "m", "messages": request.messages}
        head = {"authorization": "Bearer sk"}
        async with self._client.post(f"{self._url}/v1/chat/completions", json=body, headers=head) as reply:
            assert reply.status == 200, await reply.text()
            await reply.json()
            return reply.headers["x-deputize-served-by"]


@asynccontextmanager
async def gateway_of(home: Path, upstream: LoopbackUpstream, *hosts: str) -> AsyncIterator[Asker]:
    named = ", ".join(f'"{host}"' for host in hosts)
    (home / "config.toml").write_text(
        f"[serving]\nhosts = [{named}]\ncheck_s = 0.2\n[routes]\nmax_ms = {MAX_MS}\n"
    )
    settings = settings_for(home, upstream.base_url).model_copy(update={"audit_share": 0.0})
    async with running_gateway(home, settings=settings) as url, aiohttp.ClientSession() as client:
        yield Asker(url, client)


def home_with_a_card(home: Path) -> tuple[bytes, str]:
    """(secret of its hosts, digest of the card) of a home with a route to a specialist."""
    (home / NAME).mkdir(parents=True)
    (home / NAME / CARD).write_text("{}")
    publish_pinned(home, NAME, REQUEST, LABELS, engine="f32")
    return Home(home).keyring.derive(PURPOSE), digest_of(home / NAME / CARD)


async def test_a_host_answers_with_the_certified_version_and_engine_only(
    home: Path, upstream: LoopbackUpstream, tmp_path: Path
) -> None:
    secret, card = home_with_a_card(home)
    upstream.answer_with(completion("transfer"))
    async with scripted_host(
        tmp_path / "host", secret, {NAME: ServedVersion(card)}, says("lost_card", card, "f32")
    ) as host:
        for answer, wanted in (
            (says("lost_card", card, "f32"), "slm"),
            (says("lost_card", "another card", "f32"), "llm"),
        ):
            host.worker.answer = answer
            async with gateway_of(home, upstream, host.address) as asker:
                assert await asker.ask(REQUEST) == wanted
        host.worker.answer = says("lost_card", card, "f16")
        async with gateway_of(home, upstream, host.address) as asker:
            assert await asker.ask(REQUEST) == "llm"
            host.worker.answer = says("lost_card", card, "f32")
            assert await asker.ask(REQUEST) == "llm", "that host is not asked any more"


async def test_the_llm_answers_within_the_time_of_the_route_where_a_host_hangs_or_is_forged(
    home: Path, upstream: LoopbackUpstream, tmp_path: Path
) -> None:
    async def hangs(specialist: str, request: Request) -> PredictReply:
        await asyncio.sleep(60)
        return PredictReply(id=1, prediction=Prediction(answer="lost_card", confidence=1.0))

    secret, card = home_with_a_card(home)
    upstream.answer_with(completion("transfer"))
    versions = {NAME: ServedVersion(card)}
    async with (
        scripted_host(tmp_path / "host", secret, versions, hangs) as hung,
        gateway_of(home, upstream, hung.address) as asker,
    ):
        began = time.monotonic()
        assert await asker.ask(REQUEST) == "llm"
        assert time.monotonic() - began < MAX_MS / 1e3 + 3.0
    async with (
        scripted_host(tmp_path / "forged", b"f" * 32, versions, says("lost_card", card, "f32")) as forged,
        gateway_of(home, upstream, forged.address) as asker,
    ):
        assert await asker.ask(REQUEST) == "llm" and forged.worker.asked == 0


@asynccontextmanager
async def host_process(home: Path, models: Path) -> AsyncIterator[tuple[asyncio.subprocess.Process, str]]:
    """`deputize specialists serve` in a process of its own."""
    port = free_port()
    command = [sys.executable, "-m", "deputize.cli.main", "--home", str(home), "specialists", "serve"]
    with (home / "host.log").open("wb") as out:
        process = await asyncio.create_subprocess_exec(
            *command,
            "--port",
            str(port),
            stdout=out,
            stderr=out,
            env={**os.environ, "DEPUTIZE_MODELS": str(models), "OMP_NUM_THREADS": "1"},
        )
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
        await process.wait()


async def _until_served(asker: Asker, request: Request, within_s: float = 90.0) -> None:
    async with asyncio.timeout(within_s):
        while await asker.ask(request) != "slm":
            await asyncio.sleep(0.1)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_hosts_that_are_killed_and_stopped_lose_no_call(
    home: Path, upstream: LoopbackUpstream, tmp_path: Path, tiny: tuple[Path, str]
) -> None:
    request, name = tiny_tasks.example("label", 1, "test").request, "specialists/label-linear"
    tiny_tasks.train(home, *tiny, ("label",), ("linear",), n=40)
    publish_pinned(home, name, request, tiny_tasks.CONTRACTS["label"], engine="local")
    homes = [tmp_path / f"host-{n}" for n in range(2)]
    for one in homes:
        shutil.copytree(home, one)
    upstream.answer_with(completion("yes"))
    async with (
        host_process(homes[0], tiny[0]) as (first, address),
        host_process(homes[1], tiny[0]) as (second, other),
        AsyncExitStack() as stack,
    ):
        for one_address in (address, other):
            await until_ready(one_address)
        asker = await stack.enter_async_context(gateway_of(home, upstream, address, other))
        await _until_served(asker, request)
        first.kill()
        await first.wait()
        # whichever was asked, the other one answers
        by = [await asker.ask(request) for _ in range(20)]
        assert by.count("slm") >= 10, by
        await _until_served(asker, request)
        second.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        assert await asker.ask(request) == "llm"
        assert time.monotonic() - began < MAX_MS / 1e3 + 5.0
        await asyncio.sleep(2.0)  # it is left out by now: nobody waits for it
        began = time.monotonic()
        assert await asker.ask(request) == "llm"
        assert time.monotonic() - began < MAX_MS / 1e3
        second.send_signal(signal.SIGCONT)
        await _until_served(asker, request)
