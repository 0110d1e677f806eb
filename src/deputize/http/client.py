"""A small HTTP/1.1 client for the hot path: keep-alive, streaming read by read, nothing interpreted.

Parsing is llhttp's (through httptools). No redirects, cookies, decompression or proxies: `AiohttpTransport` is there for
networks that need more. A third of the processor time of a general client goes into what a gateway never uses.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools

from deputize.core.errors import UpstreamError, UpstreamTimeout

Headers = list[tuple[str, str]]

_MAX_HEAD_BYTES = 256 * 1024
_HIGH_WATER_BYTES = 1024 * 1024
_SLICE_BYTES = 256 * 1024
_IDLE_S = 60.0
_MAX_IDLE = 1024


@dataclass(slots=True, frozen=True)
class Target:
    """Where a URL leads."""

    host: str
    port: int
    tls: bool
    request_line: str
    """After the method: ` /path HTTP/1.1` and the host header."""
    where: str
    """For error messages: host and port, nothing that might be a secret."""
    key: tuple[str, int, bool]
    """Requests with the same one may go over the same connection."""


def target_of(url: str) -> Target:
    """Takes an address apart.

    Raises:
        UpstreamError: no http or https address, or characters that cannot stand in a request line.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UpstreamError("The upstream's address cannot be used.") from error
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if parts.scheme not in ("http", "https") or not host or not _plain(path) or not _plain(host):
        raise UpstreamError("The upstream's address cannot be used.")
    tls = parts.scheme == "https"
    shown = f"[{host}]" if ":" in host else host
    named = shown if port is None else f"{shown}:{port}"
    line = f" {path} HTTP/1.1\r\nhost: {named}\r\n"
    number = port or (443 if tls else 80)
    return Target(host, number, tls, line, f"The upstream at {named}", (host, number, tls))


def _plain(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def encode_request(method: str, target: Target, headers: Headers, n_body: int) -> bytes:
    """The head of a request.

    Raises:
        UpstreamError: a header that would break out of its line.
    """
    lines = "".join([f"{k}: {v}\r\n" for k, v in headers])
    # whatever a client managed to put into a header ends where its line ends
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers) or "\0" in lines:
        raise UpstreamError("A request header holds characters that cannot be sent.")
    length = f"content-length: {n_body}\r\n\r\n" if n_body or method != "GET" else "\r\n"
    try:
        return f"{method}{target.request_line}{lines}{length}".encode("latin-1")
    except UnicodeEncodeError as error:
        raise UpstreamError("A request header holds characters that cannot be sent.") from error


