"""What one client may take, and what happens when a worker dies, the disk is full, the store locked, the clock wrong."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from tests import tiny_tasks
from tests.integration.gateway.frames import look
from tests.integration.gateway.specialists import publish, route_for
from tests.integration.gateway.upstream import LoopbackUpstream, Stream, Whole, chunk, completion, text_stream

from deputize.core.records import Call
from deputize.gateway.child_process import start_gateway_process
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import GatewaySettings, settings_for
from deputize.home import Home
from deputize.upstreams.upstream_config import UpstreamConfig

Recorded = Callable[[int], list[Call]]
MESSAGES: list[Any] = [{"role": "user", "content": "q"}]
BODY = {"model": "big", "messages": MESSAGES}
PATH = "/v1/chat/completions"


def request(body: bytes, head: bytes = b"") -> bytes:
    return (
        b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n%bcontent-length: %d\r\n\r\n%b"
        % (
            PATH.encode(),
            head,
            len(body),
            body,
        )
    )


async def connect(base_url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = base_url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def ask(session: aiohttp.ClientSession, base_url: str) -> tuple[int, str]:
    """Status and call id of one call."""
    async with session.post(base_url + PATH, json=BODY) as reply:
        await reply.read()
        return reply.status, reply.headers.get("x-deputize-request-id", "")


def worker_of(pid: int) -> psutil.Process:
    """The process that answers."""
    return next(c for c in psutil.Process(pid).children() if "deputize.gateway" in " ".join(c.cmdline()))


# --- slow clients ----------------------------------------------------------------------------------------------------


async def test_a_slow_head_or_body_is_not_waited_for(home: Path, upstream: LoopbackUpstream) -> None:
    changed = {"header_timeout_s": 0.2, "body_timeout_s": 0.2, "idle_timeout_s": 0.6}
    settings = settings_for(home, upstream.base_url).model_copy(update=changed)
    upstream.answer_with(completion())
    whole = request(json.dumps(BODY).encode())
    async with running_gateway(home, settings=settings) as base_url:
        for sent in (whole[:20], whole[:-5]):
            reader, writer = await connect(base_url)
            writer.write(sent)
            began = time.monotonic()
            answer = await asyncio.wait_for(reader.read(), 5)
            assert answer.startswith(b"HTTP/1.1 408 ") and b"did not come in in time" in answer
            assert time.monotonic() - began < 3
            writer.close()
        # nothing at all: closed without a word; a whole request: answered, and closed once it has been idle
        reader, writer = await connect(base_url)
        assert await asyncio.wait_for(reader.read(), 5) == b""
        writer.close()
        reader, writer = await connect(base_url)
        writer.write(whole)
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 200 ")
        writer.close()
    assert len(upstream.seen) == 1


async def test_a_client_that_takes_nothing_is_let_go(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    settings = settings_for(home, upstream.base_url).model_copy(update={"write_timeout_s": 0.3})
    upstream.answer_with(Stream([chunk({"content": "x" * 60_000})] * 400, end="stall"))
    async with running_gateway(home, settings=settings) as base_url:
        reader, writer = await connect(base_url)
        writer.write(request(json.dumps({**BODY, "stream": True}).encode()))
        assert await reader.read(10) == b"HTTP/1.1 2"
        async with asyncio.timeout(10):  # reads no more; the upstream is told that nobody listens
            while not upstream.n_gone:
                await asyncio.sleep(0.05)
        writer.close()
    call = recorded(1)[0]
    assert call.aborted and len(call.response["content"]) >= 60_000


async def test_requests_sent_ahead_and_byte_by_byte_are_answered_in_order(
    home: Path, upstream: LoopbackUpstream
) -> None:
    upstream.script = lambda seen: Whole(
        completion(seen.json["messages"][0]["content"]).body, wait_s=0.02 if len(upstream.seen) == 1 else 0
    )
    bodies = [
        json.dumps({**BODY, "messages": [{"role": "user", "content": f"n{i}"}]}).encode() for i in range(20)
    ]
    async with running_gateway(home, upstream.base_url) as base_url:
        reader, writer = await connect(base_url)
        writer.write(b"".join(request(b) for b in bodies[:19]))
        for byte in request(bodies[19], b"expect: 100-continue\r\nconnection: close\r\n"):
            writer.write(bytes([byte]))
        answers = await asyncio.wait_for(reader.read(), 20)
        writer.close()
    places = [answers.index(b'"n%d"' % i) for i in range(20)]
    assert places == sorted(places) and answers.count(b"HTTP/1.1 200") == 20


async def test_http_1_0_and_upgrades_get_plain_answers(home: Path, upstream: LoopbackUpstream) -> None:
    upstream.answer_with(Stream(text_stream("a", "b")))
    body = json.dumps({**BODY, "stream": True}).encode()
    async with running_gateway(home, upstream.base_url) as base_url:
        old = request(body).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
        upgrade = request(body, b"upgrade: h2c\r\nconnection: upgrade, close\r\n")
        for data, framed in ((old, False), (upgrade, True)):
            reader, writer = await connect(base_url)
            writer.write(data)
            answer = await asyncio.wait_for(reader.read(), 10)
            assert answer.startswith(b"HTTP/1.1 200 ") and b"[DONE]" in answer
            assert (b"transfer-encoding: chunked" in answer) == framed
            writer.close()


async def test_ten_thousand_idle_connections_do_no_harm(home: Path, upstream: LoopbackUpstream) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    room = (hard if hard != resource.RLIM_INFINITY else 100_000) - 500
    wanted = min(10_000, room)
    assert wanted >= 1000, f"the hard limit of {hard} open files leaves no room for this test"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted + 500), hard))
    upstream.answer_with(completion())
    idle: list[socket.socket] = []
    with await asyncio.to_thread(start_gateway_process, home, upstream.base_url) as gateway:
        host, port = gateway.base_url.removeprefix("http://").split(":")
        try:

            def open_all() -> None:
                for _ in range(wanted):
                    idle.append(socket.create_connection((host, int(port)), timeout=10))

            await asyncio.to_thread(open_all)
            async with aiohttp.ClientSession() as session:
                began = time.monotonic()
                assert (await ask(session, gateway.base_url))[0] == 200
                assert time.monotonic() - began < 5
        finally:
            for connection in idle:
                connection.close()


# --- workers ---------------------------------------------------------------------------------------------------------


async def test_a_worker_that_dies_is_replaced_and_loses_nothing(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(completion())
    with await asyncio.to_thread(start_gateway_process, home, upstream.base_url) as gateway:
        async with aiohttp.ClientSession() as session:
            first = await ask(session, gateway.base_url)
            dead = await asyncio.to_thread(worker_of, gateway.pid)
            dead.kill()
            async with asyncio.timeout(20):
                while True:
                    try:
                        second = await ask(session, gateway.base_url)
                        break
                    except aiohttp.ClientError:
                        await asyncio.sleep(0.05)
            assert (await asyncio.to_thread(worker_of, gateway.pid)).pid != dead.pid
    assert first[0] == second[0] == 200
    assert {c.id for c in recorded(2)} == {first[1], second[1]}


async def test_sighup_takes_new_settings_without_dropping_a_stream(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(Stream(text_stream("a", "b", "c", wait_s=1.0)))
    with await asyncio.to_thread(start_gateway_process, home, upstream.base_url) as gateway:
        async with (
            aiohttp.ClientSession() as session,
            session.post(gateway.base_url + PATH, json={**BODY, "stream": True}) as stream,
        ):
            (home / "config.toml").write_text("[gateway]\nmax_body_mb = 0.00005\n")
            os.kill(gateway.pid, signal.SIGHUP)
            async with asyncio.timeout(20):
                while (await ask(session, gateway.base_url))[0] != 413:
                    await asyncio.sleep(0.1)
            assert b"[DONE]" in await stream.read()
            (home / "config.toml").write_text("[gateway]\nmax_body_mb = -1\n")
            os.kill(gateway.pid, signal.SIGHUP)  # cannot be used: the settings stay as they were
            await asyncio.sleep(0.3)
            assert (await ask(session, gateway.base_url))[0] == 413


# --- disk, store, clock ----------------------------------------------------------------------------------------------


async def test_a_full_disk_is_503_and_loses_no_acknowledged_call(
    home: Path, upstream: LoopbackUpstream
) -> None:
    if not hasattr(resource, "prlimit"):
        pytest.skip("a limit on another process needs Linux")
    home.mkdir()
    (home / "config.toml").write_text("[gateway]\nrecord_wait_s = 0.1\n")
    upstream.answer_with(completion())
    acknowledged: set[str] = set()
    with await asyncio.to_thread(start_gateway_process, home, upstream.base_url) as gateway:
        async with aiohttp.ClientSession() as session:
            for _ in range(5):
                status, id_ = await ask(session, gateway.base_url)
                assert status == 200
                acknowledged.add(id_)
            worker = (await asyncio.to_thread(worker_of, gateway.pid)).pid
            # every file of the worker is as large as it may be, from now on
            unlimited = resource.prlimit(worker, resource.RLIMIT_FSIZE)
            resource.prlimit(worker, resource.RLIMIT_FSIZE, (64, unlimited[1]))
            async with session.post(gateway.base_url + PATH, json=BODY) as reply:
                assert reply.status == 503
                message = (await reply.json())["error"]["message"]
            assert "journal" in message or "recorded" in message
            resource.prlimit(worker, resource.RLIMIT_FSIZE, unlimited)
            async with asyncio.timeout(20):
                while (answer := await ask(session, gateway.base_url))[0] != 200:
                    await asyncio.sleep(0.1)
            acknowledged.add(answer[1])
    store = Home(home).open_store()
    kept = {c.id for c in store.calls()}
    store.close()
    assert acknowledged <= kept


async def test_a_locked_store_holds_nothing_up(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(completion())
    async with running_gateway(home, upstream.base_url) as base_url, aiohttp.ClientSession() as session:
        lock = sqlite3.connect(home / "store.db", isolation_level=None)
        lock.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        answers = [await ask(session, base_url) for _ in range(5)]
        assert time.monotonic() - began < 5 and all(status == 200 for status, _ in answers)
        lock.execute("ROLLBACK")
        lock.close()
    assert {c.id for c in recorded(5)} == {id_ for _, id_ in answers}


async def test_a_clock_that_goes_backwards_costs_no_call(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(completion())
    times = iter([1_800_000_000.0, 1_700_000_000.0, 0.0, -5.0, float("nan")])
    async with (
        running_gateway(home, upstream.base_url, clock=lambda: next(times)) as base_url,
        aiohttp.ClientSession() as session,
    ):
        answers = [await ask(session, base_url) for _ in range(5)]
    assert all(status == 200 for status, _ in answers)
    calls = recorded(5)
    assert all(c.latency_ms is not None and 0 <= c.latency_ms < 60_000 for c in calls)


# --- a real specialist -----------------------------------------------------------------------------------------------


async def test_a_real_linear_specialist_answers_live(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, tmp_path: Path
) -> None:
    """Trained here, published, served by the real worker process."""
    finetuned = await asyncio.to_thread(
        tiny_tasks.train, home, tmp_path / "models", "", ("label",), ("linear",)
    )
    (specialist,) = finetuned.specialists
    file = route_for(
        tiny_tasks.example("label", 8, "test").request, tiny_tasks.CONTRACTS["label"], threshold=0.5
    )
    route = file.routes[0]
    publish(
        home,
        type(file)(
            run_id="r",
            keyspaces=file.keyspaces,
            routes=[
                type(route)(
                    **{
                        **{f: getattr(route, f) for f in route.__struct_fields__},
                        "specialist": specialist.path,
                    }
                )
            ],
        ),
    )
    upstream.answer_with(completion("perhaps"))
    requests = [tiny_tasks.example("label", i, "test").request for i in range(80) if i % 10 == 9]
    settings = settings_for(home, upstream.base_url).model_copy(update={"audit_share": 0.0})
    async with (
        running_gateway(home, settings=settings) as base_url,
        aiohttp.ClientSession() as session,
    ):
        served = ""
        async with asyncio.timeout(60):  # until the worker has loaded it
            while served != "slm":
                async with session.post(
                    base_url + PATH, json={"model": "big", "messages": requests[0].messages}
                ) as one:
                    served = one.headers["x-deputize-served-by"]
        n_llm = len(upstream.seen)
        for one_request in requests:
            async with session.post(
                base_url + PATH, json={"model": "big", "messages": one_request.messages}
            ) as reply:
                said = (await reply.json())["choices"][0]["message"]["content"]
                assert (said in ("yes", "no")) == (reply.headers["x-deputize-served-by"] == "slm")
        n_slm = len(requests) - (len(upstream.seen) - n_llm)
    assert n_slm >= len(requests) // 2
    decisions = [c.decision for c in recorded(n_llm + 1 + len(requests))]
    assert {d.reason for d in decisions if d and d.served_by == "slm"} == {"live"}


@pytest.mark.slow
async def test_memory_does_not_grow(home: Path, upstream: LoopbackUpstream) -> None:
    upstream.answer_with(completion())
    data = request(json.dumps(BODY).encode())
    with await asyncio.to_thread(start_gateway_process, home, upstream.base_url) as gateway:
        worker = await asyncio.to_thread(worker_of, gateway.pid)

        async def load(n: int) -> None:
            reader, writer = await connect(gateway.base_url)
            for _ in range(n):
                writer.write(data)
                head = await reader.readuntil(b"\r\n\r\n")
                size = next(
                    int(v)
                    for k, _, v in (x.partition(b":") for x in head.lower().split(b"\r\n"))
                    if k == b"content-length"
                )
                await reader.readexactly(size)
                upstream.seen.clear()
            writer.close()

        await asyncio.gather(*(load(500) for _ in range(8)))
        await asyncio.sleep(1)
        before = worker.memory_info().rss
        await asyncio.gather(*(load(2500) for _ in range(8)))
        await asyncio.sleep(1)
        after = worker.memory_info().rss
    assert after / before - 1 < 0.05, f"from {before / 2**20:.1f} to {after / 2**20:.1f} MiB"


@pytest.mark.parametrize("on_full", ["spill", "block"])
async def test_a_journal_that_cannot_be_written_spills_or_holds_back_as_configured(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, tmp_path: Path, on_full: str
) -> None:
    """Spilled calls lie sealed on the other disk and come back at the next start; a refused one is counted."""
    upstream.answer_with(completion("ostrich"))
    home.mkdir()
    (home / "journal").write_text("in the way")
    spill = tmp_path / "other-disk"
    changed = {"on_full": on_full, "record_wait_s": 0.1, "spill_folder": str(spill)}
    settings = settings_for(home, upstream.base_url).model_copy(update=changed)

    async def counted(session: aiohttp.ClientSession, base_url: str) -> dict[str, str]:
        async with session.get(f"{base_url}/metrics") as reply:
            lines = (await reply.text()).splitlines()
        return dict(line.rsplit(" ", 1) for line in lines if line.startswith("deputize_recorder"))

    async with running_gateway(home, settings=settings) as base_url, aiohttp.ClientSession() as session:
        status, _ = await ask(session, base_url)
        counts = await counted(session, base_url)
    assert status == (200 if on_full == "spill" else 503)
    assert counts["deputize_recorder_refused_total"] == ("0" if on_full == "spill" else "1")
    assert counts["deputize_recorder_spilled_total"] == ("1" if on_full == "spill" else "0")
    assert counts["deputize_recorder_queued_total"] == ("1" if on_full == "spill" else "0")
    assert not [f for f in spill.glob("*") if b"ostrich" in f.read_bytes()]
    (home / "journal").unlink()
    async with running_gateway(home, settings=settings) as base_url, aiohttp.ClientSession() as session:
        assert (await ask(session, base_url))[0] == 200
    assert len(recorded(2 if on_full == "spill" else 1)) >= 1


@pytest.mark.parametrize("durability", ["synced", "relaxed"])
async def test_the_other_durabilities_keep_every_call_of_a_gateway_that_ends_well(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, durability: str
) -> None:
    upstream.answer_with(completion(), Stream(text_stream("x")))
    settings = settings_for(home, upstream.base_url).model_copy(update={"durability": durability})
    async with running_gateway(home, settings=settings) as base_url, aiohttp.ClientSession() as session:
        assert (await ask(session, base_url))[0] == 200
        async with session.post(base_url + PATH, json={**BODY, "stream": True}) as reply:
            assert b"[DONE]" in await reply.read()
    assert len(recorded(2)) == 2


@pytest.mark.parametrize(
    ("path", "speaks", "end"),
    [
        (PATH, "chat", b'"finish_reason": "tool_calls"'),
        ("/v1/responses", "responses", b"response.completed"),
        ("/v1/messages", "messages", b'"stop_reason": "tool_use"'),
        ("/v1/messages", "chat", b'"stop_reason":"tool_use"'),
    ],
)
async def test_no_stream_ends_well_before_its_call_is_kept(
    home: Path, upstream: LoopbackUpstream, path: str, speaks: str, end: bytes
) -> None:
    """The call cannot be kept, so its client must not get the end that says it was answered."""
    home.mkdir()
    (home / "journal").write_text("in the way")
    upstream.script = lambda seen: look(speaks, stream=True)
    protocol = "anthropic" if speaks == "messages" else "openai"
    config = UpstreamConfig.model_validate(
        {"base_url": upstream.base_url, "protocol": protocol, "speaks": (speaks,)}
    )
    settings = GatewaySettings(upstreams=(config,), on_full="block", record_wait_s=0.05)
    asked = {**BODY, "max_tokens": 9, "input": "q", "stream": True}
    async with running_gateway(home, settings=settings) as base_url, aiohttp.ClientSession() as session:
        async with session.post(base_url + path, json=asked) as reply:
            broken = await reply.read()
        (home / "journal").unlink()
        async with session.post(base_url + path, json=asked) as reply:
            whole = await reply.read()
    assert b"Let " in broken and b"error" in broken and end not in broken and b"[DONE]" not in broken
    assert end in whole and b"error" not in whole.replace(b'"error":null', b"")
