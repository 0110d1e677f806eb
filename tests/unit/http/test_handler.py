"""The contract between server and handler."""

from __future__ import annotations

from collections.abc import Mapping

from deputize.http.handler import JSON_HEADERS, SSE_HEADERS, Handler, HttpReply


async def echo(method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
    return HttpReply(200, list(JSON_HEADERS), body)


async def test_a_function_is_a_handler() -> None:
    handler: Handler = echo
    status, headers, body = await handler("POST", "/", {}, b"{}")
    assert (status, headers, body) == (200, JSON_HEADERS, b"{}")


def test_streams_are_neither_cached_nor_buffered() -> None:
    assert ("cache-control", "no-cache") in SSE_HEADERS and ("x-accel-buffering", "no") in SSE_HEADERS
