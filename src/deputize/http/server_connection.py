"""One client's connection to the HTTP server, on the event loop's thread. Parsing is llhttp's (through httptools), in
its strict form.

A request is decided by its head: what is refused is answered before its body is read, and what is admitted takes its
part of the budget for bodies first. Nothing is parsed while an answer is under way; a little is kept as it came.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Protocol, cast

import httptools

from deputize.http import request_bytes
from deputize.http.admission import Admit, Admitted, SharedBudget
from deputize.http.handler import HttpReply
from deputize.http.limits import Limits
from deputize.http.response_writer import CONTINUE, ResponseWriter

log = logging.getLogger("deputize.gateway")

_LINGER_S, _MAX_HEADER_LINES, _MAX_BLANK_BYTES = 2.0, 128, 256
_WRITE_BUFFER_BYTES = 64 * 1024
_MAX_UNREAD_BYTES = 16 * 1024
"""Bytes that are taken from a client while its earlier request is being answered; then it is no longer read."""
_MAX_SKIPPED_BYTES = 64 * 1024
"""Of the body of a refused request: up to here it is read and dropped and the connection lives on."""
_PAUSE_S = 0.05  # between a refusal and the next request, so that refusing takes no time from others


class _Stop(Exception):
    """Ends the parser's work on what has been refused."""


class ConnectionOwner(Protocol):
    """The server that a connection belongs to."""

    loop: asyncio.AbstractEventLoop
    limits: Limits
    bodies: SharedBudget
    admit: Admit
    refusal: Callable[[int, str], HttpReply]
    read_buffer: memoryview
    drop_buffer: memoryview
    draining: bool
    date_line: str

    def hold(self, connection: ServerConnection, transport: asyncio.Transport) -> bool:
        """Counts a connection; True where it may stay."""
        ...

    def drop_later(self, drop_more: Callable[[], None]) -> None: ...

    def gone(self, connection: ServerConnection) -> None:
        """A client has gone."""
        ...

    def check_drained(self) -> None: ...


