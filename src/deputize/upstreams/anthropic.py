"""What is particular to servers that speak Anthropic's protocol: how a request is authorised, and its version header."""

from __future__ import annotations

VERSION = "2023-06-01"
"""The protocol version asked for when the client named none (it speaks another protocol)."""


def authorise(headers: list[tuple[str, str]], key: str) -> list[tuple[str, str]]:
    """The headers with the upstream's own key in place of whatever credentials were there."""
    kept = [(k, v) for k, v in headers if k not in ("authorization", "x-api-key")]
    return [*kept, ("x-api-key", key)]


def with_version(headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers with a protocol version, kept where the client sent one."""
    if any(k == "anthropic-version" for k, _ in headers):
        return headers
    return [*headers, ("anthropic-version", VERSION)]
