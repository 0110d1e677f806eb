"""Responses as they are written."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from deputize.http.handler import HttpReply
from deputize.http.response_writer import ResponseWriter


class Sink:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def is_closing(self) -> bool:
        return False


async def pieces() -> AsyncGenerator[bytes, None]:
    yield b"one"
    yield b"two"


def writer(sink: Any) -> ResponseWriter:
    return ResponseWriter(sink, asyncio.get_running_loop())


async def test_a_whole_reply_and_its_head_alone() -> None:
    sink = Sink()
    writer(sink).whole(HttpReply(200, [], b"body"), "", keep=True)
    writer(sink).whole(HttpReply(200, [], b"body"), "", keep=True, no_body=True)
    assert sink.data.count(b"body") == 1 and sink.data.count(b"content-length: 4\r\n") == 2


async def test_a_stream_waits_for_its_client() -> None:
    sink = Sink()
    out = writer(sink)
    out.paused = True
    task = asyncio.ensure_future(out.stream(HttpReply(200, [], pieces()), "", keep=True, chunked=True))
    await asyncio.sleep(0.01)
    assert sink.data.endswith(b"\r\n\r\n") and not task.done()
    out.resume()
    await task
    assert sink.data.endswith(b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
