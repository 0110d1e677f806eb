"""A response of which the first bytes, or all of them, have been read already."""

from __future__ import annotations

from collections.abc import AsyncIterator

from deputize.http.transport import UpstreamResponse


class PeekedResponse:
    """The same response, read from its beginning."""

    def __init__(
        self, response: UpstreamResponse, first: bytes, rest: AsyncIterator[bytes] | None = None
    ) -> None:
        """
        Args:
            response: whose status and headers these are.
            first: what has been read.
            rest: gives what comes after it; None: nothing does.
        """
        self._response, self._first, self._rest = response, first, rest
        self.status, self.headers = response.status, response.headers

    async def read(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.chunks()])

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        first, self._first = self._first, b""
        if first:
            yield first
        if self._rest is not None:
            async for piece in self._rest:
                yield piece

    def close(self) -> None:
        """Releases the connection."""
        self._response.close()


async def peek(response: UpstreamResponse) -> tuple[bytes, PeekedResponse]:
    """The first bytes of a body, and the response that still has them. Raises UpstreamError when it breaks off."""
    pieces = response.chunks()
    first = await anext(pieces, b"")
    return first, PeekedResponse(response, first, pieces)
