"""The HTTP server over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from deputize.http.handler import HttpReply
from deputize.http.limits import Limits
from deputize.http.server import HttpServer, listen

closed: list[str] = []


async def pieces() -> AsyncGenerator[bytes, None]:
    try:
        yield b"one"
        yield b"two"
    finally:
        closed.append("stream")


async def handler(method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
    if path == "/stream":
        return HttpReply(200, [], pieces())
    return HttpReply(200, [("x-got", f"{method} {path} {headers.get('x-a')}")], body.upper())


def refusal(status: int, sentence: str) -> HttpReply:
    return HttpReply(status, [], sentence.encode())


@asynccontextmanager
async def served(limits: Limits | None = None) -> AsyncIterator[int]:
    server = HttpServer(handler, limits or Limits(), refusal)
    listening = listen("127.0.0.1", 0)
    port: int = listening.getsockname()[1]
    await server.start(listening)
    try:
        yield port
    finally:
        await server.drain(1)


async def ask(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    try:
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


POST = b"POST /x HTTP/1.1\r\nhost: h\r\nx-a: 1\r\nx-a: 2\r\ncontent-length: 3\r\nconnection: close\r\n\r\nabc"


async def test_a_request_is_handed_over_and_answered() -> None:
    async with served() as port:
        answer = await ask(port, POST)
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n") and answer.endswith(b"\r\n\r\nABC")
    assert b"x-got: POST /x 1, 2\r\n" in answer


async def test_a_stream_is_chunked_and_closed() -> None:
    closed.clear()
    async with served() as port:
        answer = await ask(port, b"GET /stream HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")
    assert answer.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") and closed == ["stream"]


async def test_two_requests_on_one_connection_are_answered_in_order() -> None:
    first = POST.replace(b"connection: close\r\n", b"").replace(b"/x", b"/first")
    async with served() as port:
        answer = await ask(port, first + POST)
    assert answer.index(b"/first") < answer.index(b"POST /x")


@pytest.mark.parametrize(
    ("data", "limits", "status"),
    [
        (b"nonsense\r\n\r\n", Limits(), b"400"),
        (POST, Limits(max_body_bytes=2), b"413"),
        (b"GET /" + b"x" * 999, Limits(max_head_bytes=500), b"431"),
        (b"GET / HTTP/1.1\r\nhost: h\r\nx: " + b"y" * 999 + b"\r\n\r\n", Limits(max_head_bytes=500), b"431"),
        (b"GET / HT", Limits(head_timeout_s=0.05), b"408"),
    ],
)
async def test_what_is_beyond_a_limit_is_refused(data: bytes, limits: Limits, status: bytes) -> None:
    async with served(limits) as port:
        assert (await ask(port, data)).startswith(b"HTTP/1.1 " + status)


async def test_a_body_does_not_count_as_head() -> None:
    data = b"POST /x HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 999\r\n\r\n" + b"y" * 999
    async with served(Limits(max_head_bytes=500)) as port:
        assert (await ask(port, data)).startswith(b"HTTP/1.1 200")


async def test_many_refused_clients_wait_longer_before_more_of_them_is_read() -> None:
    server, loop = HttpServer(handler, Limits(), refusal), asyncio.new_event_loop()
    waits: list[float] = []

    def call_later(delay: float, *rest: object) -> None:
        waits.append(delay)

    loop.call_later = call_later  # type: ignore[method-assign, assignment]
    server.loop = loop
    try:
        for _ in range(200):
            server.drop_later(lambda: None)
    finally:
        loop.close()
    assert waits[0] == 0.01 and waits[-1] == pytest.approx(0.1) and waits == sorted(waits)


async def test_clients_that_are_late_are_let_go_some_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deputize.http.server._OVERDUE_PAUSE_S", 0.2)
    async with served(Limits(idle_timeout_s=0.3, head_timeout_s=0.3)) as port:
        clients = [await asyncio.open_connection("127.0.0.1", port) for _ in range(40)]
        ends = [asyncio.create_task(reader.read()) for reader, _ in clients]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.sleep(0.05)
        n_first = sum(end.done() for end in ends)
        assert 0 < n_first <= 16
        assert await asyncio.wait_for(asyncio.gather(*ends), 5) == [b""] * 40
        for _, writer in clients:
            writer.close()
