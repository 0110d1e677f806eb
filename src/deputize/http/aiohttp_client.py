"""The HTTP client that stands on aiohttp, for networks where the small one in `client` does not do."""

from __future__ import annotations

import asyncio
import io
import ssl
from collections.abc import AsyncIterator
from functools import lru_cache

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from deputize.core.errors import UpstreamError
from deputize.http.headers import Headers
from deputize.http.proxy import Proxies
from deputize.http.target import target_of
from deputize.http.transport import (
    UnreadResponse,
    broke_off,
    no_answer_in_time,
    not_connected_in_time,
    not_finished_in_time,
    not_secure,
    unreachable,
)

_LARGE_BYTES = 256 * 1024
_MAX_TIMEOUTS = 256


class AiohttpResponse:
    """A response whose head has come."""

    __slots__ = ("_pending", "_response", "_where", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, where: str) -> None:
        self._response = response
        self._where = where
        self._pending: asyncio.Task[bytes] | None = None
        """A read that has begun before anybody asked for its bytes."""
        self.status = response.status
        self.headers: Headers = [
            (k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in response.raw_headers
        ]

    async def wait_for_piece(self, until_s: float) -> bool:
        loop = asyncio.get_running_loop()
        if self._pending is None:
            self._pending = loop.create_task(self._response.content.readany())
        await asyncio.wait([self._pending], timeout=until_s - loop.time())
        return self._pending.done()

    async def read(self) -> bytes:
        if self._pending is not None:
            return b"".join([piece async for piece in self.chunks()])
        try:
            return await self._response.read()
        except TimeoutError as error:
            raise not_finished_in_time(self._where) from error
        except (aiohttp.ClientError, OSError) as error:
            raise broke_off(self._where) from error

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while True:
                # per read, never per fixed size: small frames must not wait for big ones
                pending, self._pending = self._pending, None
                chunk = await (pending or content.readany())
                if not chunk:
                    return
                yield chunk
        except TimeoutError as error:
            raise not_finished_in_time(self._where) from error
        except (aiohttp.ClientError, OSError) as error:
            raise broke_off(self._where) from error

    def close(self) -> None:
        if self._pending is not None:
            self._pending.cancel()
        self._response.close()


class AiohttpTransport:
    """An HTTP client on aiohttp: keep-alive, no cookies, no decompression, no redirects."""

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
        self._session: aiohttp.ClientSession | None = None
        self._timeouts: dict[tuple[float, float], aiohttp.ClientTimeout] = {}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=60, ttl_dns_cache=60, ssl=self._tls or True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                read_bufsize=256 * 1024,
                max_line_size=64 * 1024,
                max_field_size=64 * 1024,
            )
        return self._session

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
    ) -> UnreadResponse:
        """Sends one request and waits for the head of the response.

        Raises:
            UpstreamTimeout: no connection or no head in time.
            UpstreamError: no connection, or not HTTP.
        """
        target = target_of(url)
        where = target.where
        proxy = self._proxies.proxy_for(target.host, target.port, tls=target.tls)
        key = (connect_timeout_s, deadline_s)
        timeout = self._timeouts.get(key)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=deadline_s, sock_connect=connect_timeout_s)
            if len(self._timeouts) < _MAX_TIMEOUTS:  # later attempts have odd ones
                self._timeouts[key] = timeout
        try:
            sending = self._open().request(
                method,
                _parsed_url(url),
                data=_payload(body),
                headers=CIMultiDict(headers),
                timeout=timeout,
                allow_redirects=False,
                proxy=proxy.url if proxy is not None else None,
            )
            if first_byte_timeout_s is None:
                response = await sending
            else:
                async with asyncio.timeout(first_byte_timeout_s):
                    response = await sending
        except aiohttp.ConnectionTimeoutError as error:
            raise not_connected_in_time(where) from error
        except TimeoutError as error:
            raise no_answer_in_time(where) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise not_secure(where, error.certificate_error) from error
        except aiohttp.ClientConnectorError as error:
            raise unreachable(where, error.os_error.strerror) from error
        except aiohttp.ServerDisconnectedError as error:
            raise UpstreamError(f"{where} closed the connection without an answer.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(f"{where} did not answer in HTTP ({type(error).__name__}).") from error
        return AiohttpResponse(response, where)

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


@lru_cache(maxsize=1024)
def _parsed_url(url: str) -> URL:
    return URL(url, encoded=True)


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """The body in a form that aiohttp writes piece by piece where it is large, so that it does not hold up other
    calls."""
    return io.BytesIO(body) if len(body) > _LARGE_BYTES else body or None
