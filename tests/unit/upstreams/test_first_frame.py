"""Streams that begin with an error are refusals; all others come through byte for byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest

from deputize.core.errors import UpstreamError
from deputize.http.headers import Headers
from deputize.upstreams.first_frame import refusal_of, unmasked

SSE: Headers = [("content-type", "text/event-stream; charset=utf-8"), ("x-request-id", "r1")]
OVERLOADED = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Busy."}}\n\n'
TEXT = b'data: {"choices":[{"delta":{"content":"an error?"}}]}\n\ndata: [DONE]\n\n'


class Pieces:
    """A response in pieces; an exception among them is raised."""

    def __init__(self, *pieces: bytes | UpstreamError, status: int = 200, headers: Headers = SSE) -> None:
        self.status, self.headers, self.pieces, self.closed = status, headers, pieces, False

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, UpstreamError):
                raise piece
            yield piece

    async def wait_for_piece(self, until_s: float) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("cut", [*range(1, len(OVERLOADED)), 1000])
async def test_an_error_at_the_beginning_is_a_refusal_wherever_it_is_cut(cut: int) -> None:
    incoming = Pieces(OVERLOADED[:cut], OVERLOADED[cut:], TEXT)
    found = await unmasked(incoming)
    assert found.status == 529 and ("x-request-id", "r1") in found.headers
    assert [v for k, v in found.headers if k == "content-type"] == ["application/json"]
    assert json.loads(await found.read())["error"]["message"] == "Busy."
    found.close()
    assert incoming.closed


@pytest.mark.parametrize("cut", range(1, len(TEXT), 7))
@pytest.mark.parametrize("start", [b"", b": ping\n\n", b"\n"])
async def test_other_streams_come_through_byte_for_byte(start: bytes, cut: int) -> None:
    data = start + TEXT
    found = await unmasked(Pieces(data[:cut], data[cut:]))
    assert found.status == 200 and await found.read() == data


async def test_what_is_no_plain_stream_is_not_read() -> None:
    whole = Pieces(b"{}", headers=[("content-type", "application/json")])
    packed = Pieces(OVERLOADED, headers=[*SSE, ("content-encoding", "gzip")])
    refused = Pieces(OVERLOADED, status=500)
    for response in (whole, packed, refused):
        assert await unmasked(response) is response
    assert await (await unmasked(Pieces())).read() == b""


async def test_a_stream_that_breaks_off_before_its_first_event_is_closed() -> None:
    broken = Pieces(b"data: {", UpstreamError("cut"))
    with pytest.raises(UpstreamError, match="cut"):
        await unmasked(broken)
    assert broken.closed


class Slow(Pieces):
    """A response whose pieces come one by one, when they are let go."""

    def __init__(self, *pieces: bytes | UpstreamError) -> None:
        super().__init__(*pieces)
        self.go = asyncio.Event()

    async def chunks(self) -> AsyncIterator[bytes]:
        async for piece in super().chunks():
            await self.go.wait()
            yield piece

    async def wait_for_piece(self, until_s: float) -> bool:
        try:
            async with asyncio.timeout_at(until_s):
                await self.go.wait()
        except TimeoutError:
            return False
        return True


@pytest.mark.parametrize("pieces", [(OVERLOADED, TEXT), (TEXT[:9], TEXT[9:]), ()])
async def test_a_first_event_that_is_long_in_coming_is_not_waited_for(pieces: tuple[bytes, ...]) -> None:
    slow = Slow(*pieces)
    found = await unmasked(slow, wait_s=0.01 if pieces else 5.0)
    assert found.status == 200
    slow.go.set()
    assert await found.read() == b"".join(pieces)


async def test_the_wait_is_bounded_over_all_pieces_of_the_first_event() -> None:
    class Dripping(Pieces):
        waits: ClassVar[list[float]] = []

        async def wait_for_piece(self, until_s: float) -> bool:
            self.waits.append(until_s)
            return len(self.waits) < 5

    now = asyncio.get_running_loop().time()
    found = await unmasked(Dripping(*(bytes([byte]) for byte in TEXT)), wait_s=50.0)
    assert len(Dripping.waits) == 5 and len(set(Dripping.waits)) == 1, "one end for all"
    assert now + 49 < Dripping.waits[0] < now + 55 and await found.read() == TEXT


async def test_a_client_that_goes_away_ends_the_wait_for_a_slow_stream() -> None:
    slow = Slow(TEXT)
    found = await unmasked(slow, wait_s=0.0)
    found.close()
    assert slow.closed
    waiting = Slow(TEXT)
    task = asyncio.ensure_future(unmasked(waiting))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert waiting.closed


@pytest.mark.parametrize(
    ("event", "data", "status"),
    [
        ("", '{"error":{"message":"m","code":429}}', 429),
        ("", '{"error":{"message":"m","code":"503"}}', 503),
        ("", '{"error":{"message":"m","type":"invalid_request_error"}}', 400),
        ("", '{"error":"out of memory"}', 502),
        ("", '{"object":"error","message":"m","code":400}', 400),
        ("error", '{"type":"error","code":"rate_limit_exceeded","message":"m"}', 429),
        ("error", '{"message":"m"}', 502),
        ("", '{"error":null,"choices":[]}', None),
        ("", '{"choices":[{"delta":{}}],"error":{"code":500}}', None),
        ("", '{"type":"response.created","response":{"error":null}}', None),
        ("error", "no JSON", None),
        ("", "[DONE]", None),
    ],
)
def test_the_status_of_an_error(event: str, data: str, status: int | None) -> None:
    found = refusal_of(event, data)
    assert (found[0] if found else None) == status
    assert found is None or "error" in json.loads(found[1])
