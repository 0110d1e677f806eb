"""Runs the handler under any ASGI server or test client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from deputize.http.headers import Handler, HttpReply

Message = MutableMapping[str, Any]


class AsgiApp:
    """An ASGI 3 application around the handler, for those who run it under a server of their own.

    Args:
        handler: what answers.
        max_body_bytes: bodies beyond this are not read; `too_large()` answers instead.
        too_large: makes that answer.
    """

    def __init__(self, handler: Handler, max_body_bytes: int, too_large: Callable[[], HttpReply]) -> None:
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._too_large = too_large

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        if scope["type"] != "http":
            return
        headers: dict[str, str] = {}
        for raw_name, raw_value in scope["headers"]:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        pieces: list[bytes] = []
        n_bytes, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            pieces.append(message.get("body", b""))
            n_bytes += len(pieces[-1])
            more = message.get("more_body", False)
            if n_bytes > self._max_body_bytes:
                await _send(self._too_large(), send)
                return
        query = scope.get("query_string", b"").decode("latin-1")
        path = f"{scope['path']}?{query}" if query else scope["path"]
        answering = asyncio.ensure_future(
            self._answer(scope["method"], path, headers, b"".join(pieces), send)
        )
        watching = asyncio.ensure_future(_gone(receive))
        try:
            await asyncio.wait({answering, watching}, return_when=asyncio.FIRST_COMPLETED)
            if not answering.done():
                answering.cancel()
            await asyncio.gather(answering, return_exceptions=False)
        except asyncio.CancelledError:
            if not watching.done():
                raise
        finally:
            watching.cancel()

    async def _answer(self, method: str, path: str, headers: dict[str, str], body: bytes, send: Any) -> None:
        await _send(await self._handler(method, path, headers, body), send)


async def _send(reply: HttpReply, send: Callable[[Message], Awaitable[None]]) -> None:
    raw = [(k.encode("latin-1"), v.encode("latin-1")) for k, v in reply.headers]
    if isinstance(reply.body, bytes):
        raw.append((b"content-length", str(len(reply.body)).encode()))
        await send({"type": "http.response.start", "status": reply.status, "headers": raw})
        await send({"type": "http.response.body", "body": reply.body})
        return
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    try:
        async for chunk in reply.body:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    finally:
        close = getattr(reply.body, "aclose", None)
        if close is not None:
            await close()
    await send({"type": "http.response.body", "body": b""})


async def _gone(receive: Callable[[], Awaitable[Message]]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        else:
            await send({"type": "lifespan.shutdown.complete"})
            return
