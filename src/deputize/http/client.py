"""A small HTTP/1.1 client for the hot path: keep-alive, streaming read by read, nothing interpreted.

No redirects, cookies or decompression, and of proxies those of the environment: `aiohttp_client` is there for networks
that need more. A general client spends a third of its processor time on features that a gateway never uses.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator

from deputize.http.client_connection import ClientConnection, ConnectionClosed
from deputize.http.headers import Headers
from deputize.http.proxy import Proxies, Proxy, open_tunnel
from deputize.http.target import Target, encode_request, target_of, through_proxy
from deputize.http.transport import not_connected_in_time, not_secure, unreachable

_IDLE_S = 60.0
_MAX_IDLE = 1024


class ClientResponse:
    """A response whose head has come."""

    __slots__ = ("_connection", "headers", "status")

    def __init__(self, connection: ClientConnection) -> None:
        self._connection: ClientConnection | None = connection
        self.status = connection.status
        self.headers: Headers = connection.headers

    async def read(self) -> bytes:
        if self._connection is None:
            return b""
        connection = self._connection
        body = await connection.read()
        self._connection = None
        return body

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._connection is None:
            return
        connection = self._connection
        async for piece in connection.chunks():
            yield piece
        self._connection = None

    async def wait_for_piece(self, until_s: float) -> bool:
        return self._connection is None or await self._connection.wait_for_piece(until_s)

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.finish()


class Http1Transport:
    """An HTTP client with keep-alive connections by host; a new one is opened where none is idle."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, proxies: Proxies | None = None) -> None:
        """
        Args:
            tls: how https servers are checked; None: the system's authorities.
            proxies: None: those of the environment.

        Raises:
            UsageError: the environment names a proxy that cannot be used.
        """
        self._tls = tls
        self._proxies = Proxies() if proxies is None else proxies
        self._idle: dict[tuple[str, int, bool], deque[ClientConnection]] = {}
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
    ) -> ClientResponse:
        """Sends one request and waits for the head of the response.

        Raises:
            UpstreamTimeout: no connection or no head in time.
            UpstreamError: no connection, or not HTTP.
        """
        target = target_of(url)
        proxy = self._proxies.proxy_for(target.host, target.port, tls=target.tls) if self._proxies else None
        if proxy is not None and not target.tls:
            target = through_proxy(target, url, proxy.authorization)
        head = encode_request(method, target, headers, len(body))
        first_s = deadline_s if first_byte_timeout_s is None else min(first_byte_timeout_s, deadline_s)
        kept = self._take_idle(target)
        began = 0.0 if first_byte_timeout_s is None else asyncio.get_running_loop().time()
        connection = kept or await self._connect(target, connect_timeout_s, proxy)
        try:
            try:
                await connection.send_request(head, body, first_s)
            except ConnectionClosed:
                if kept is None:
                    raise
                # closed while idle, before any response: sent again over a new connection
                connection.finish()
                connection = await self._connect(target, connect_timeout_s, proxy)
                await connection.send_request(head, body, first_s)
        except BaseException:
            connection.finish()
            raise
        if first_byte_timeout_s is not None:
            connection.set_timeout(max(0.0, deadline_s - (asyncio.get_running_loop().time() - began)))
        return ClientResponse(connection)

    async def _connect(self, target: Target, timeout_s: float, proxy: Proxy | None) -> ClientConnection:
        loop = asyncio.get_running_loop()
        context = None
        if target.tls:
            if self._tls is None:
                self._tls = ssl.create_default_context()
            context = self._tls
        try:
            async with asyncio.timeout(timeout_s):
                if proxy is not None and context is not None:
                    return await self._tunnel(target, proxy, context)
                _, connection = await loop.create_connection(
                    lambda: ClientConnection(target.where, lambda c: self._keep(target, c)),
                    target.host if proxy is None else proxy.host,
                    target.port if proxy is None else proxy.port,
                    ssl=context,
                )
        except TimeoutError as error:
            raise not_connected_in_time(target.where) from error
        except ssl.SSLError as error:
            raise not_secure(target.where, error) from error
        except OSError as error:
            raise unreachable(target.where, error.strerror) from error
        return connection

    async def _tunnel(self, target: Target, proxy: Proxy, context: ssl.SSLContext) -> ClientConnection:
        """A secure connection to the server itself, through a proxy that passes bytes on."""
        plain = await open_tunnel(target, proxy)
        try:
            connection = ClientConnection(target.where, lambda c: self._keep(target, c))
            loop = asyncio.get_running_loop()
            transport = await loop.start_tls(plain, connection, context, server_hostname=target.host)
        except BaseException:
            plain.abort()
            raise
        if transport is None:
            raise unreachable(target.where, None)
        connection.connection_made(transport)
        return connection

    def _take_idle(self, target: Target) -> ClientConnection | None:
        idle = self._idle.get(target.key)
        while idle:
            connection = idle.pop()  # the one used last is the most likely to be alive
            if connection.reusable:
                return connection
        return None

    def _keep(self, target: Target, connection: ClientConnection) -> None:
        idle = self._idle.get(target.key)
        if idle is None:
            idle = self._idle[target.key] = deque()
        if self._closed or len(idle) >= _MAX_IDLE:
            connection.abort()
            return
        loop = connection.loop
        connection.idle_since = loop.time()
        idle.append(connection)
        if self._sweeper is None:
            self._sweeper = loop.call_later(_IDLE_S / 4, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """Closes connections that have been idle for long."""
        self._sweeper = None
        oldest = loop.time() - _IDLE_S
        for key, idle in list(self._idle.items()):
            while idle and (idle[0].idle_since < oldest or not idle[0].reusable):
                idle.popleft().abort()
            if not idle:
                del self._idle[key]
        if self._idle and not self._closed:
            self._sweeper = loop.call_later(_IDLE_S / 4, self._sweep, loop)

    async def close(self) -> None:
        """Closes every idle connection; busy ones are closed when their response is over."""
        self._closed = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            self._sweeper = None
        for idle in self._idle.values():
            for connection in idle:
                connection.abort()
        self._idle.clear()
        await asyncio.sleep(0)  # lets the loop close them
