"""Runs the handler under granian's RSGI. Watches for the client to go away from the first byte on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from deputize.gateway.http import Handler, Reply


class BodyTooLarge(Exception):
    """More body than allowed has come in."""


class RsgiApp:
    """One worker's application.

    Args:
        handler: what answers.
        max_body_bytes: bodies beyond this are not read; `too_large()` answers instead.
        too_large: makes that answer.
    """

    def __init__(self, handler: Handler, max_body_bytes: int, too_large: Any) -> None:
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._too_large = too_large

    async def __rsgi__(self, scope: Any, proto: Any) -> None:
        if scope.proto != "http":
            proto.close(None)
            return
        headers: dict[str, str] = {}
        for name, value in scope.headers.items():
            headers[name] = f"{headers[name]}, {value}" if name in headers else value
        reply: Reply
        try:
            body = await self._body(proto, headers)
        except BodyTooLarge:
            reply = self._too_large()
            proto.response_bytes(reply.status, [*reply.headers, ("connection", "close")], reply.body)
            return
        path = f"{scope.path}?{scope.query_string}" if scope.query_string else scope.path
        main = asyncio.current_task()
        watcher = asyncio.ensure_future(proto.client_disconnect())
        if main is not None:
            watcher.add_done_callback(lambda done: done.cancelled() or main.cancel())
        try:
            reply = await self._handler(scope.method, path, headers, body)
            if isinstance(reply.body, bytes):
                proto.response_bytes(reply.status, reply.headers, reply.body)
            else:
                await self._stream(proto, reply.status, reply.headers, reply.body)
        except asyncio.CancelledError:
            if not watcher.done():  # not the client: the server itself is going down
                raise
        finally:
            watcher.cancel()

    async def _stream(self, proto: Any, status: int, headers: Any, body: AsyncIterator[bytes]) -> None:
        transport = proto.response_stream(status, headers)
        try:
            async for chunk in body:
                await transport.send_bytes(chunk)
        except RuntimeError as error:  # granian's RSGIProtocolClosed: the client has gone
            if type(error).__name__ != "RSGIProtocolClosed":
                raise
        finally:
            close = getattr(body, "aclose", None)
            if close is not None:
                await close()

    async def _body(self, proto: Any, headers: dict[str, str]) -> bytes:
        declared = headers.get("content-length")
        if declared is not None:
            if declared.isdigit() and int(declared) > self._max_body_bytes:
                raise BodyTooLarge
            whole: bytes = await proto()
            return whole
        if "transfer-encoding" not in headers:
            return b""
        pieces: list[bytes] = []
        n_bytes = 0
        async for piece in proto:
            n_bytes += len(piece)
            if n_bytes > self._max_body_bytes:
                raise BodyTooLarge
            pieces.append(bytes(piece))
        return b"".join(pieces)
