"""What Prometheus reads from a running gateway."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import aiohttp
import openai
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.integration.gateway.specialists import InMemorySpecialists, publish, route_for, saying
from tests.integration.gateway.upstream import LoopbackUpstream, completion

from deputize.core.records import Contract, Request
from deputize.gateway.child_process import GatewayProcess, start_gateway_process
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for

MESSAGES = [{"role": "user", "content": "Is it raining? Answer rain or sun."}]
BODY = {"model": "gpt-4o", "messages": MESSAGES}

Read = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def scrape(base_url: str) -> Read:
    """The counters of one scrape on a connection of its own; histograms are counters too."""
    async with aiohttp.ClientSession() as session, session.get(f"{base_url}/metrics") as reply:
        text = await reply.text()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        if family.type in ("counter", "histogram")
        for sample in family.samples
    }


async def ask(base_url: str, n: int) -> None:
    for _ in range(n):  # a connection each, so that every worker gets some
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{base_url}/v1/chat/completions", json=BODY) as reply,
        ):
            assert reply.status == 200


def workers(gateway: GatewayProcess) -> list[int]:
    """Process ids of the workers; each has the writer of the store for a child."""
    found: list[int] = []
    for child in psutil.Process(gateway.pid).children():
        with contextlib.suppress(psutil.NoSuchProcess):
            found += [child.pid] if child.children() else []
    return found


async def until_replaced(gateway: GatewayProcess, gone: set[int], n_workers: int) -> None:
    """Waits until these are gone and all workers serve."""
    for _ in range(600):
        with contextlib.suppress(aiohttp.ClientError):
            async with (
                aiohttp.ClientSession() as session,
                session.get(f"{gateway.base_url}/metrics") as reply,
            ):
                serving = f"deputize_workers {n_workers}" in (await reply.text()).splitlines()
            if serving and not gone & set(workers(gateway)):
                return
        await asyncio.sleep(0.1)
    pytest.fail(f"the workers were not replaced: {gateway.log_path.read_text()}")


async def counted_in_time(base_url: str, n_calls: int) -> float:
    """The calls that a scrape shows, once they are `n_calls` or ten seconds are over."""
    counted = -1.0
    for _ in range(100):
        with contextlib.suppress(aiohttp.ClientError):
            read = await scrape(base_url)
            counted = sum(v for (name, _), v in read.items() if name == "deputize_calls_total")
        if counted == n_calls:
            break
        await asyncio.sleep(0.1)
    return counted


@pytest.mark.parametrize("n_workers", [1, 2])
async def test_counters_never_fall_when_workers_die_and_are_replaced(
    home: Path, upstream: LoopbackUpstream, n_workers: int
) -> None:
    upstream.answer_with(completion())
    started = await asyncio.to_thread(start_gateway_process, home, upstream.base_url, workers=n_workers)
    with started as gateway:
        await until_replaced(gateway, set(), n_workers)
        before: Read = {}
        n_calls = 0
        for step in ("ask", "kill", "ask", "replace", "ask"):
            if step == "ask":
                await ask(gateway.base_url, 8)
                n_calls += 8
            else:
                old = set(workers(gateway))
                if step == "kill":
                    os.kill(min(old), signal.SIGKILL)
                    gone = {min(old)}
                else:
                    os.kill(gateway.pid, signal.SIGHUP)
                    gone = old
                await until_replaced(gateway, gone, n_workers)
            for _ in range(4):
                try:
                    read = await scrape(gateway.base_url)
                except aiohttp.ClientError:  # the worker that was killed had taken the connection
                    continue
                fallen = {
                    key: (value, read.get(key))
                    for key, value in before.items()
                    if read.get(key, -1.0) < value
                }
                assert not fallen, f"after {step}"
                before = read
            # numbers of another worker may be a second old, and one that is killed takes what it had not written with it
            assert await counted_in_time(gateway.base_url, n_calls) == n_calls, f"after {step}"
    assert not list((home / "gateway").glob("metrics-*")), "the next gateway begins with nothing"


async def test_a_served_call_and_one_of_the_llm_are_told_apart(
    home: Path, upstream: LoopbackUpstream
) -> None:
    upstream.answer_with(completion("rain"))
    publish(home, route_for(Request(messages=MESSAGES), Contract(kind="label", labels=["rain", "sun"])))
    settings = settings_for(home, upstream.base_url).model_copy(update={"audit_share": 0.0})
    specialists = InMemorySpecialists(saying("sun"))
    async with (
        running_gateway(home, settings=settings, specialists=specialists) as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
    ):
        await client.chat.completions.create(model="gpt-4o", messages=MESSAGES)  # type: ignore[arg-type]
        await client.chat.completions.create(
            model="gpt-4o",
            messages=[
                {"role": "system", "content": "Be a poet."},
                {"role": "user", "content": "Write a poem."},
            ],
        )
        await client.embeddings.create(model="embed-1", input="a", encoding_format="float")
        read = await scrape(base_url)
    calls = [
        (dict(labels), value) for (name, labels), value in read.items() if name == "deputize_calls_total"
    ]
    by_model = {(c["served_by"], c["route"], c["task"], c["model"], c["tenant"]): v for c, v in calls}
    assert by_model == {
        ("slm", "route-1", "intent", "gpt-4o", "default"): 1,
        ("llm", "", "", "gpt-4o", "default"): 1,
        ("llm", "", "", "embed-1", "default"): 1,
    }
    usd = {
        dict(ls)["model"]: v
        for (name, ls), v in read.items()
        if name == "deputize_cost_usd_total" and dict(ls)["served_by"] == "llm"
    }
    assert usd["gpt-4o"] > 0
