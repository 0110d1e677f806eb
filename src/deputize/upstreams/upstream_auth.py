"""Credentials and version headers of requests to LLM servers, in the place where each protocol looks for them."""

from __future__ import annotations

from typing import Literal

from deputize.http.headers import Headers
from deputize.upstreams.upstream_config import UpstreamProtocol

ANTHROPIC_VERSION = "2023-06-01"
"""Sent where the client named no version, since it speaks another protocol."""


def with_key(headers: Headers, key: str, protocol: UpstreamProtocol | Literal["azure"]) -> Headers:
    """The headers with the upstream's own key in place of whatever credentials were there."""
    kept = [(k, v) for k, v in headers if k not in ("authorization", "x-api-key", "api-key")]
    if protocol == "azure":
        return [*kept, ("api-key", key)]
    own = ("x-api-key", key) if protocol == "anthropic" else ("authorization", f"Bearer {key}")
    return [*kept, own]


def with_client_key_of(headers: Headers, *, azure: bool) -> Headers:
    """The headers with the client's key where a server of OpenAI's protocol looks for it: Azure's in a header of its
    own, but for tokens of its directory, which are bearer tokens there too."""
    names = [k for k, _ in headers]
    if azure:
        given = dict(headers).get("authorization", "")
        if "api-key" in names or not given.startswith("Bearer ") or given.startswith("Bearer eyJ"):
            return headers
        kept = [(k, v) for k, v in headers if k != "authorization"]
        return [*kept, ("api-key", given.removeprefix("Bearer ").strip())]
    if "api-key" not in names or "authorization" in names:
        return headers
    key = dict(headers)["api-key"]
    return [*((k, v) for k, v in headers if k != "api-key"), ("authorization", f"Bearer {key}")]


def with_client_key(headers: Headers, dialect: str) -> Headers:
    """The headers with the client's key moved to where servers of a protocol (chat, messages, responses) look for
    it."""
    given = dict(headers)
    if dialect == "messages" and "x-api-key" not in given:
        key = given.get("authorization", "").removeprefix("Bearer ").strip()
        return [*((k, v) for k, v in headers if k != "authorization"), *([("x-api-key", key)] if key else [])]
    if dialect != "messages" and "authorization" not in given and "x-api-key" in given:
        kept = [(k, v) for k, v in headers if k != "x-api-key"]
        return [*kept, ("authorization", f"Bearer {given['x-api-key']}")]
    return headers


def with_version(headers: Headers) -> Headers:
    """The headers with a version of Anthropic's protocol; the client's where it sent one."""
    if any(k == "anthropic-version" for k, _ in headers):
        return headers
    return [*headers, ("anthropic-version", ANTHROPIC_VERSION)]


def for_dialect(headers: Headers, dialect: str) -> Headers:
    """A client's headers for a server of another protocol (chat, messages, responses): its key, no special headers."""
    kept = [(k, v) for k, v in headers if not k.startswith("anthropic-")]
    moved = with_client_key(kept, dialect)
    return with_version(moved) if dialect == "messages" else moved