class ClientConnection(asyncio.Protocol):
    """One connection; at most one answer at a time. Fed by the loop, read by whoever sent the request.

    Knows no sockets beyond its transport, so that tests can feed it bytes by hand.
    """

    __slots__ = (
        "_body",
        "_broken",
        "_deadline",
        "_done",
        "_failure",
        "_framed",
        "_head_bytes",
        "_headers",
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
        self._headers: Headers = []
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
            # nobody asked: the server says good-bye, or talks out of turn
            self._broken = True
            self._abort()
            return
        self._seen_bytes = True
        if not self.head_done:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except (
            httptools.HttpParserError,
            httptools.HttpParserUpgrade,
        ):  # nobody asked it to change protocols
            self._broken = True
            if not self._done:
                self._fail(UpstreamError(f"{self._where} did not answer in HTTP."))
                self._abort()
                return
        if not self.head_done and self._head_bytes > _MAX_HEAD_BYTES:
            self._broken = True
            self._fail(UpstreamError(f"{self._where} sent a head of more than {_MAX_HEAD_BYTES} bytes."))
            self._abort()
            return
        if self._n_buffered > _HIGH_WATER_BYTES and not self._paused_reading and self.transport is not None:
            self._paused_reading = True
            self.transport.pause_reading()
        self._wake()

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
                self._failure = UpstreamError(f"{self._where} broke off its answer.")
        self._wake()
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
            self._broken = True  # a second answer to one question: not looked at, and not to be trusted

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.head_done:  # else: a trailer, which nobody reads
            key = name.decode("latin-1").lower()
            self._headers.append((key, value.decode("latin-1")))
            if key == "content-length" or key == "transfer-encoding":
                self._framed = True

    def on_headers_complete(self) -> None:
        if self._done:
            return
        status: int = self._parser.get_status_code()
        if status < 200:
            self._headers, self._framed = (
                [],
                False,
            )  # "100 Continue" and its like announce the answer, they are none
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

    # --- from the one who asks ---

    @property
    def reusable(self) -> bool:
        """Whether another request may go over it."""
        return (
            not self._broken
            and not self.lost
            and self.transport is not None
            and not self.transport.is_closing()
        )

    async def ask(self, head: bytes, body: bytes, timeout_s: float) -> None:
        """Sends a request and waits for the head of its answer.

        Raises:
            ConnectionClosed: it was closed before the first byte of an answer.
            UpstreamTimeout, UpstreamError: no answer.
        """
        assert self.transport is not None
        self._reset()
        self.answering = True
        self._arm(timeout_s)
        if len(body) <= _SLICE_BYTES:
            self.transport.write(head + body if body else head)
        else:
            await self._write_slices(head, body)
        while not self.head_done:
            if self._failure is not None:
                raise self._failure
            if self.lost:
                raise UpstreamError(f"{self._where} broke off its answer.")
            await self._news()

    def limit(self, timeout_s: float) -> None:
        """What is left of the answer may take this long."""
        self._arm(timeout_s)

    async def whole(self) -> bytes:
        """The rest of the body. Raises UpstreamError when it breaks off."""
        pieces: list[bytes] = []
        while True:
            if self._body:
                pieces += self._take()
            if self._done:
                self.finish()
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            if self._failure is not None:
                raise self._failure
            await self._news()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it arrives, what one read brought at a time. Raises UpstreamError when it breaks off."""
        while True:
            if self._body:
                taken = self._take()
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
            await self._news()

    def finish(self) -> None:
        """The answer is over, or given up: the connection goes back to its pool, or is closed."""
        if not self.answering:
            return
        self.answering = False
        if self._done and self.reusable:
            self._take()
            self._on_idle(self)
        else:
            self._abort()

    # --- inside ---

    def _take(self) -> list[bytes]:
        taken, self._body, self._n_buffered = self._body, [], 0
        if self._paused_reading and self.transport is not None and not self.lost:
            self._paused_reading = False
            self.transport.resume_reading()
        return taken

    async def _news(self) -> None:
        self._waiter = self.loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: UpstreamError) -> None:
        if self._failure is None:
            self._failure = error
        self._wake()

    async def _write_slices(self, head: bytes, body: bytes) -> None:
        """A large body piece by piece, so that encrypting one prompt does not hold up every other call."""
        assert self.transport is not None
        self.transport.write(head)
        for start in range(0, len(body), _SLICE_BYTES):
            if self.head_done or self._failure is not None or self.lost:
                self._broken = True  # an answer before the end of the question is a refusal
                return
            self.transport.write(body[start : start + _SLICE_BYTES])
            if self._paused_writing:
                self._write_waiter = self.loop.create_future()
                await self._write_waiter

    def _arm(self, timeout_s: float) -> None:
        """Sets the deadline. A timer that is running already and not too late is left alone: it looks again when it
        fires, and most answers are there long before."""
        loop = self.loop
        self._deadline = loop.time() + timeout_s
        if self._timer is not None:
            if self._timer.when() <= self._deadline:
                return
            self._timer.cancel()
        self._timer = loop.call_at(self._deadline, self._look)

    def _look(self) -> None:
        self._timer = None
        if self.answering and not self._done:
            if self.loop.time() < self._deadline:
                self._timer = self.loop.call_at(self._deadline, self._look)
            else:
                self._late()

    def _late(self) -> None:
        if self.answering and not self._done:
            self._broken = True
            what = "finish its answer" if self.head_done else "answer"
            self._fail(UpstreamTimeout(f"{self._where} did not {what} in time."))
            self._abort()

    def _abort(self) -> None:
        if self.transport is not None and not self.lost:
            self.transport.abort()


class ConnectionClosed(UpstreamError):
    """A connection that was kept alive was closed meanwhile; the request can go over another one."""


class _Incoming:
    """An answer whose head has come."""

    __slots__ = ("_connection", "headers", "status")

    def __init__(self, connection: ClientConnection) -> None:
        self._connection: ClientConnection | None = connection
        self.status = connection.status
        self.headers: Headers = connection._headers

    async def read(self) -> bytes:
        if self._connection is None:
            return b""
        connection = self._connection
        body = await connection.whole()
        self._connection = None
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._connection is None:
            return
        connection = self._connection
        async for piece in connection.pieces():
            yield piece
        self._connection = None

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finish()


class Http1Transport:
    """Keep-alive connections by host; opened when none is idle."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        """
        Args:
            tls: how https servers are checked; None: the system's authorities.
        """
        self._tls = tls
        self._idle: dict[tuple[str, int, bool], deque[ClientConnection]] = {}
        self._targets: dict[str, Target] = {}
        self._sweeper: asyncio.TimerHandle | None = None
        self._closed = False

    async def send(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes,
        *,
        connect_timeout_s: float,
        first_byte_timeout_s: float | None,
        deadline_s: float,
    ) -> _Incoming:
        """Sends one request and waits for the head of the answer.

        Raises:
            UpstreamTimeout: no connection or no head in time.
            UpstreamError: no connection, or not HTTP.
        """
        target = self._targets.get(url)
        if target is None:
            if len(self._targets) > 1000:
                self._targets.clear()
            target = self._targets[url] = target_of(url)
        head = encode_request(method, target, headers, len(body))
        first_s = deadline_s if first_byte_timeout_s is None else min(first_byte_timeout_s, deadline_s)
        kept = self._take_idle(target)
        began = 0.0 if first_byte_timeout_s is None else asyncio.get_running_loop().time()
        connection = kept or await self._connect(target, connect_timeout_s)
        try:
            try:
                await connection.ask(head, body, first_s)
            except ConnectionClosed:
                if kept is None:
                    raise
                # closed while it lay idle: nothing was answered, so it is asked again over a new one
                connection.finish()
                connection = await self._connect(target, connect_timeout_s)
                await connection.ask(head, body, first_s)
        except BaseException:
            connection.finish()
            raise
        if first_byte_timeout_s is not None:
            connection.limit(max(0.0, deadline_s - (asyncio.get_running_loop().time() - began)))
        return _Incoming(connection)

    async def _connect(self, target: Target, timeout_s: float) -> ClientConnection:
        loop = asyncio.get_running_loop()
        context = None
        if target.tls:
            if self._tls is None:
                self._tls = ssl.create_default_context()
            context = self._tls
        try:
            async with asyncio.timeout(timeout_s):
                _, connection = await loop.create_connection(
                    lambda: ClientConnection(target.where, lambda c: self._keep(target, c)),
                    target.host,
                    target.port,
                    ssl=context,
                )
        except TimeoutError as error:
            raise UpstreamTimeout(f"{target.where} did not answer in time.") from error
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or "no secure connection"
            raise UpstreamError(f"{target.where} cannot be reached safely: {why}.") from error
        except OSError as error:
            raise UpstreamError(
                f"{target.where} cannot be reached: {error.strerror or 'no connection'}."
            ) from error
        return connection

    def _take_idle(self, target: Target) -> ClientConnection | None:
        idle = self._idle.get(target.key)
        while idle:
            connection = idle.pop()  # the one used last is the likeliest to be alive
            if connection.reusable:
                return connection
        return None

    def _keep(self, target: Target, connection: ClientConnection) -> None:
        idle = self._idle.get(target.key)
        if idle is None:
            idle = self._idle[target.key] = deque()
        if self._closed or len(idle) >= _MAX_IDLE:
            connection._abort()
            return
        loop = connection.loop
        connection.idle_since = loop.time()
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_IDLE_S / 4, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Closes what nobody has used for a while."""
        self._sweeper = None
        oldest = loop.time() - _IDLE_S
        for key, idle in list(self._idle.items()):
            while idle and (idle[0].idle_since < oldest or not idle[0].reusable):
                idle.popleft()._abort()
            if not idle:
                del self._idle[key]
        if self._idle and not self._closed:
            self._sweeper = loop.call_later(_IDLE_S / 4, self._sweep, loop)

    async def close(self) -> None:
        """Closes every idle connection; those that answer close when they are done."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for idle in self._idle.values():
            for connection in idle:
                connection._abort()
        self._idle.clear()
        await asyncio.sleep(0)  # lets the loop close them


__all__ = ["ClientConnection", "ConnectionClosed", "Http1Transport", "Target", "encode_request", "target_of"]
