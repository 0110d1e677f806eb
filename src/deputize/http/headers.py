"""What goes in and out of the handler, whichever server runs it, and which headers travel on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import NamedTuple, Protocol
from zlib import MAX_WBITS, decompressobj
from zlib import error as ZlibError

Headers = list[tuple[str, str]]


class HttpReply(NamedTuple):
    """An answer: a whole body, or the pieces of a stream."""

    status: int
    headers: Headers
    body: bytes | AsyncIterator[bytes]


class Handler(Protocol):
    """The whole contract between a server and the gateway.

    `path` holds the query string where there is one; `headers` are lower-case, several of one name joined by ", ".
    """

    async def __call__(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> HttpReply: ...


HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
        "expect",
    }
)
"""Headers about one connection; content-length and host are set anew for the next one."""

_STAY = HOP_BY_HOP | {"accept-encoding"}
_NOT_BACK = HOP_BY_HOP | {"date", "server"}
_OURS = "x-deputize-"


def forward_request_headers(headers: Mapping[str, str], *, keep_authorization: bool) -> Headers:
    """The client's headers as the upstream gets them: all but hop-by-hop ones and our own.

    The answer is read by us as well, so it is asked for uncompressed.
    """
    kept = [(k, v) for k, v in headers.items() if k not in _STAY and not k.startswith(_OURS)]
    connection = headers.get("connection")
    if connection is not None and connection.lower() != "keep-alive":
        named = {name.strip().lower() for name in connection.split(",")}
        kept = [(k, v) for k, v in kept if k not in named]
    for name in ("authorization", "x-api-key"):
        # a key of this gateway is nobody else's business
        if name in headers and (not keep_authorization or "dpk_" in headers[name]):
            kept = [(k, v) for k, v in kept if k != name]
    kept.append(("accept-encoding", "identity"))
    return kept


def forward_answer_headers(headers: Iterable[tuple[str, str]]) -> Headers:
    """The upstream's headers as the client gets them; names in lower case."""
    out: Headers = []
    for name, value in headers:
        low = name.lower()
        if low not in _NOT_BACK and not low.startswith(_OURS):
            out.append((low, value))
    return out


def header_safe(text: str, limit: int = 256) -> str:
    """Text fit for a header value: printable ASCII, cut to `limit` characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:limit])


def unpacker(encoding: str) -> Callable[[bytes], bytes]:
    """Takes the content encoding off a body, piece by piece; b"" for what cannot be unpacked.

    Only a copy is unpacked, for the record: what goes to the client stays as it came.
    """
    if encoding == "identity":
        return lambda piece: piece
    if encoding not in ("gzip", "deflate"):
        return lambda piece: b""
    stream = decompressobj(MAX_WBITS | 32)

    def unpack(piece: bytes) -> bytes:
        try:
            return stream.decompress(piece, _MAX_UNPACKED_BYTES)
        except ZlibError:
            return b""

    return unpack


_MAX_UNPACKED_BYTES = 64 * 1024 * 1024
"""Of one piece: a few compressed bytes must not fill the memory."""

JSON_HEADERS: Headers = [("content-type", "application/json")]
SSE_HEADERS: Headers = [
    ("content-type", "text/event-stream; charset=utf-8"),
    ("cache-control", "no-cache"),
    ("x-accel-buffering", "no"),
]
