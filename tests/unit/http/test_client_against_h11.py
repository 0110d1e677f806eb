"""The HTTP client against h11: what both read of an upstream's bytes is the same; where h11 finds no whole answer
there is none here.

Differences that are intended: line ends before an answer and several blanks in its first line are taken here, and the
words of that line are not looked at. A tab behind `chunked` is refused.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize.core.errors import UpstreamError
from deputize.http.client import Http1Transport

FEW = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
Read = tuple[int, bytes]
_FIRST_LINE = re.compile(rb"^(HTTP/1.\d) +(\d\d\d)(?!\d)[^\r\n]*", re.MULTILINE)
_LINE_ENDS_AFTER_INTERIM = re.compile(rb"(HTTP/1.1 1\d\d[^\r\n]*\r\n(?:[^\r\n]+\r\n)*\r\n)[\r\n]+")


class Upstream:
    """A server in a loop of its own that answers with given bytes in pieces and closes, and the client that asks it."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.pieces: list[bytes] = []
        self.loop.run_until_complete(self._start())

    async def _start(self) -> None:
        self.server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self.server.sockets[0].getsockname()[1]}/x"
        self.transport = Http1Transport()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(b"\r\n\r\n")
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.001)
        except (OSError, asyncio.IncompleteReadError):
            pass
        writer.close()

    def answer(self, data: bytes, cuts: list[int]) -> Read | None:
        """What the client reads; None where it finds no whole answer."""
        edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
        self.pieces = [data[start:end] for start, end in pairwise(edges)]
        return self.loop.run_until_complete(asyncio.wait_for(self._ask(), 20))

    async def _ask(self) -> Read | None:
        limits: dict[str, Any] = {"connect_timeout_s": 5.0, "first_byte_timeout_s": None, "deadline_s": 5.0}
        try:
            incoming = await self.transport.send("GET", self.url, [], b"", **limits)
            try:
                return incoming.status, await incoming.read()
            finally:
                incoming.close()
        except UpstreamError:
            return None

    def close(self) -> None:
        async def end() -> None:
            await self.transport.close()
            self.server.close()
            await asyncio.sleep(0.01)

        self.loop.run_until_complete(end())
        self.loop.close()


@pytest.fixture(scope="module")
def upstream() -> Iterator[Upstream]:
    running = Upstream()
    yield running
    running.close()


def oracle(data: bytes) -> Read | None:
    """What h11 reads; what is taken here in the first line, it is spared."""
    data = _LINE_ENDS_AFTER_INTERIM.sub(rb"\1", data)
    data = _FIRST_LINE.sub(rb"\1 \2 ", data.lstrip(b"\r\n"))
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=256 * 1024)
    connection.send(h11.Request(method="GET", target="/x", headers=[("host", "h")]))
    connection.send(h11.EndOfMessage())
    status, body = 0, b""
    try:
        connection.receive_data(data)
        connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                return status, body
            elif not isinstance(event, h11.InformationalResponse):
                return None
    except h11.RemoteProtocolError:
        return None


@st.composite
def well_formed(draw: Any) -> bytes:
    """One answer: with a length, in chunks, until the connection closes, or without a body."""
    body = draw(st.binary(max_size=60))
    framing = draw(st.sampled_from(["length", "chunks", "close", "none"]))
    status = 204 if framing == "none" else draw(st.sampled_from([200, 404, 503]))
    blank = draw(st.sampled_from([b"", b" ", b"\t", b"  "]))
    lines = [
        b"HTTP/1.1 %d %b" % (status, draw(st.sampled_from([b"OK", b"", b"No way"]))),
        b"X-A:" + blank + b"1" + blank,
    ]
    if framing == "length":
        lines.append(b"Content-Length:%b%d%b" % (blank, len(body), blank))
    elif framing == "chunks":
        lines.append(b"Transfer-Encoding:%bchunked%b" % (blank, blank.replace(b"\t", b" ")))
        size = draw(st.integers(1, 40))
        pieces = [body[i : i + size] for i in range(0, len(body), size)]
        body = b"".join(
            b"%x%b\r\n%b\r\n" % (len(p), draw(st.sampled_from([b"", b";a=b"])), p) for p in pieces
        )
        body += b"0\r\n" + draw(st.sampled_from([b"", b"x-t: 1\r\n"])) + b"\r\n"
    elif framing == "none":
        body = b""
    early = draw(
        st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Hints\r\nlink: x\r\n\r\n"])
    )
    whole: bytes = early + b"\r\n".join(lines) + b"\r\n\r\n" + body
    return whole


@FEW
@given(well_formed(), st.lists(st.integers(0, 4000), max_size=4))
def test_answers_are_read_alike_wherever_they_are_cut(
    upstream: Upstream, data: bytes, cuts: list[int]
) -> None:
    expected = oracle(data)
    assert expected is not None and upstream.answer(data, cuts) == expected


def test_an_answer_cut_at_every_byte(upstream: Upstream) -> None:
    data = (
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nt: 1\r\n\r\n"
    )
    for cut in range(1, len(data)):
        assert upstream.answer(data, [cut]) == (200, b"abcde"), cut
        assert upstream.answer(data[:cut], []) is None, "half an answer is none"


_pieces = [b"\r", b"\n", b"\r\n", b" ", b":", b",", b";", b"\x00", b"\x0b", b"\xff", b"0", b"3", b"chunked"]
_lines = [
    b"Content-Length: 3\r\n",
    b"content-length: 0\r\n",
    b"Transfer-Encoding: identity\r\n",
    b" folded\r\n",
]


@settings(FEW, max_examples=150)
@given(
    well_formed(),
    st.lists(
        st.tuples(st.integers(0, 300), st.sampled_from([*_pieces, *_lines]), st.integers(0, 2)),
        min_size=1,
        max_size=2,
    ),
    st.lists(st.integers(0, 4000), max_size=2),
)
def test_nothing_is_read_that_h11_refuses_or_reads_otherwise(
    upstream: Upstream, data: bytes, changes: list[tuple[int, bytes, int]], cuts: list[int]
) -> None:
    for place, piece, n_cut in changes:
        at = place % (len(data) + 1)
        if piece in _lines:
            at = data.find(b"\r\n", at) + 2
        data = data[:at] + piece + data[at + n_cut :]
    read = upstream.answer(data, cuts)
    assert read is None or read == oracle(data), data
