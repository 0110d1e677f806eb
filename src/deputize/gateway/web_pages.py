"""Requests that web pages make: kept away from a gateway that asks for no key, allowed across origins where listed.

A page of any site can have its visitor's browser send requests to this machine, with no header that it could not set
(cross-site request forgery), and by a name that it points here also read the answers (DNS rebinding). A key, which no
page knows, rules out both. Without one a request must name this machine itself and come from no other site.

References:
    Fetch standard, "CORS protocol"; W3C, "Fetch Metadata Request Headers".
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping

from deputize.core.errors import AccessDenied, UnsupportedMediaType
from deputize.gateway.addresses import is_loopback
from deputize.http.headers import Headers, header_safe

_CORS_MAX_AGE_S = 600
_MAX_KNOWN_HOSTS = 64
_NEVER_SIMPLE = ("application/json", "application/x-protobuf")
"""Media types that a browser does not send for a page without asking first."""
_EXPOSED = (
    "retry-after, x-request-id, x-deputize-certificate, x-deputize-confidence, x-deputize-estimated, x-deputize-judged, x-deputize-measured, "
    "x-deputize-request-id, x-deputize-route, x-deputize-served-by, x-deputize-uncompared"
)


class WebPages:
    """Decides on requests that a browser may have sent for a page."""

    def __init__(
        self,
        allowed_hosts: Iterable[str] = (),
        allowed_origins: Iterable[str] = (),
        *,
        any_address: bool = False,
    ) -> None:
        """
        Args:
            allowed_hosts: names, besides this machine's loopback ones, by which a gateway without keys may be asked.
            allowed_origins: origins (scheme://host[:port]) whose pages may use the gateway.
            any_address: it may also be asked by any IP address, which no page can point here as it can a name.
        """
        self._hosts = frozenset(host.lower() for host in allowed_hosts)
        self._origins = frozenset(allowed_origins)
        self._any_address = any_address
        self._known_hosts: set[str] = set()
        """Host headers that were found to be ours: a client sends the same with every request."""

    def check_keyless(self, method: str, headers: Mapping[str, str]) -> None:
        """Refuses what a page of another site may have sent.

        Raises:
            AccessDenied: another host is named, or the request comes from another site.
            UnsupportedMediaType: a body that is not declared as JSON, as only a browser's simple requests are.
        """
        host = headers.get("host", "")
        if not self._is_ours(host):
            raise AccessDenied(
                f"A gateway without API keys is not asked as {header_safe(host, 80)!r}: use 127.0.0.1 or localhost, list the"
                " name in allowed_hosts, or create a key (deputize keys create --role ingest)."
            )
        origin = headers.get("origin")
        if origin is None:
            if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                raise AccessDenied("Web pages of other sites may not use a gateway without API keys.")
        elif origin not in self._origins:
            raise AccessDenied(
                f"Pages of {header_safe(origin, 80)!r} may not use this gateway; allowed_origins lists those that may."
            )
        if (
            method == "POST"
            and headers.get("content-type") != "application/json"
            and not _asks_first(headers)
        ):
            media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
            if media_type not in _NEVER_SIMPLE and not media_type.endswith("+json"):
                raise UnsupportedMediaType("The request needs the header content-type: application/json.")

    def _is_ours(self, host: str) -> bool:
        if host in self._known_hosts:
            return True
        name = _name(host)
        ours = bool(name) and (
            is_loopback(name) or name in self._hosts or (self._any_address and _is_address(name))
        )
        if ours and len(self._known_hosts) < _MAX_KNOWN_HOSTS:
            self._known_hosts.add(host)
        return ours

    def cors_headers(self, headers: Mapping[str, str]) -> Headers:
        """The headers that let a page of a listed origin read the answer; [] for everybody else."""
        origin = headers.get("origin")
        if origin is None or origin not in self._origins:
            return []
        return [
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", _EXPOSED),
            ("vary", "origin"),
        ]

    def preflight(self, headers: Mapping[str, str], method: str) -> Headers | None:
        """The headers that answer a page's question whether it may send a request; None where it may not."""
        allowed = self.cors_headers(headers)
        if not allowed or "access-control-request-method" not in headers:
            return None
        wanted = header_safe(headers.get("access-control-request-headers", ""), 2000)
        return [
            *allowed,
            ("access-control-allow-methods", method or "GET, POST"),
            ("access-control-allow-headers", wanted),
            ("access-control-max-age", str(_CORS_MAX_AGE_S)),
        ]


def _asks_first(headers: Mapping[str, str]) -> bool:
    """True where a request has a header that no page can set without asking first (a preflight): a client's."""
    return any(name in headers for name in ("authorization", "x-api-key", "api-key"))


def _name(host: str) -> str:
    """The host of a Host header without its port, in lower case; "" where it is none."""
    if host.startswith("["):
        name, closed, port = host[1:].partition("]")
        return name.lower() if closed and (not port or port[0] == ":") and _is_port(port[1:]) else ""
    name, _, port = host.partition(":")
    return name.lower() if _is_port(port) else ""


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
