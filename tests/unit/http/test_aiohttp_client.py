"""The HTTP client on aiohttp."""

from __future__ import annotations

import asyncio

import pytest

from deputize.core.errors import UpstreamError, UpstreamTimeout
from deputize.http.aiohttp_client import AiohttpTransport
from deputize.http.transport import Transport, UpstreamResponse


async def send(transport: Transport, url: str, body: bytes = b"", first_s: float = 5.0) -> UpstreamResponse:
    return await transport.send(
        "POST", url, [("x-a", "1")], body, connect_timeout_s=5, first_byte_timeout_s=first_s, deadline_s=5
    )


async def test_it_sends_reads_and_tells_failures_in_words() -> None:
    seen: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        if b"/slow" in head:
            await reader.read()
        elif b"/cut" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 9\r\n\r\nab")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\nX-B: 2\r\ncontent-length: 2\r\n\r\nok")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    transport = AiohttpTransport()
    response = await send(transport, f"{url}/x")
    assert (response.status, await response.read()) == (200, b"ok") and ("x-b", "2") in response.headers
    response.close()
    assert b"x-a: 1" in seen[0].lower() and b"user-agent" not in seen[0].lower()
    cut = await send(transport, f"{url}/cut")
    with pytest.raises(UpstreamError, match="broke off"):
        _ = [piece async for piece in cut.chunks()]
    cut.close()
    with pytest.raises(UpstreamTimeout, match="did not answer in time"):
        await send(transport, f"{url}/slow", first_s=0.05)
    with pytest.raises(UpstreamError, match=r"127\.0\.0\.1:9 cannot be reached"):
        await send(transport, "http://127.0.0.1:9/x")
    await transport.close()
    server.close()
