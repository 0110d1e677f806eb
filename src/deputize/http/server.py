"""An HTTP/1.1 server around the handler: one event loop, no thread in between, every limit of the settings enforced.

Parsing is llhttp's (through httptools), in its strict form. What a client may do is bounded at every point: size of
head and body, time for either, time without taking any of the answer, requests sent ahead, connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import socket
import ssl
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple, cast

import httptools

from deputize.http.handler import Handler, HttpReply
from deputize.http.headers import Headers

log = logging.getLogger("deputize.gateway")

_REASONS = {s.value: f"HTTP/1.1 {s.value} {s.phrase}\r\n" for s in HTTPStatus}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_LINGER_S = 2.0
_MAX_AHEAD = 16
"""Requests that may be sent before the one before them is answered."""
_WRITE_BUFFER_BYTES = 256 * 1024

Refusal = Callable[[int, str], HttpReply]
"""(status, sentence) -> what a request that cannot be understood is answered with."""


@dataclass(slots=True, frozen=True)
class Limits:
    """Limits on what one client may send and take."""

    max_head_bytes: int = 128 * 1024
    max_body_bytes: int = 32 * 1024 * 1024
    head_timeout_s: float = 30.0
    body_timeout_s: float = 60.0
    write_timeout_s: float = 120.0
    idle_timeout_s: float = 300.0
    max_connections: int = 20_000

    @property
    def sweep_s(self) -> float:
        """How often connections are looked at: often enough that no limit is overrun by much."""
        least = min(self.head_timeout_s, self.body_timeout_s, self.write_timeout_s, self.idle_timeout_s)
        return min(1.0, max(0.02, least / 4))


class _Request(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    keep_alive: bool
    chunks_ok: bool
    """HTTP/1.1: the length of an answer need not be known beforehand."""


class ServerConnection(asyncio.Protocol):
    """One client. Everything happens on the loop's thread."""

    __slots__ = (
        "_ahead",
        "_body",
        "_drain_waiter",
        "_head_done",
        "_headers",
        "_method",
        "_n_body",
        "_n_head",
        "_n_raw",
        "_outgoing",
        "_parser",
        "_paused",
        "_refused",
        "_server",
        "_task",
        "_transport",
        "_url",
        "busy",
        "deadline",
        "late",
    )

    def __init__(self, server: HttpServer) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None
        self._ahead: deque[_Request] = deque()
        self._drain_waiter: asyncio.Future[None] | None = None
        self._paused = False
        self._outgoing: list[bytes] = []
        """Of a stream, to be written before the loop waits again."""
        self._n_raw = 0
        """Bytes since the last whole request; bounds a head that never ends."""
        self._refused = False
        """The last answer has been given; whatever still comes in is not read."""
        self.busy = False
        self.deadline = math.inf
        self.late = "head"
        """What is overdue when the deadline passes: head, body, write, idle or linger."""
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._n_head = self._n_body = 0
        self._head_done = False

    # --- from the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's are none by class
        self._transport = transport
        transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
        server = self._server
        if len(server.connections) >= server.limits.max_connections:
            server.connections.add(self)
            self._refuse(503, "The gateway holds as many connections as it may; try again.")
            return
        server.connections.add(self)
        self._expect("head", server.limits.head_timeout_s)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        if not self._head_done:
            self._n_raw += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._refused:
                self._decline(data[upgrade.args[0] :])
            return
        except httptools.HttpParserError:
            self._refuse(400, "The request is not valid HTTP/1.1.")
            return
        if not self._head_done and self._n_raw > self._server.limits.max_head_bytes:
            self._refuse(431, "The head of the request is too large.")

    def _decline(self, rest: bytes) -> None:
        """A change of protocol is declined by going on in HTTP/1.1: the parser reads the head again without the wish."""
        method, headers = self._parser.get_method(), self._headers
        if method == b"CONNECT":
            self._refuse(400, "The gateway is no proxy for CONNECT.")
            return
        close = "close" in headers.get("connection", "").lower()
        kept = {k: v for k, v in headers.items() if k not in ("upgrade", "connection", "http2-settings")}
        lines = "".join(f"{k}: {v}\r\n" for k, v in kept.items()) + ("connection: close\r\n" if close else "")
        head = b"%b %b HTTP/1.1\r\n%b\r\n" % (method, self._url, lines.encode("latin-1"))
        self._parser = httptools.HttpRequestParser(self)
        self._n_raw = 0
        self.data_received(head + rest)

    def eof_received(self) -> bool:
        return False  # a client that has closed its side has gone: that is how most of them cancel

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.gone(self)
        self._refused = True
        if self._task is not None:
            self._task.cancel()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._paused = True
        self._expect("write", self._server.limits.write_timeout_s)

    def resume_writing(self) -> None:
        if self._paused:
            self._paused = False
            if self.busy:
                self.deadline = math.inf
            else:
                self._expect("idle", self._server.limits.idle_timeout_s)
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

    # --- from the parser ---

    def on_message_begin(self) -> None:
        self._begin()
        if not self.busy:
            self._expect("head", self._server.limits.head_timeout_s)

    def on_url(self, url: bytes) -> None:
        self._url += url
        self._n_head += len(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return  # a trailer, which nobody reads
        self._n_head += len(name) + len(value) + 4
        headers = self._headers
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text

    def on_headers_complete(self) -> None:
        self._head_done = True
        limits = self._server.limits
        if self._n_head > limits.max_head_bytes:
            self._refuse(431, "The head of the request is too large.")
            return
        length = self._headers.get("content-length", "")
        if length and int(length) > limits.max_body_bytes:
            self._refuse(413, "")
            return
        if (length and length != "0") or "transfer-encoding" in self._headers:
            if self._headers.get("expect", "").lower() == "100-continue" and not self.busy:
                self._transport.write(_CONTINUE)
            if not self.busy:
                self._expect("body", limits.body_timeout_s)

    def on_body(self, body: bytes) -> None:
        self._n_body += len(body)
        if self._n_body > self._server.limits.max_body_bytes:
            self._refuse(413, "")
        elif not self._refused:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._refused or self._parser.should_upgrade():
            return  # a wish to change the protocol is declined first
        body = self._body
        request = _Request(
            self._parser.get_method().decode("latin-1"),
            self._url.decode("latin-1"),
            self._headers,
            body[0] if len(body) == 1 else b"".join(body),
            self._parser.should_keep_alive(),
            self._parser.get_http_version() != "1.0",
        )
        self._body = []
        self._head_done, self._n_raw = False, 0
        if self.busy:
            self._ahead.append(request)
            if len(self._ahead) >= _MAX_AHEAD:
                self._transport.pause_reading()
        else:
            self._answer(request)

    # --- answering ---

    def _answer(self, request: _Request) -> None:
        self.busy = True
        self.deadline = math.inf
        self._task = self._server.loop.create_task(self._run(request))

    async def _run(self, request: _Request) -> None:
        try:
            reply = await self._server.handler(request.method, request.path, request.headers, request.body)
            keep = request.keep_alive and not self._server.draining
            if isinstance(reply.body, bytes):
                self._transport.write(self._whole(reply, reply.body, keep, no_body=request.method == "HEAD"))
            else:
                keep = await self._stream(reply, keep, chunked=request.chunks_ok)
        except asyncio.CancelledError:
            if not self._transport.is_closing():
                self._transport.abort()  # the server is going down
            raise
        except Exception as error:  # noqa: BLE001 - the edge: one answer fails, the server goes on
            log.error("an answer broke off: %s", type(error).__name__)
            self._transport.abort()
            return
        self._task = None
        self._finished(keep)

    def _finished(self, keep: bool) -> None:
        self.busy = False
        if self._refused or not keep or self._server.draining:
            self._refused = True
            self._transport.close()
            if self._paused:  # what was written still has to be taken
                self._expect("write", self._server.limits.write_timeout_s)
            self._server.check_drained()
            return
        if self._ahead:
            request = self._ahead.popleft()
            if len(self._ahead) == _MAX_AHEAD - 1:
                self._transport.resume_reading()
            self._answer(request)
        elif self._paused:
            self._expect("write", self._server.limits.write_timeout_s)
        else:
            self._expect("idle", self._server.limits.idle_timeout_s)

    def _whole(self, reply: HttpReply, body: bytes, keep: bool, *, no_body: bool = False) -> bytes:
        head = self._head(reply.status, reply.headers, keep, f"content-length: {len(body)}\r\n")
        return head if no_body else head + body

    async def _stream(self, reply: HttpReply, keep: bool, *, chunked: bool) -> bool:
        body = reply.body
        assert not isinstance(body, bytes)
        keep = keep and chunked
        write = self._write_soon
        write(
            self._head(reply.status, reply.headers, keep, "transfer-encoding: chunked\r\n" if chunked else "")
        )
        try:
            async for piece in body:
                if self._paused:
                    self._drain_waiter = self._server.loop.create_future()
                    await self._drain_waiter
                if piece:
                    write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
            if chunked:
                write(b"0\r\n\r\n")
        finally:
            self._write_out()
            await body.aclose()
        return keep

    def _write_soon(self, data: bytes) -> None:
        """Writes before the loop waits again: what comes in one go (head and first piece, last piece and end) leaves
        in one go, since each write costs a call of the operating system and wakes the client."""
        if not self._outgoing:
            self._server.loop.call_soon(self._write_out)
        self._outgoing.append(data)

    def _write_out(self) -> None:
        if self._outgoing:
            data, self._outgoing = b"".join(self._outgoing), []
            if not self._transport.is_closing():
                self._transport.write(data)

    def _head(self, status: int, headers: Headers, keep: bool, framing: str) -> bytes:
        lines = "".join([f"{k}: {v}\r\n" for k, v in headers])
        if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
            # a value that would break out of its line is left away with its header
            lines = "".join([f"{k}: {v}\r\n" for k, v in headers if not _breaks(k) and not _breaks(v)])
        first = _REASONS.get(status) or f"HTTP/1.1 {status} Unknown\r\n"
        end = "\r\n" if keep else "connection: close\r\n\r\n"
        return f"{first}{lines}{framing}{self._server.date_line}{end}".encode("latin-1", "replace")

    def _refuse(self, status: int, sentence: str) -> None:
        """Answers what cannot be taken, and reads no more of this client."""
        if self._refused:
            return
        self._refused = True
        if self.busy:
            return  # the answer under way is finished first; then the connection closes
        reply = self._server.refusal(status, sentence)
        body = reply.body if isinstance(reply.body, bytes) else b""
        self._transport.write(self._whole(reply, body, keep=False))
        # closing now, with bytes unread, would reset the connection before the client has read why
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._expect("linger", _LINGER_S)

    # --- time ---

    def _expect(self, what: str, timeout_s: float) -> None:
        self.late, self.deadline = what, self._server.loop.time() + timeout_s

    def overdue(self) -> None:
        """Called once the deadline has passed."""
        self.deadline = math.inf
        if (self.late == "head" and self._n_raw) or self.late == "body":
            self._refuse(408, "The request did not come in in time.")
        elif self.late in ("write", "linger"):
            self._transport.abort()
        else:
            self._refused = True
            self._transport.close()

    def end(self, *, now: bool = False) -> None:
        """The server is stopping: closes an idle connection; with `now` cuts a busy one."""
        if now:
            self._transport.abort()
        elif not self.busy and not self._refused:
            self._refused = True
            self._transport.close()


def _breaks(text: str) -> bool:
    return "\r" in text or "\n" in text


class HttpServer:
    """Listens on a socket until `drain`."""

    def __init__(self, handler: Handler, limits: Limits, refusal: Refusal) -> None:
        self.handler, self.limits, self.refusal = handler, limits, refusal
        self.connections: set[ServerConnection] = set()
        self.loop: asyncio.AbstractEventLoop
        self.draining = False
        self.date_line = ""
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None

    async def start(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serves a bound socket; other processes may hold it as well. With `tls` it speaks HTTPS and nothing else."""
        self.loop = asyncio.get_running_loop()
        self._sweep()
        self._listener = await self.loop.create_server(
            lambda: ServerConnection(self),
            sock=listening,
            backlog=4096,
            ssl=tls,
            ssl_handshake_timeout=self.limits.head_timeout_s if tls else None,
        )

    def _sweep(self) -> None:
        now = self.loop.time()
        self.date_line = f"date: {formatdate(usegmt=True)}\r\n"
        for connection in [c for c in self.connections if c.deadline <= now]:
            connection.overdue()
        self._sweeper = self.loop.call_later(self.limits.sweep_s, self._sweep)

    def gone(self, connection: ServerConnection) -> None:
        """A client has gone."""
        self.connections.discard(connection)
        self.check_drained()

    def check_drained(self) -> None:
        """Wakes `drain` when nobody is left."""
        if self._drained is not None and not self._drained.done() and not self.connections:
            self._drained.set_result(None)

    async def drain(self, timeout_s: float) -> bool:
        """Stops listening, lets answers under way end, then cuts the rest. True when all could end."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.end()
        whole = await self._until_empty(timeout_s)
        if not whole:
            for connection in list(self.connections):
                connection.end(now=True)
            await self._until_empty(1.0)
        if self._sweeper is not None:
            self._sweeper.cancel()
        return whole

    async def _until_empty(self, timeout_s: float) -> bool:
        if self.connections:
            self._drained = self.loop.create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._drained
        return not self.connections


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that child processes may share. Raises OSError."""
    bare = host.strip("[]")
    family, kind, protocol, _, address = socket.getaddrinfo(
        bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(4096)
        found.setblocking(False)
    except OSError:
        found.close()
        raise
    return found


__all__ = ["HttpServer", "Limits", "ServerConnection", "listen"]
