"""One HTTP/1.1 connection of a client, as a protocol without sockets. Parsing is llhttp's (through httptools)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import httptools

from deputize.core.errors import UpstreamError
from deputize.http.headers import Headers
from deputize.http.transport import broke_off, no_answer_in_time, not_finished_in_time

_MAX_HEAD_BYTES = 256 * 1024
_HIGH_WATER_BYTES = 1024 * 1024
_SLICE_BYTES = 256 * 1024


class ConnectionClosed(UpstreamError):
    """The server closed a kept-alive connection before it answered; the request can be sent over another one."""


class ClientConnection(asyncio.Protocol):
    """One connection; at most one response at a time. The event loop feeds it; whoever sent the request reads from it.

    It knows no sockets beyond its transport, so that tests can feed it bytes by hand.
    """

    __slots__ = (
        "_body",
        "_broken",
        "_deadline",
        "_done",
        "_failure",
        "_framed",
        "_head_bytes",
        "_n_buffered",
        "_on_idle",
        "_parser",
        "_paused_reading",
        "_paused_writing",
        "_seen_bytes",
        "_timer",
        "_waiter",
        "_where",
        "_write_waiter",
        "answering",
        "head_done",
        "headers",
        "idle_since",
        "loop",
        "lost",
        "status",
        "transport",
    )

    def __init__(self, where: str, on_idle: Callable[[ClientConnection], None]) -> None:
        self._where = where
        self._on_idle = on_idle
        self._parser = httptools.HttpResponseParser(self)
        # an answer with both a length and chunks is read by its chunks (RFC 9112, 6.3), and its connection not used
        # again
        self._parser.set_dangerous_leniencies(lenient_chunked_length=True)
        self.transport: asyncio.Transport | None = None
        self.lost = False
        self.answering = False
        self.idle_since = 0.0
        self._waiter: asyncio.Future[None] | None = None
        self._write_waiter: asyncio.Future[None] | None = None
        self.loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._deadline = 0.0
        self._paused_reading = self._paused_writing = False
        self._broken = False
        """Bytes came that belong to no answer, or the server wants it closed: never to be used again."""
        self._reset()

    def _reset(self) -> None:
        self.status = 0
        self.head_done = self._done = self._framed = False
        self.headers: Headers = []
        self._body: list[bytes] = []
        self._n_buffered = self._head_bytes = 0
        self._seen_bytes = False
        self._failure: UpstreamError | None = None

    # --- from the loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport = cast("asyncio.Transport", transport)  # uvloop's are none by class
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if not self.answering or self._done:
            # no request is open: the server takes its leave, or sends bytes nobody asked for
            self._broken = True
            self.abort()
            return
        self._seen_bytes = True
        if not self.head_done:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            # nobody asked it to change protocols
            self._broken = True
            if not self._done:
                self._fail(UpstreamError(f"{self._where} did not answer in HTTP."))
                self.abort()
                return
        if not self.head_done and self._head_bytes > _MAX_HEAD_BYTES:
            self._broken = True
            self._fail(UpstreamError(f"{self._where} sent a head of more than {_MAX_HEAD_BYTES} bytes."))
            self.abort()
            return
        if self._n_buffered > _HIGH_WATER_BYTES and not self._paused_reading and self.transport is not None:
            self._paused_reading = True
            self.transport.pause_reading()
        self._notify()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = self._broken = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.answering and not self._done and self._failure is None:
            if self.head_done and not self._framed and exc is None:
                self._done = True  # a body without a length ends with its connection
            elif not self._seen_bytes:
                self._failure = ConnectionClosed(f"{self._where} closed the connection without an answer.")
            else:
                self._failure = broke_off(self._where)
        self._notify()
        self.resume_writing()

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)

    # --- from the parser ---

    def on_message_begin(self) -> None:
        if self._done:
            self._broken = True  # a second response to one request: not read, and not to be trusted

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_done:  # else: a trailer, which nobody reads
            key = name.decode("latin-1").lower()
            self.headers.append((key, value.rstrip(b" \t").decode("latin-1")))
            if key == "content-length" or key == "transfer-encoding":
                if key == "transfer-encoding" and self.headers[-1][1].lower() != "chunked":
                    raise ValueError("a coding that nobody asked for")  # to the parser, which gives up
                if self._framed:
                    self._broken = True
                self._framed = True

    def on_headers_complete(self) -> None:
        if self._done:
            return
        status: int = self._parser.get_status_code()
        if status < 200:
            # 100 Continue and the like only announce the response
            self.headers, self._framed = [], False
            return
        self.status = status
        self.head_done = True
        self._framed = self._framed or status in (204, 304)

    def on_body(self, body: bytes) -> None:
        if self._done:
            return
        self._body.append(body)
        self._n_buffered += len(body)

    def on_message_complete(self) -> None:
        if self.head_done:
            self._done = True
            if not self._parser.should_keep_alive():
                self._broken = True

    # --- from the sender of a request ---

    @property
    def reusable(self) -> bool:
        """True where another request may be sent over it."""
        return (
            not self._broken
            and not self.lost
            and self.transport is not None
            and not self.transport.is_closing()
        )

    async def send_request(self, head: bytes, body: bytes, timeout_s: float) -> None:
        """Sends a request and waits for the head of its response.

        Raises:
            ConnectionClosed: it was closed before the first byte of an answer.
            UpstreamTimeout, UpstreamError: no answer.
        """
        assert self.transport is not None
        self._reset()
        self.answering = True
        self._set_deadline(timeout_s)
        if len(body) <= _SLICE_BYTES:
            self.transport.write(head + body if body else head)
        else:
            await self._write_slices(head, body)
        while not self.head_done:
            if self._failure is not None:
                raise self._failure
            if self.lost:
                raise broke_off(self._where)
            await self._wait_for_change()

    def set_timeout(self, timeout_s: float) -> None:
        """Gives the rest of the response this much time."""
        self._set_deadline(timeout_s)

    async def read(self) -> bytes:
        """The rest of the body. Raises UpstreamError when it breaks off."""
        pieces: list[bytes] = []
        while True:
            if self._body:
                pieces += self._pop_body()
            if self._done:
                self.finish()
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if self._failure is not None:
                raise self._failure
            await self._wait_for_change()

    async def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, what one read brought at a time. Raises UpstreamError when it breaks off."""
        while True:
            if self._body:
                taken = self._pop_body()
                ended = self._done
                if ended:
                    self.finish()  # from here on it may serve another request
                yield taken[0] if len(taken) == 1 else b"".join(taken)
                if ended:
                    return
                continue
            if self._done:
                self.finish()
                return
            if self._failure is not None:
                raise self._failure
            await self._wait_for_change()

    async def wait_for_piece(self, until_s: float) -> bool:
        """See `UnreadResponse`."""
        timer: asyncio.TimerHandle | None = None
        try:
            while not (self._body or self._done or self._failure is not None):
                if self.loop.time() >= until_s:
                    return False
                timer = timer or self.loop.call_at(until_s, self._notify)
                await self._wait_for_change()
        finally:
            if timer is not None:
                timer.cancel()
        return True

    def finish(self) -> None:
        """Ends the exchange: the connection returns to its pool, or is closed where the response was not read to its
        end."""
        if not self.answering:
            return
        self.answering = False
        if self._done and self.reusable:
            self._pop_body()
            self._on_idle(self)
        else:
            self.abort()

    # --- inside ---

    def _pop_body(self) -> list[bytes]:
        taken, self._body, self._n_buffered = self._body, [], 0
        if self._paused_reading and self.transport is not None and not self.lost:
            self._paused_reading = False
            self.transport.resume_reading()
        return taken

    async def _wait_for_change(self) -> None:
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _notify(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: UpstreamError) -> None:
        if self._failure is None:
            self._failure = error
        self._notify()

    async def _write_slices(self, head: bytes, body: bytes) -> None:
        """Writes a large body piece by piece, so that encrypting one prompt does not hold up every other call."""
        assert self.transport is not None
        self.transport.write(head)
        for start in range(0, len(body), _SLICE_BYTES):
            if self.head_done or self._failure is not None or self.lost:
                self._broken = True  # a response before the end of the request is a refusal
                return
            self.transport.write(body[start : start + _SLICE_BYTES])
            if self._paused_writing:
                self._write_waiter = self.loop.create_future()
                await self._write_waiter

    def _set_deadline(self, timeout_s: float) -> None:
        """Sets the deadline. A timer that runs already and fires in time is kept: it checks again when it fires, and
        most responses are there long before."""
        loop = self.loop
        self._deadline = loop.time() + timeout_s
        if self._timer is not None:
            if self._timer.when() <= self._deadline:
                return
            self._timer.cancel()
        self._timer = loop.call_at(self._deadline, self._check_deadline)

    def _check_deadline(self) -> None:
        self._timer = None
        if self.answering and not self._done:
            if self.loop.time() < self._deadline:
                self._timer = self.loop.call_at(self._deadline, self._check_deadline)
            else:
                self._fail_late()

    def _fail_late(self) -> None:
        if self.answering and not self._done:
            self._broken = True
            late = not_finished_in_time if self.head_done else no_answer_in_time
            self._fail(late(self._where))
            self.abort()

    def abort(self) -> None:
        """Closes the connection at once."""
        if self.transport is not None and not self.lost:
            self.transport.abort()
