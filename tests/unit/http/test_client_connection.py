"""A client connection: however a response is cut into reads, it is the same response; rubbish is an error in words."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.core.errors import UpstreamError
from deputize.http.client_connection import ClientConnection


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


def test_an_answer_with_a_length_and_chunks_is_read_by_its_chunks() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n"
    assert read([head + b"5\r\nHello\r\n0\r\n\r\n"])[2:] == (b"Hello", False), (
        "and its connection is not kept"
    )
