"""URLs and request heads of HTTP/1.1 clients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from urllib.parse import urlsplit

from deputize.core.errors import UpstreamError
from deputize.http.headers import Headers


@dataclass(slots=True, frozen=True)
class Target:
    """The host a URL names, and the start of a request to it."""

    host: str
    port: int
    tls: bool
    request_line: str
    """After the method: ` /path HTTP/1.1` and the host header."""
    where: str
    """Start of an error sentence: host and port, nothing that might be a secret."""
    key: tuple[str, int, bool]
    """Requests with the same one may go over the same connection."""


@lru_cache(maxsize=1024)
def target_of(url: str) -> Target:
    """The target of a URL.

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


@lru_cache(maxsize=1024)
def through_proxy(target: Target, url: str, authorization: str) -> Target:
    """The target of a request that a proxy is to make: the request line names the whole address."""
    line = f" {url.partition('#')[0]} HTTP/1.1\r\n{target.request_line.partition(chr(10))[2]}"
    if authorization:
        line += f"proxy-authorization: {authorization}\r\n"
    return replace(target, request_line=line)


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
