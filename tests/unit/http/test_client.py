"""The small HTTP client: whatever way an answer is cut into reads, it is the same answer; rubbish is an error in words."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.core.errors import UpstreamError, UpstreamTimeout
from deputize.http.client import Http1Transport
from deputize.http.client_connection import ClientConnection
from deputize.http.target import encode_request, target_of


class Wire(asyncio.Transport):
    """The other end of a connection, in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = b""
        self.aborted = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.sent += bytes(data)

    def abort(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _read(pieces: list[bytes], end: bool) -> tuple[int, list[tuple[str, str]], bytes, bool]:
    """(status, headers, body, kept) of an answer that comes in these pieces."""
    kept: list[ClientConnection] = []
    connection, wire = ClientConnection("The upstream at test", kept.append), Wire()
    connection.connection_made(wire)
    asking = asyncio.ensure_future(connection.send_request(b"GET / HTTP/1.1\r\n\r\n", b"", 5.0))
    await asyncio.sleep(0)
    for piece in pieces:
        connection.data_received(piece)
    if end:
        connection.connection_lost(None)
    try:
        await asking
        status, headers = connection.status, connection.headers
        return status, headers, await connection.read(), bool(kept)
    finally:
        connection.finish()


def read(pieces: list[bytes], *, end: bool = False) -> tuple[int, list[tuple[str, str]], bytes, bool]:
    return asyncio.run(_read(pieces, end))


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted({p % (len(data) + 1) for p in places}), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(edges) if a < b]


def chunked(pieces: list[bytes], extension: bytes, trailer: bytes) -> bytes:
    body = b"".join(b"%x%b\r\n%b\r\n" % (len(p), extension, p) for p in pieces if p)
    return body + b"0\r\n" + trailer + b"\r\n"


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX-A: b\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n"


@settings(max_examples=60, deadline=None)
@given(
    body=st.lists(st.binary(max_size=40), max_size=5),
    extension=st.sampled_from([b"", b";a", b";a=b", b';a="b c"']),
    trailer=st.sampled_from([b"", b"x-t: 1\r\n"]),
    early=st.booleans(),
    places=st.lists(st.integers(0, 2000), max_size=12),
)
def test_chunked_answers_are_the_same_however_they_are_cut(
    body: list[bytes], extension: bytes, trailer: bytes, early: bool, places: list[int]
) -> None:
    data = (EARLY if early else b"") + CHUNKED + chunked(body, extension, trailer)
    status, headers, whole, kept = read(cut(data, places))
    assert (status, whole, kept) == (200, b"".join(body), True)
    assert headers == [("transfer-encoding", "chunked"), ("x-a", "b")]


@settings(max_examples=40, deadline=None)
@given(body=st.binary(max_size=200), places=st.lists(st.integers(0, 2000), max_size=12), framed=st.booleans())
def test_plain_answers_are_the_same_however_they_are_cut(
    body: bytes, places: list[int], framed: bool
) -> None:
    """With a length, or until the connection ends."""
    head = b"HTTP/1.1 201 Created\r\n" + (b"content-length: %d\r\n" % len(body) if framed else b"") + b"\r\n"
    status, _, whole, kept = read(cut(head + body, places), end=not framed)
    assert (status, whole, kept) == (201, body, framed)


@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=120), places=st.lists(st.integers(0, 200), max_size=4))
def test_rubbish_is_an_upstream_error(data: bytes, places: list[int]) -> None:
    """Nothing that a server sends is any other exception, and such a connection is not used again."""
    try:
        _, _, _, kept = read(cut(data, places), end=True)
    except UpstreamError as error:
        assert "The upstream at test" in str(error)
    else:
        assert data.startswith(b"HTTP/1.") and not kept


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", "broke off"),
        (CHUNKED + b"5\r\nab", "broke off"),
        (CHUNKED + b"zz\r\n", "did not answer in HTTP"),
        (CHUNKED + b"ffffffffffffffffffff\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab", "did not answer in HTTP"),
        (
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
            "did not answer in HTTP",
        ),
        (b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "did not answer in HTTP"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 300_000, "head of more than"),
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 200", "broke off"),
    ],
)
def test_what_is_wrong_is_said(data: bytes, why: str) -> None:
    with pytest.raises(UpstreamError, match=why):
        read([data] if data else [], end=True)


def test_bytes_out_of_turn_end_a_connection() -> None:
    status, _, body, kept = read([b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\n\r\n"])
    assert (status, body, kept) == (200, b"a", False)


@pytest.mark.parametrize("value", ["a\r\nx: y", "a\nb", "a\rb", "a\0", "☃"])
def test_a_header_cannot_break_out_of_its_line(value: str) -> None:
    with pytest.raises(UpstreamError, match="cannot be sent"):
        encode_request("POST", target_of("http://h/v1"), [("x-a", value)], 0)


@pytest.mark.parametrize("url", ["ftp://h/", "http://", "http://h/a b", "http://h:x/", "http://h/ü"])
def test_addresses_that_make_no_request_are_refused(url: str) -> None:
    with pytest.raises(UpstreamError, match="cannot be used"):
        target_of(url)


def test_a_request_head_reads_as_it_should() -> None:
    head = encode_request("POST", target_of("https://[::1]:8443/v1/x?y=1"), [("a", "b")], 3)
    assert head == b"POST /v1/x?y=1 HTTP/1.1\r\nhost: [::1]:8443\r\na: b\r\ncontent-length: 3\r\n\r\n"


# --- over real sockets ---

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
