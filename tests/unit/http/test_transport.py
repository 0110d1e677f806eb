"""The errors that every HTTP client raises in the same words."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from deputize.core.errors import UpstreamError, UpstreamTimeout
from deputize.http import transport
from deputize.http.aiohttp_client import AiohttpTransport
from deputize.http.client import Http1Transport


def test_sentences() -> None:
    where = "The upstream at h:1"
    assert str(transport.unreachable(where, None)) == f"{where} cannot be reached: no connection."
    assert str(transport.not_secure(where, ssl.SSLError())).endswith("safely: no secure connection.")
    for late in (transport.no_answer_in_time(where), transport.not_finished_in_time(where)):
        assert isinstance(late, UpstreamTimeout) and str(late).startswith(where)
    assert str(transport.broke_off(where)) == f"{where} broke off its answer."


@pytest.mark.parametrize("client", [Http1Transport, AiohttpTransport])
async def test_a_piece_is_waited_for_and_not_read(
    client: type[Http1Transport] | type[AiohttpTransport],
) -> None:
    go = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n")
        await writer.drain()
        await go.wait()
        writer.write(b"3\r\none\r\n" if b"/cut" in head else b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    loop, one = asyncio.get_running_loop(), client()

    async def unread(path: str) -> transport.UnreadResponse:
        return await one.send(
            "POST", url + path, [], b"", connect_timeout_s=5, first_byte_timeout_s=5, deadline_s=20
        )

    whole, pieces, cut, left = [await unread(path) for path in ("/", "/", "/cut", "/")]
    for response in (whole, pieces, cut, left):
        assert not await response.wait_for_piece(loop.time() - 1)
        assert not await response.wait_for_piece(loop.time() + 0.01)
    left.close()
    go.set()
    for response in (whole, pieces, cut):
        assert await response.wait_for_piece(loop.time() + 10)
        assert await response.wait_for_piece(loop.time() + 10), "asked twice it is still there"
    assert await whole.read() == b"onetwo"
    assert b"".join([piece async for piece in pieces.chunks()]) == b"onetwo"
    with pytest.raises(UpstreamError):
        await cut.read()
    cut.close()
    await one.close()
    server.close()
