"""Structural signature of a request: a hash of its tools, reply format, tool choice and pattern of roles.

Computed from the request alone by the same code at discovery, in training and on the live path.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from deputize.core.records import Request

TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
_MAX_CACHED_BYTES = 256 * 1024
"""Larger tool lists are hashed again at every request."""

_sorted_json = msgspec.json.Encoder(order="sorted")
_plain_json = msgspec.json.Encoder()


def signature(request: Request) -> str:
    """The structural signature of a request, 24 hexadecimal digits.

    Two requests with one signature may still belong to two tasks; two with different signatures never share a
    template key. The order of tools and of JSON keys does not matter; any change of a schema or a description does.
    """
    reply_format = request.response_format
    has_format = bool(reply_format and reply_format.get("type") != "text")
    tools = _plain_json.encode(request.tools) if request.tools else b""
    rest = b""
    if request.tools:
        rest = b'"auto"' if request.tool_choice is None else _sorted_json.encode(request.tool_choice)
    if has_format:
        rest += b"|format" + _sorted_json.encode(reply_format)
    is_long = len(tools) + len(rest) > _MAX_CACHED_BYTES
    return (_digest if is_long else _cached_digest)(tools, rest, _role_pattern(request))


def has_media(request: Request) -> bool:
    """Check whether some part of some message is not text (an image, audio, a file)."""
    return _role_pattern(request).endswith("media")


def _digest(tools: bytes, rest: bytes, role_pattern: str) -> str:
    digest = blake2b(digest_size=12)
    if tools:
        for tool in sorted(map(_sorted_json.encode, msgspec.json.decode(tools))):
            digest.update(tool)
    digest.update(rest)
    digest.update(role_pattern.encode())
    return digest.hexdigest()


_cached_digest = lru_cache(maxsize=128)(_digest)
"""Sorting the keys of tools takes ten times as long as writing them, and an agent sends the same tools with every call."""


def _role_pattern(request: Request) -> str:
    """System prompt or none; with tools, one turn, or several; answer begun or not; parts that are not text or none."""
    roles = [message.get("role") for message in request.messages]
    has_system = "system" in roles or "developer" in roles
    several = "assistant" in roles or "tool" in roles or "function" in roles
    turns = "agent" if request.tools else ("turns" if several else "single")
    prefilled = "prefilled" if roles and roles[-1] == "assistant" else ""
    media = "media" if any(map(_has_other_part, [m.get("content") for m in request.messages])) else ""
    return f"|{has_system:d}|{turns}|{prefilled}|{media}"


def _has_other_part(content: Any) -> bool:
    """True where a message's content has a part that is not text."""
    return isinstance(content, list) and any(
        isinstance(p, dict) and p.get("type", "text" if "text" in p else "") not in TEXT_PARTS
        for p in content
    )
