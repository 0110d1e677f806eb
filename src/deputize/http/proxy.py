"""Proxies that the environment names (HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY), in their usual meaning.

References:
    curl manual, "Environment"; RFC 9110, section 9.3.6 (CONNECT).
"""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from deputize.core.errors import UpstreamError, UsageError
from deputize.http.target import Target

_MAX_HEAD_BYTES = 64 * 1024


@dataclass(slots=True, frozen=True)
class Proxy:
    """An HTTP proxy."""

    host: str
    port: int
    authorization: str = ""
    """The value of its proxy-authorization header; "": none."""
    url: str = ""
    """Its address with its credentials."""


class Proxies:
    """Tells for each host whether a proxy is to be asked, and which one."""

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        """
        Args:
            environ: None: the process's.

        Raises:
            UsageError: a proxy of a kind that is not known here.
        """
        given = {
            k.lower(): v.strip()
            for k, v in sorted((os.environ if environ is None else environ).items())
            if v.strip()
        }
        # a server that is run by a web server has HTTP_PROXY from a header of its client
        plain = "" if "request_method" in given else given.get("http_proxy", "")
        every = given.get("all_proxy", "")
        self._http = _proxy(plain or every)
        self._https = _proxy(given.get("https_proxy", "") or every)
        self._direct = [part for entry in given.get("no_proxy", "").split(",") for part in entry.split()]

    def __bool__(self) -> bool:
        return self._http is not None or self._https is not None

    def proxy_for(self, host: str, port: int, *, tls: bool) -> Proxy | None:
        """The proxy for a host; None: it is asked directly."""
        found = self._https if tls else self._http
        return None if found is None or self._is_direct(host.lower(), port) else found

    def _is_direct(self, host: str, port: int) -> bool:
        return any(_covers(entry.lower(), host, port) for entry in self._direct)


def _proxy(value: str) -> Proxy | None:
    if not value:
        return None
    parts = urlsplit(value if "://" in value else f"http://{value}")
    try:
        port = parts.port or 80
    except ValueError as error:
        raise UsageError("The port of the proxy that the environment names is no number.") from error
    if parts.scheme != "http" or not parts.hostname:
        raise UsageError(
            f"The environment names a proxy of the kind {parts.scheme!r}; only http:// ones can be used here."
        )
    address = parts._replace(
        netloc=parts.netloc if parts.port else f"{parts.netloc}:{port}", path=""
    ).geturl()
    authorization = ""
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    return Proxy(parts.hostname, port, authorization, address)


def _covers(entry: str, host: str, port: int) -> bool:
    """True where an entry of NO_PROXY is about a host: *, a name with all below it, an address or a network."""
    if entry == "*":
        return True
    try:
        address = ipaddress.ip_address(host)
        return address in ipaddress.ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        pass
    name, colon, number = entry.rpartition(":")
    if colon and number.isdigit() and "]" not in number:
        if int(number) != port:
            return False
        entry = name.strip("[]")
    entry = entry.removeprefix("*").lstrip(".")
    return bool(entry) and (host == entry or host.endswith(f".{entry}"))


class _TunnelAsker(asyncio.Protocol):
    """Waits for the head of a proxy's answer."""

    def __init__(self) -> None:
        self.answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._head = b""

    def data_received(self, data: bytes) -> None:
        self._head += data
        if not self.answered.done() and (b"\r\n\r\n" in self._head or len(self._head) > _MAX_HEAD_BYTES):
            self.answered.set_result(self._head)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.answered.done():
            self.answered.set_result(self._head)


async def open_tunnel(target: Target, proxy: Proxy) -> asyncio.Transport:
    """A connection to a server that a proxy passes bytes on to.

    Raises:
        UpstreamError: it does not.
        OSError: the proxy cannot be reached.
    """
    loop = asyncio.get_running_loop()
    transport, asker = await loop.create_connection(_TunnelAsker, proxy.host, proxy.port)
    where = f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"host: {where}"]
    if proxy.authorization:
        lines.append(f"proxy-authorization: {proxy.authorization}")
    try:
        transport.write(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
        head = await asker.answered
        status = head.split(b" ", 2)[1:2]
        if not status or not status[0].startswith(b"2"):
            said = head.split(b"\r\n", 1)[0].decode("latin-1")[:80]
            raise UpstreamError(
                f"The proxy at {proxy.host}:{proxy.port} does not pass on to {where}: {said!r}."
            )
    except BaseException:
        transport.abort()
        raise
    return transport
