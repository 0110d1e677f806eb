"""The HTTP server against h11: what both take means the same to both, and what h11 refuses as ambiguous is refused
here.

Differences that are intended. More is refused here: bare line feeds, folded headers, a content-length that is
repeated or stands next to chunks, methods that llhttp does not know, more than one Host or a Host with a comma. Two
things are taken that h11 refuses, since they
leave no doubt where a request ends: line ends before a request, and several blanks between the words of its first line.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import h11
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize.http.handler import HttpReply
from deputize.http.limits import Limits
from deputize.http.server import HttpServer, listen

FEW = settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Asked(NamedTuple):
    """A request as a server reads it."""

    method: str
    target: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


class Running:
    """A server in a loop of its own that answers each request with what it read."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.seen: list[Asked] = []
        limits = Limits(max_body_bytes=100_000)
        self.server = HttpServer(self.answer, limits, lambda status, why: HttpReply(status, [], why.encode()))
        listening = listen("127.0.0.1", 0)
        self.port = listening.getsockname()[1]
        self.loop.run_until_complete(self.server.start(listening))

    async def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        self.seen.append(Asked(method, path, body, tuple(headers.items())))
        return HttpReply(200, [], json.dumps([method, path, len(body)]).encode())

    def exchange(self, data: bytes, cuts: list[int]) -> tuple[list[Asked], list[int]]:
        """What was read of these bytes, sent in pieces, and the statuses that came back."""
        self.seen = []
        answers = self.loop.run_until_complete(asyncio.wait_for(self._send(data, cuts), 20))
        return self.seen, answers

    async def _send(self, data: bytes, cuts: list[int]) -> list[int]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        edges = [0, *sorted({cut % (len(data) + 1) for cut in cuts}), len(data)]
        try:
            for start, end in pairwise(edges):
                writer.write(data[start:end])
                await writer.drain()
                await asyncio.sleep(0.001)
            writer.write_eof()
            answered = await reader.read()
        except OSError:
            answered = b""
        finally:
            writer.close()
        return _statuses(answered)

    def close(self) -> None:
        self.loop.run_until_complete(self.server.drain(1))
        self.loop.close()


def _statuses(answered: bytes) -> list[int]:
    """The statuses of the final answers, as h11 reads them."""
    found: list[int] = []
    while answered:
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method="POST", target="/", headers=[("host", "h")]))
        connection.send(h11.EndOfMessage())
        connection.receive_data(answered)
        connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Response):
                found.append(event.status_code)
            if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed) or event is h11.NEED_DATA:
                break
        rest, _ = connection.trailing_data
        if len(rest) == len(answered):
            break
        answered = rest
    return found


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    server = Running()
    yield server
    server.close()


_FIRST_LINE = re.compile(rb"^([A-Z]+) +(\S+) +(HTTP)")


def oracle(data: bytes) -> list[Asked]:
    """The requests that h11 reads before it refuses, or needs more; what is taken here in the first line, it is spared."""
    found: list[Asked] = []
    while data:
        data = _FIRST_LINE.sub(rb"\1 \2 \3", data.lstrip(b"\r\n"))
        asked, rest = _first_request(data)
        if asked is None:
            return found
        found.append(asked)
        if rest is None:
            return found
        data = rest
    return found


