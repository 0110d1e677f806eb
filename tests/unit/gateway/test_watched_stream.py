"""Streams that report when they are closed."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from deputize.gateway.watched_stream import WatchedStream


async def pieces() -> AsyncGenerator[bytes, None]:
    yield b"a"
    yield b"b"


async def test_the_close_is_reported_once_read_or_not() -> None:
    for n_read in (0, 1, 2):
        closed: list[str] = []

        async def report(name: str = "inner", closed: list[str] = closed) -> None:
            closed.append(name)

        async def outer(closed: list[str] = closed) -> None:
            closed.append("outer")

        stream = WatchedStream(WatchedStream(pieces(), report), outer)
        read = aiter(stream)
        assert [await anext(read) for _ in range(n_read)] == [b"a", b"b"][:n_read]
        await stream.aclose()
        await stream.aclose()
        assert closed == ["inner", "outer"]
