"""Streams that begin with an error: some servers answer 200 at once and say in the first event that they are
overloaded.

Nothing has been sent to the client then, so such an answer counts as the refusal that it is.

References:
    OpenAI and Anthropic API references, "Errors": the kinds of errors and their statuses.
"""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from deputize.http.headers import header
from deputize.http.peeked_response import PeekedResponse
from deputize.http.transport import UnreadResponse, UpstreamResponse
from deputize.wire.json_fields import decode_answer, integer
from deputize.wire.sse import FrameSplitter, SseFrame

_encode = msgspec.json.Encoder().encode

FIRST_EVENT_WAIT_S = 5.0
"""How long a client waits for the head of a stream because of its first event. A server that is overloaded says so at
once; clients and proxies give up a connection without a head after 10 to 60 s."""
_MAX_FIRST_BYTES = 64 * 1024
_STATUS_OF_KIND = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "insufficient_quota": 429,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_OTHER_STATUS = 502
_JSON = [("content-type", "application/json")]
_ABOUT_BODY = ("content-type", "content-length", "transfer-encoding")


class RefusedStream(PeekedResponse):
    """The error at the beginning of a stream, as the answer with a status of its own that it would have been."""

    def __init__(self, response: UpstreamResponse, status: int, body: bytes) -> None:
        super().__init__(response, body)
        self.status = status
        self.headers = [*((k, v) for k, v in response.headers if k not in _ABOUT_BODY), *_JSON]


async def unmasked(response: UnreadResponse, wait_s: float = FIRST_EVENT_WAIT_S) -> UpstreamResponse:
    """A response, once the first event of a stream is there: itself, or the refusal that the event reports.

    Args:
        response: of which nothing has been read.
        wait_s: after this the response is given back without its first event.

    Raises:
        UpstreamError: it broke off before.
    """
    if response.status != 200 or header(response.headers, "content-encoding", "identity") != "identity":
        return response
    if not header(response.headers, "content-type").startswith("text/event-stream"):
        return response
    pieces, splitter, first = response.chunks(), FrameSplitter(), b""
    frames: list[SseFrame] = []
    until_s = asyncio.get_running_loop().time() + wait_s
    while not frames and len(first) < _MAX_FIRST_BYTES:
        try:
            if not await response.wait_for_piece(until_s):
                break
            piece = await anext(pieces, b"")
        except BaseException:
            response.close()
            raise
        if not piece:
            break
        first += piece
        frames = splitter.feed(piece)
    refusal = refusal_of(frames[0].event, frames[0].data) if frames else None
    if refusal is not None:
        return RefusedStream(response, *refusal)
    return PeekedResponse(response, first, pieces)


def refusal_of(event: str, data: str) -> tuple[int, bytes] | None:
    """(HTTP status, body) of an event that reports an error; None where it reports none."""
    if event != "error" and "error" not in data:
        return None
    value = decode_answer(data)
    if not isinstance(value, dict) or value.get("choices"):
        return None
    error = value.get("error")
    if not error and event != "error" and value.get("type") != "error" and value.get("object") != "error":
        return None
    body = data.encode() if error else _encode({"error": value})
    return _status_of(error if isinstance(error, dict) else value), body


def _status_of(error: dict[str, Any]) -> int:
    for name in ("status", "status_code", "code"):
        status = integer(error.get(name))
        if status is None and str(error.get(name)).isdigit():
            status = int(str(error[name]))
        if status is not None and 400 <= status <= 599:
            return status
    for name in ("code", "type"):
        known = _STATUS_OF_KIND.get(str(error.get(name)))
        if known is not None:
            return known
    return _OTHER_STATUS
