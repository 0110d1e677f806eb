"""The handler under the ASGI protocol."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from deputize.gateway.asgi import AsgiApp
from deputize.http.headers import HttpReply


async def pieces() -> AsyncIterator[bytes]:
    yield b"a"
    yield b"b"


async def handler(method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
    if path == "/slow":
        await asyncio.sleep(60)
    if path.startswith("/stream"):
        return HttpReply(200, [("content-type", "text/event-stream")], pieces())
    return HttpReply(200, [("x-seen", f"{method} {path} {headers['x-a']}")], body.upper())


async def call(path: str, *messages: dict[str, Any], query: bytes = b"") -> list[Any]:
    sent: list[Any] = []
    incoming = list(messages)

    async def receive() -> dict[str, Any]:
        if not incoming:
            await asyncio.sleep(60)
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": query,
        "headers": [(b"x-a", b"1"), (b"x-a", b"2")],
    }
    app = AsgiApp(handler, 10, lambda: HttpReply(413, [], b"too large"))
    await asyncio.wait_for(app(scope, receive, send), 5)
    return sent


async def test_a_whole_answer_a_stream_and_a_body_too_large() -> None:
    body: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"ab", "more_body": True},
        {"type": "http.request", "body": b"c"},
    ]
    head, whole = await call("/x", *body, query=b"q=1")
    assert (b"x-seen", b"POST /x?q=1 1, 2") in head["headers"] and whole["body"] == b"ABC"
    _, *parts = await call("/stream", *body)
    assert [p["body"] for p in parts] == [b"a", b"b", b""]
    head, _ = await call("/x", {"type": "http.request", "body": bytes(11)})
    assert head["status"] == 413


async def test_a_client_that_goes_away_ends_the_work() -> None:
    assert await call("/slow", {"type": "http.request", "body": b""}, {"type": "http.disconnect"}) == []
