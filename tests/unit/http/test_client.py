"""The small HTTP client over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from deputize.core.errors import UpstreamError, UpstreamTimeout
from deputize.http.client import Http1Transport

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
LIMITS = {"connect_timeout_s": 5.0, "first_byte_timeout_s": None, "deadline_s": 5.0}


@asynccontextmanager
async def server(serve: Serve) -> AsyncIterator[tuple[str, Http1Transport]]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(guarded, "127.0.0.1", 0)
    transport = Http1Transport()
    try:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/x", transport
    finally:
        await transport.close()
        listening.close()
        await asyncio.sleep(0.01)


async def test_connections_are_used_again_and_a_stale_one_is_replaced() -> None:
    n_connections = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal n_connections
        n_connections += 1
        for _ in range(2):  # then it closes, as servers do with idle connections
            await reader.readuntil(b"\r\n\r\n")
            writer.write(OK)

    async with server(serve) as (url, transport):
        for n in range(6):
            incoming = await transport.send("GET", url, [], b"", **LIMITS)  # type: ignore[arg-type]
            assert await incoming.read() == b"ok"
            assert n_connections == n // 2 + 1
            await asyncio.sleep(0.02 if n == 3 else 0)  # the close is seen here, and not elsewhere


async def test_timeouts_and_cancellation_close_the_connection() -> None:
    gone = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/x?slow" in head:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab")
        await reader.read(1)
        gone.set()

    async with server(serve) as (url, transport):
        with pytest.raises(UpstreamTimeout, match="did not answer in time"):
            await transport.send(
                "GET", url, [], b"", connect_timeout_s=1, first_byte_timeout_s=0.05, deadline_s=5
            )
        await asyncio.wait_for(gone.wait(), 2)
        incoming = await transport.send(
            "GET", url + "?slow", [], b"", connect_timeout_s=1, first_byte_timeout_s=1, deadline_s=0.1
        )
        with pytest.raises(UpstreamTimeout, match="did not finish its answer in time"):
            await incoming.read()
        incoming.close()
        gone.clear()
        sending = asyncio.ensure_future(transport.send("GET", url, [], b"", **LIMITS))  # type: ignore[arg-type]
        await asyncio.sleep(0.05)
        sending.cancel()
        await asyncio.wait_for(gone.wait(), 2)


async def test_large_bodies_travel_in_slices_and_an_early_answer_stops_them() -> None:
    got = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        head = await reader.readuntil(b"\r\n\r\n")
        if b"/x?no" in head:
            writer.write(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.2)
            return
        while got < 3_000_000:
            got += len(await reader.read(65536))
            await asyncio.sleep(0)
        writer.write(OK)

    async with server(serve) as (url, transport):
        body = bytes(3_000_000)
        incoming = await transport.send("POST", url, [], body, **LIMITS)  # type: ignore[arg-type]
        assert await incoming.read() == b"ok" and got == len(body)
        refused = await transport.send("POST", url + "?no", [], bytes(30_000_000), **LIMITS)  # type: ignore[arg-type]
        assert refused.status == 413
        refused.close()


async def test_nobody_there_is_said_in_words() -> None:
    transport = Http1Transport()
    with pytest.raises(UpstreamError, match=r"The upstream at 127\.0\.0\.1:9 cannot be reached"):
        await transport.send("GET", "http://127.0.0.1:9/", [], b"", **LIMITS)  # type: ignore[arg-type]
    await transport.close()
