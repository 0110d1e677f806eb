"""The contract between an HTTP server and the code that answers its requests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import NamedTuple, Protocol

from deputize.http.headers import Headers


class ByteStream(Protocol):
    """A body that is sent as it comes, such as an asynchronous generator. Whoever reads it closes it."""

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def aclose(self) -> None: ...


class HttpReply(NamedTuple):
    """An HTTP response: a whole body, or the pieces of a stream."""

    status: int
    headers: Headers
    body: bytes | ByteStream


class Handler(Protocol):
    """Answers requests.

    `path` holds the query string where there is one; `headers` are lower-case, several of one name joined by ", ".
    """

    async def __call__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply: ...


JSON_HEADERS: Headers = [("content-type", "application/json")]
SSE_HEADERS: Headers = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
]