class ServerConnection(asyncio.BufferedProtocol):
    """One client. Everything happens on the loop's thread."""

    __slots__ = (
        "_admitted",
        "_begun",
        "_body",
        "_chunks_ok",
        "_ended",
        "_head_done",
        "_headers",
        "_left",
        "_method",
        "_n_body",
        "_n_raw",
        "_n_unread",
        "_owner",
        "_parser",
        "_paused_reading",
        "_raw_headers",
        "_refused",
        "_server",
        "_skip",
        "_tail",
        "_taken",
        "_task",
        "_transport",
        "_unread",
        "_url",
        "_writer",
        "busy",
        "deadline",
        "late",
    )

    def __init__(self, server: ConnectionOwner) -> None:
        self._server = server
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._task: asyncio.Task[None] | None = None
        self._unread: list[bytes] = []
        """What came while an answer was under way, as it came."""
        self._n_unread = 0
        self._writer: ResponseWriter
        self._paused_reading = False
        self._n_raw = 0
        """Bytes since the last whole request; bounds a head that never ends."""
        self._tail = b""
        """The last bytes of a head or chunked body that has not ended: its blank line may come in two pieces."""
        self._owner, self._taken = "", 0
        """Bytes taken of the budget for bodies, and for whom."""
        self._refused = False
        """The last answer has been given; whatever still comes in is not read."""
        self._begun = self._chunks_ok = self._ended = False
        self._method = b""
        self.busy = False
        self.deadline = math.inf
        self.late = "head"
        """What is overdue when the deadline passes: head, body, skip (a body that was refused), write, idle or linger."""
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._raw_headers: list[tuple[bytes, bytes]] = []
        self._body: list[bytes] = []
        self._n_body = 0
        self._head_done = self._skip = False
        self._left = 0
        """Bytes of the body that are still to come; -1 where only its end tells."""
        self._admitted: Admitted | None = None

    @property
    def n_held(self) -> int:
        """Bytes of the client that are held and not handed over yet."""
        return sum(map(len, self._unread)) + sum(map(len, self._body))

    # --- from the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)  # uvloop's are none by class
        self._writer = ResponseWriter(transport, self._server.loop)
        transport.set_write_buffer_limits(_WRITE_BUFFER_BYTES)
        if hasattr(transport, "set_read_buffer_limits"):  # TLS reads ahead by itself
            transport.set_read_buffer_limits(_MAX_UNREAD_BYTES)
        server = self._server
        if server.hold(self, transport):
            self._expect("head", server.limits.head_timeout_s)
        else:
            self._refuse(503, "The gateway holds as many connections as it may; try again.")

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._server.drop_buffer if self._refused else self._server.read_buffer

    def buffer_updated(self, n_bytes: int) -> None:
        if self._refused:
            # dropped, as far as a body may go: many clients send all of it before they read the answer
            self._n_unread += n_bytes
            self._transport.pause_reading()
            if self._n_unread <= self._server.limits.max_body_bytes:
                self._server.drop_later(self.drop_more)
            return
        data = bytes(self._server.read_buffer[:n_bytes])
        if self.busy or self._writer.paused or self._unread:
            self._keep_unread(data)
        else:
            self._parse(data)

    def drop_more(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def _keep_unread(self, data: bytes) -> None:
        self._unread.append(data)
        self._n_unread += len(data)
        if self._n_unread >= _MAX_UNREAD_BYTES and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()

    def _parse_unread(self) -> None:
        """Goes on with what came meanwhile."""
        data = b"".join(self._unread)
        self._unread.clear()
        self._n_unread = 0
        self._parse(data)
        if self._paused_reading and self._n_unread < _MAX_UNREAD_BYTES and not self._transport.is_closing():
            self._paused_reading = False
            self._transport.resume_reading()

    def _parse(self, data: bytes) -> None:
        """Parses up to the end of one request; the rest is kept as it came."""
        if not self._begun:
            if data[:1] in b"\r\n":  # the standard allows empty lines before a request
                self._n_raw += len(data) - len(data := data.lstrip(b"\r\n"))
                if self._n_raw > _MAX_BLANK_BYTES:
                    self._refuse(400, "The request is not valid HTTP/1.1.")
                    return
            at = data.find(request_bytes.BLANK_LINE)
            if at >= 0 and data.find(request_bytes.BLANK_LINE, at + 4) < 0:
                self._feed(data)  # one request at most, as nearly always
                return
        start, end = 0, len(data)
        while start < end and not self._refused:
            if self.busy:
                self._keep_unread(data[start:])
                return
            left = self._left if self._head_done else -1
            stop = request_bytes.end_of_part(data, start, n_left=left, tail=self._tail)
            self._feed(data if start == 0 and stop == end else data[start:stop])
            start = stop

    def _feed(self, data: bytes) -> None:
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
        if self._begun and (not self._head_done or self._left < 0):
            self._tail = (self._tail + data)[-3:] if len(data) < 3 else data[-3:]
            if not self._head_done and self._n_raw > self._server.limits.max_head_bytes:
                self._refuse(431, "The head of the request is too large.")
        else:
            self._tail = b""

    def _decline(self, rest: bytes) -> None:
        """A change of protocol is declined by going on in HTTP/1.1: the parser reads the head again without the wish."""
        method, headers = self._parser.get_method(), self._headers
        if method == b"CONNECT":
            self._refuse(400, "The gateway is no proxy for CONNECT.")
            return
        if "websocket" in headers.get("upgrade", "").lower():
            # a WebSocket handshake cannot go on in HTTP, and clients with another way take it at this status
            self._refuse(426, "The gateway answers over HTTP; it has no WebSocket.")
            return
        head = request_bytes.head_without_upgrade(method, self._url, headers)
        self._parser = httptools.HttpRequestParser(self)
        self._n_raw = 0
        self._begun, self._tail, self._head_done = False, b"", False
        self._parse(head + rest)

    def eof_received(self) -> bool:
        # most clients cancel by closing; before its answer begins one may have closed its sending side alone
        self._ended = (
            self.busy and not self._writer.begun and not self._transport.get_extra_info("sslcontext")
        )
        if self._ended and self._chunks_ok:  # HTTP/1.0 has no interim answers
            self._writer.probe()
        return self._ended

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.gone(self)
        self._refused = True
        self._unread.clear()
        if self._task is not None:
            self._task.cancel()
        else:
            self._release()
        self._parser = None  # it holds this connection, and bytes of the client
        self.resume_writing()

    def pause_writing(self) -> None:
        self._writer.paused = True
        self._expect("write", self._server.limits.write_timeout_s)

    def resume_writing(self) -> None:
        was_paused = self._writer.paused
        self._writer.resume()
        if not was_paused or self._refused:
            return
        if self.busy:
            self.deadline = math.inf
        else:
            self._expect_next()
            if self._unread:
                self._parse_unread()

    # --- from the parser ---

    def on_message_begin(self) -> None:
        self._begin()
        self._begun = True
        if not self.busy:
            self._expect("head", self._server.limits.head_timeout_s)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return  # a trailer, which nobody reads
        raw = self._raw_headers
        raw.append((name, value))
        if len(raw) > _MAX_HEADER_LINES:
            self._refuse(431, "The request has too many headers.")
            raise _Stop

    def on_headers_complete(self) -> None:
        self._head_done = True
        limits, raw = self._server.limits, self._raw_headers
        self._raw_headers = []
        headers = self._headers = request_bytes.headers_of(raw)
        # of the head's last piece the rest is body
        if self._n_raw > limits.max_head_bytes < request_bytes.n_head_bytes(self._url, raw):
            self._refuse(431, "The head of the request is too large.")
            return
        parser = self._parser
        version = parser.get_http_version()
        self._chunks_ok = version == "1.1"
        if not self._chunks_ok and version != "1.0":
            self._refuse(400, "The gateway speaks HTTP/1.1.")
            return
        if fault := request_bytes.head_fault(headers, needs_host=self._chunks_ok):
            self._refuse(400, fault)
            return
        if parser.should_upgrade():
            return  # a wish to change the protocol is declined first
        left = self._left = -1 if "transfer-encoding" in headers else int(headers.get("content-length", 0))
        if left > limits.max_body_bytes:
            self._refuse(413, "")
            return
        method = self._method = parser.get_method()
        admitted = self._server.admit(method.decode("latin-1"), self._url.decode("latin-1"), headers)
        if isinstance(admitted, HttpReply):
            self._refuse_request(admitted)
            return
        self._admitted, self._owner = admitted, admitted.owner
        if left and self._take(max(0, left)):
            if "expect" in headers and headers["expect"].lower() == "100-continue":
                self._transport.write(CONTINUE)
            self._expect("body", limits.body_timeout_s)

    def _take(self, n_bytes: int) -> bool:
        """Takes bytes of the budget for the body; where they are not to be had, the request is refused."""
        if self._server.bodies.take(self._owner, n_bytes):
            self._taken += n_bytes
            return True
        self._refuse_request(self._server.refusal(429, "The gateway holds as many request bodies as it may."))
        return False

    def _release(self) -> None:
        if self._taken:
            self._server.bodies.give(self._owner, self._taken)
            self._taken = 0

    def _refuse_request(self, reply: HttpReply) -> None:
        """Answers a request before its body is read. A short body is skipped; a long one ends the connection."""
        self._release()
        keep = (
            0 <= self._left <= _MAX_SKIPPED_BYTES
            and "expect" not in self._headers
            and self._parser.should_keep_alive()
            and not self._server.draining
        )
        if not keep:
            self._refuse_with(reply)
            return
        self._writer.whole(reply, self._server.date_line, keep=True, no_body=self._method == b"HEAD")
        self._skip = True
        self._expect("skip", self._server.limits.body_timeout_s)

    def on_body(self, body: bytes) -> None:
        if self._refused or self._skip:
            self._left -= len(body) if self._left > 0 else 0
            return
        self._n_body += len(body)
        if self._left > 0:
            self._left -= len(body)
        elif self._n_body > self._server.limits.max_body_bytes:
            self._refuse(413, "")
            return
        elif not self._take(len(body)):
            return
        self._body.append(body)

    def on_message_complete(self) -> None:
        if self._refused or self._parser.should_upgrade():
            return
        self._begun = self._head_done = False
        self._n_raw = 0
        if self._skip:  # answered already
            self._wait(_PAUSE_S, keep=True)
            return
        assert self._admitted is not None
        body = b"".join(self._body)
        self._body = []
        self.busy, self._writer.begun = True, False
        self.deadline = math.inf
        self._task = self._server.loop.create_task(
            self._run(self._admitted, body, self._parser.should_keep_alive())
        )

    # --- answering ---

    async def _run(self, admitted: Admitted, body: bytes, keep: bool) -> None:
        """Answers one request."""
        try:
            reply = await admitted.answer(body)
            keep = keep and not self._server.draining
            if isinstance(reply.body, bytes):
                self._writer.whole(reply, self._server.date_line, keep=keep, no_body=self._method == b"HEAD")
            else:  # the length of an answer need not be known beforehand in HTTP/1.1
                keep, chunked = keep and self._chunks_ok, self._chunks_ok
                await self._writer.stream(reply, self._server.date_line, keep=keep, chunked=chunked)
        except asyncio.CancelledError:
            if not self._transport.is_closing():
                self._transport.abort()  # the server is going down
            raise
        except Exception as error:  # noqa: BLE001 - the edge: one answer fails, the server goes on
            log.error("an answer broke off: %s", type(error).__name__)
            self._transport.abort()
            return
        finally:
            self._release()
        self._task = None
        if admitted.pause_s and keep:
            self._wait(admitted.pause_s, keep=keep)
        else:
            self._finished(keep)

    def _wait(self, seconds: float, *, keep: bool) -> None:
        """Goes on after some time."""
        self.busy, self.deadline = True, math.inf
        self._server.loop.call_later(seconds, self._finished, keep)

    def _finished(self, keep: bool) -> None:
        self.busy = False
        if self._refused or not keep or self._server.draining or (self._ended and not self._unread):
            self._refused = True
            self._transport.close()
            if self._writer.paused:  # what was written still has to be taken
                self._expect("write", self._server.limits.write_timeout_s)
            self._server.check_drained()
        elif self._writer.paused:
            self._expect("write", self._server.limits.write_timeout_s)
        else:
            self._expect_next()
            if self._unread:
                self._parse_unread()
            if self._ended and not self.busy:
                self._transport.close()

    def _expect_next(self) -> None:
        limits = self._server.limits
        if self._begun or self._unread:
            self._expect("head", limits.head_timeout_s)
        else:
            self._expect("idle", limits.idle_timeout_s)

    def _refuse(self, status: int, sentence: str) -> None:
        """Answers what cannot be taken, and reads no more of this client."""
        if not self._refused:
            self._refuse_with(self._server.refusal(status, sentence))

    def _refuse_with(self, reply: HttpReply) -> None:
        self._refused = True
        if self.busy:
            return  # the answer under way is finished first; then the connection closes
        self._body, self._headers, self._raw_headers, self._parser = [], {}, [], None
        self._release()
        self._writer.whole(reply, self._server.date_line, keep=False)
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
        """The server is stopping, or needs room: closes an idle connection; with `now` cuts a busy one."""
        if now:
            self._transport.abort()
        elif not self.busy and not self._refused:
            self._refused = True
            self._transport.close()
