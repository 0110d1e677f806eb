"""Writes responses to one client: whole, or piece by piece as fast as the client takes them."""

from __future__ import annotations

import asyncio

from deputize.http.handler import HttpReply
from deputize.http.response_head import encode_head

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_PROBE_S, _MAX_PROBE_S = 0.05, 5.0


class ResponseWriter:
    """Writes to a transport. Whoever owns it reports when the transport wants no more."""

    __slots__ = ("_drained", "_loop", "_outgoing", "_transport", "begun", "paused")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._outgoing: list[bytes] = []
        """Of a stream, to be written before the loop waits again."""
        self._drained: asyncio.Future[None] | None = None
        self.begun = False
        """The answer to the request has begun. Whoever owns the writer resets it with each request."""
        self.paused = False
        """The client has to take some of what was written before it is sent more."""

    def resume(self) -> None:
        """The client has taken what waited for it, or has gone."""
        self.paused = False
        if self._drained is not None and not self._drained.done():
            self._drained.set_result(None)

    def probe(self, delay_s: float = _PROBE_S) -> None:
        """Finds out until the answer begins whether a client that sends no more still reads: one that does drops an
        interim answer, one that has gone has it reset, which the next write meets."""
        if not self.begun and not self._transport.is_closing():
            self._transport.write(CONTINUE)
            self._loop.call_later(delay_s, self.probe, min(2 * delay_s, _MAX_PROBE_S))

    def whole(self, reply: HttpReply, date_line: str, *, keep: bool, no_body: bool = False) -> None:
        """Writes a reply whose body is there; without the body for a request that asks for the head only."""
        self.begun = True
        body = reply.body if isinstance(reply.body, bytes) else b""
        framing = f"content-length: {len(body)}\r\n"
        head = encode_head(reply.status, reply.headers, keep=keep, framing=framing, date_line=date_line)
        self._transport.write(head if no_body else head + body)

    async def stream(self, reply: HttpReply, date_line: str, *, keep: bool, chunked: bool) -> None:
        """Writes the pieces of a body as they come, and closes it."""
        body = reply.body
        assert not isinstance(body, bytes)
        self.begun = True
        framing = "transfer-encoding: chunked\r\n" if chunked else ""
        self._write_soon(
            encode_head(reply.status, reply.headers, keep=keep, framing=framing, date_line=date_line)
        )
        try:
            async for piece in body:
                if self.paused:
                    self._drained = self._loop.create_future()
                    await self._drained
                if piece:
                    self._write_soon(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                self._write_soon(b"0\r\n\r\n")
        finally:
            self._write_out()
            await body.aclose()

    def _write_soon(self, data: bytes) -> None:
        """Writes before the loop waits again: what comes in one go (head and first piece, last piece and end) leaves
        in one go, since each write costs a call of the operating system and wakes the client."""
        if not self._outgoing:
            self._loop.call_soon(self._write_out)
        self._outgoing.append(data)

    def _write_out(self) -> None:
        if self._outgoing:
            data, self._outgoing = b"".join(self._outgoing), []
            if not self._transport.is_closing():
                self._transport.write(data)
