"""HTTP headers as lists of (lower-case name, value)."""

from __future__ import annotations

Headers = list[tuple[str, str]]

HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "host",
        "content-length",
        "expect",
    }
)
"""Headers about one connection; content-length and host are set again for the next one."""


def header(headers: Headers, name: str, default: str = "") -> str:
    """The first value of a header, by its lower-case name."""
    return dict(headers[::-1]).get(name, default)  # backwards: of several with one name the first stays


def header_safe(text: str, limit: int = 256) -> str:
    """Text fit for a header value: printable ASCII, cut to `limit` characters."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:limit])
