"""A stream of bytes that reports when it is closed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

from deputize.http.handler import ByteStream


class WatchedStream:
    """Calls `on_close` once when the stream is closed, even where nobody has begun to read it.

    A `finally` of the generator would not do: a generator that has never run has none.
    """

    def __init__(self, pieces: ByteStream, on_close: Callable[[], Awaitable[None]]) -> None:
        self._pieces = pieces
        self._on_close = on_close
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._pieces.__aiter__()

    async def aclose(self) -> None:
        """Closes the stream; the unread rest is discarded."""
        if self._closed:
            return
        self._closed = True
        try:
            await self._pieces.aclose()
        finally:
            await self._on_close()
