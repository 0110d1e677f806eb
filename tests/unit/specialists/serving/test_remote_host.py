"""One host, looked at and left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tests.scripted_hosts import says, scripted_host

from deputize.core.errors import Tampered, UpstreamError
from deputize.http.client import Http1Transport
from deputize.http.handler import HttpReply
from deputize.http.limits import Limits
from deputize.http.server import HttpServer, listen
from deputize.specialists.serving.base import ServedVersion
from deputize.specialists.serving.host_messages import HostQuestion, HostState
from deputize.specialists.serving.remote_host import LOST_IN_ROW, REST_S, RemoteHost

SECRET = b"s" * 32
VERSIONS = {"a": ServedVersion("card-a")}


async def _until(host: RemoteHost, is_well: bool) -> None:
    async with asyncio.timeout(10):
        while host.is_well is not is_well:
            await asyncio.sleep(0.01)


async def test_a_host_says_what_it_serves_and_is_left_out_while_it_ends(tmp_path: Path) -> None:
    transport = Http1Transport()
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a")) as running:
        host = RemoteHost(running.address, SECRET, transport)
        looks = asyncio.create_task(host.keep_looked_at(0.05, 1.0))
        await _until(host, is_well=True)
        assert host.serves("a", "card-a") and not host.serves("a", "other") and not host.serves("b", "")
        running.host.ready = False
        await _until(host, is_well=False)
        running.host.ready = True
        await _until(host, is_well=True)
    await _until(host, is_well=False)
    looks.cancel()
    await transport.close()


async def test_a_host_without_its_worker_is_left_out_and_said_to_be(tmp_path: Path) -> None:
    transport, events = Http1Transport(), list[str]()
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a")) as running:
        host = RemoteHost(running.address, SECRET, transport, lambda what, where: events.append(what))
        running.worker.there = False
        looks = asyncio.create_task(host.keep_looked_at(0.05, 1.0))
        await host.looked_at.wait()
        assert not host.is_well and events == ["left_out"]
        running.worker.there = True
        await _until(host, is_well=True)
        running.worker.there = False
        await _until(host, is_well=False)
        await asyncio.sleep(0.2)
        assert events == ["left_out", "taken_back", "left_out"], "each once"
        looks.cancel()
    await transport.close()


async def test_a_doubted_host_is_looked_at_at_once(tmp_path: Path) -> None:
    transport = Http1Transport()
    async with scripted_host(tmp_path, SECRET, VERSIONS, says("x", "card-a")) as running:
        host = RemoteHost(running.address, SECRET, transport)
        looks = asyncio.create_task(host.keep_looked_at(60.0, 1.0))
        await _until(host, is_well=True)
        host.doubt(is_down=False)
        assert host.is_well and host.is_doubted
        host.doubt(is_down=True)
        assert not host.is_well
        await _until(host, is_well=True)
        assert not host.is_doubted
        looks.cancel()
    await transport.close()


@pytest.mark.parametrize("status", [200, 500])
async def test_what_somebody_without_the_keys_answers_is_no_answer(status: int) -> None:
    """A program that took the port of a host can say what it likes."""

    async def forged(method: str, path: str, headers: object, body: bytes) -> HttpReply:
        return HttpReply(status, [], body)

    server = HttpServer(forged, Limits(), lambda status, sentence: HttpReply(status, [], b""))
    listening = listen("127.0.0.1", 0)
    await server.start(listening)
    transport = Http1Transport()
    host = RemoteHost(f"http://127.0.0.1:{listening.getsockname()[1]}", SECRET, transport)
    with pytest.raises(Tampered if status == 200 else UpstreamError):
        await host.ask(HostQuestion(sent_at=0.0), 5.0)
    await transport.close()
    await server.drain(0.1)
    listening.close()


async def test_a_program_on_the_port_of_a_host_cannot_fill_the_memory() -> None:
    n_sent = [0]

    async def without_end() -> AsyncGenerator[bytes]:
        while True:
            await asyncio.sleep(0)
            n_sent[0] += 1 << 20
            yield b"x" * (1 << 20)

    async def answers(method: str, path: str, headers: object, body: bytes) -> HttpReply:
        return HttpReply(200, [("content-type", "application/octet-stream")], without_end())

    server = HttpServer(answers, Limits(), lambda status, text: HttpReply(status, [], text.encode()))
    listening, transport = listen("127.0.0.1", 0), Http1Transport()
    await server.start(listening)
    host = RemoteHost(f"http://127.0.0.1:{listening.getsockname()[1]}", SECRET, transport)
    with pytest.raises(UpstreamError, match="more than 8 MiB"):
        await host.ask(HostQuestion(sent_at=1.0), 30.0)
    assert n_sent[0] < 64 << 20, "what the sockets hold, and no more"
    assert host.n_under_way == 0
    await transport.close()
    await server.drain(0.2)
    listening.close()


async def test_the_rests_of_a_specialist_become_longer_and_end_with_an_answer() -> None:
    now, transport = [0.0], Http1Transport()
    host = RemoteHost("http://127.0.0.1:9", SECRET, transport, clock_s=lambda: now[0])
    host.state = HostState(process="p", specialists={"a": "card-a", "b": "card-b"})
    for n, rest_s in enumerate((0.0, 0.0, *REST_S, REST_S[-1])):
        host.note_lost("a")
        assert host.is_lost("a") and host.serves("a", "card-a") is (n < LOST_IN_ROW - 1)
        assert host.serves("b", "card-b") and not host.is_lost("b")
        now[0] += rest_s
        assert host.serves("a", "card-a")
    host.note_answered("a")
    host.note_lost("a")
    assert host.serves("a", "card-a"), "it begins again"
    await transport.close()