def _first_request(data: bytes) -> tuple[Asked | None, bytes | None]:
    """The request that h11 reads first, and what follows it; None where it refuses it, or closes after it."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
    connection.receive_data(data)
    request: Any = None
    body = b""
    try:
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                request, body = event, b""
            elif isinstance(event, h11.Data):
                body += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                headers = tuple((k.decode(), v.decode("latin-1")) for k, v in request.headers)
                asked = Asked(request.method.decode(), request.target.decode(), body, headers)
                keeps = connection.their_state is not h11.MUST_CLOSE
                return asked, connection.trailing_data[0] if keeps else None
            else:
                return None, None
    except h11.RemoteProtocolError:
        return None, None


# --- requests --------------------------------------------------------------------------------------------------------

_space = st.sampled_from([b"", b" ", b"\t", b"  ", b" \t "])
_name = st.sampled_from([b"x-a", b"X-B", b"accept", b"x_c", b"cookie", b"!#$%&'*+-.^_`|~9"])
_value = (
    st.binary(max_size=12)
    .map(lambda b: bytes(c for c in b if c in range(0x21, 0x7F)))
    .map(lambda b: b or b"v")
)
_target = st.sampled_from([b"/", b"/v1/x", b"/a%20b?q=1&r=%2F", b"/v1/" + b"x" * 300])


@st.composite
def well_formed(draw: Any) -> bytes:
    """One request: with a length, in chunks with extensions and trailers, or without a body."""
    method = draw(st.sampled_from([b"POST", b"PUT", b"PATCH", b"DELETE"]))
    lines = [b"%b %b HTTP/1.1" % (method, draw(_target)), b"Host:%bh%b" % (draw(_space), draw(_space))]
    for name in draw(st.lists(_name, max_size=3, unique=True)):
        lines.append(b"%b:%b%b%b" % (name, draw(_space), draw(_value), draw(_space)))
    body = draw(st.binary(max_size=60))
    framing = draw(st.sampled_from(["length", "chunks", "none"]))
    if framing == "length":
        lines.append(b"Content-Length:%b%d%b" % (draw(_space), len(body), draw(_space)))
    elif framing == "chunks":
        lines.append(draw(st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding:\tCHUNKED "])))
        size = draw(st.integers(1, 40))
        extension = draw(st.sampled_from([b"", b";a", b";a=b"]))
        pieces = [body[i : i + size] for i in range(0, len(body), size)]
        body = b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces)
        body += b"0\r\n" + draw(st.sampled_from([b"", b"x-trailer: 1\r\n"])) + b"\r\n"
    else:
        body = b""
    whole: bytes = b"\r\n".join(lines) + b"\r\n\r\n" + body
    return whole


@FEW
@given(st.lists(well_formed(), min_size=1, max_size=3), st.lists(st.integers(0, 4000), max_size=4))
def test_requests_are_read_alike_wherever_they_are_cut(
    running: Running, requests: list[bytes], cuts: list[int]
) -> None:
    data = b"".join(requests)
    expected = oracle(data)
    assert len(expected) == len(requests)
    seen, statuses = running.exchange(data, cuts)
    assert statuses == [200] * len(requests)
    assert [a[:3] for a in seen] == [a[:3] for a in expected]
    for ours, theirs in zip(seen, expected, strict=True):
        values = dict(ours.headers)
        if "transfer-encoding" in values:  # h11 writes it small
            values["transfer-encoding"] = values["transfer-encoding"].lower()
        assert values == dict(theirs.headers)


def test_a_request_cut_at_every_byte(running: Running) -> None:
    data = (
        b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nt: 1\r\n\r\n"
        b"PUT /b HTTP/1.1\r\nhost:h\r\ncontent-length: 2\r\n\r\nhi"
    )
    for cut in range(1, len(data)):
        seen, statuses = running.exchange(data, [cut])
        assert [a[:3] for a in seen] == [("POST", "/a", b"abc"), ("PUT", "/b", b"hi")], cut
        assert statuses == [200, 200]


# --- ambiguities -----------------------------------------------------------------------------------------------------

_POST = b"POST / HTTP/1.1\r\nHost: h\r\n"
_NEXT = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
AMBIGUOUS = [
    _POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    _POST + b"Content-Length: 3, 4\r\n\r\nabcd",
    _POST + b"Content-Length: +3\r\n\r\nabc",
    _POST + b"Content-Length: 0x3\r\n\r\nabc",
    _POST + b"Content-Length: 3 \x0b\r\n\r\nabc",
    _POST + b"Content-Length: -1\r\n\r\n",
    _POST + b"Content-Length : 3\r\n\r\nabc",
    _POST + b"Transfer-Encoding: gzip\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n3x\r\nabc\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc",
    _POST + b"X-A: a\x00b\r\n\r\n",
    _POST + b"X A: 1\r\n\r\n",
    _POST + b": 1\r\n\r\n",
    b"POST / HTTP/1.1\r\n Host: h\r\n\r\n",
    b"POST / HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: h\r\nHost: i\r\n\r\n",
    b"POST /a b HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.1 \r\nHost: h\r\n\r\n",
    b"POST / HTTP/1.10\r\nHost: h\r\n\r\n",
    # taken by h11, refused here
    _POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    _POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    _POST + b"X-A: 1\r\n 2\r\n\r\n",
    b"POST / HTTP/1.1\nHost: h\n\n",
    b"FETCH / HTTP/1.1\r\nHost: h\r\n\r\n",
]


@pytest.mark.parametrize("data", AMBIGUOUS, ids=range(len(AMBIGUOUS)))
def test_what_is_ambiguous_is_refused_with_all_that_follows(running: Running, data: bytes) -> None:
    for cuts in ([], [len(data) // 2], list(range(0, len(data), 3))):
        seen, statuses = running.exchange(data + _NEXT, cuts)
        assert seen == [] and statuses and statuses[0] in (400, 413, 431, 501), (cuts, seen, statuses)


_alphabet = [
    b"\r",
    b"\n",
    b"\r\n",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\x00",
    b"\x0b",
    b"\xff",
    b"0",
    b"3",
    b"chunked",
]
_lines = [
    b"Content-Length: 3\r\n",
    b"content-length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Host: i\r\n",
    b" folded\r\n",
]


@settings(FEW, max_examples=150)
@given(
    st.lists(well_formed(), min_size=1, max_size=2),
    st.lists(
        st.tuples(st.integers(0, 600), st.sampled_from([*_alphabet, *_lines]), st.integers(0, 2)),
        min_size=1,
        max_size=3,
    ),
    st.lists(st.integers(0, 4000), max_size=2),
)
def test_nothing_is_taken_that_h11_refuses_or_reads_otherwise(
    running: Running, requests: list[bytes], changes: list[tuple[int, bytes, int]], cuts: list[int]
) -> None:
    data = b"".join(requests)
    for place, piece, n_cut in changes:
        at = place % (len(data) + 1)
        if piece in _lines:  # at the beginning of a header line
            at = data.find(b"\r\n", at) + 2
        data = data[:at] + piece + data[at + n_cut :]
    expected = [a[:3] for a in oracle(data)]
    seen = [a[:3] for a in running.exchange(data, cuts)[0]]
    assert seen == expected[: len(seen)], data
