"""Structural signature of a request: a hash of its tools, reply format, tool choice and pattern of roles.

Computed from the request alone by the same code at discovery, in training and on the live path.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import msgspec

from deputize.core.records import Request

TEXT_PARTS: Final = frozenset({"text", "input_text", "output_text"})
OPEN: Final = "any"
"""Start of the signatures that say nothing of tools and reply schema."""
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
    if not request.tools and not has_format:
        return _signature_of_roles(_role_pattern(request))
    if request.tools:
        digest = _tools_digest(request.tools)
        digest.update(_sorted_json.encode("auto" if request.tool_choice is None else request.tool_choice))
    else:
        digest = _new_digest()
    if has_format:
        digest.update(b"|format")
        digest.update(_sorted_json.encode(reply_format))
    digest.update(_role_pattern(request).encode())
    return digest.hexdigest()


def open_signature(request: Request) -> str:
    """The signature of a request without what its tools or its reply schema say; "" where it has neither.

    It begins with "any", so that it is never one of `signature`. Requests whose lists differ from call to call share
    it.
    """
    reply_format = request.response_format
    kind = str((reply_format or {}).get("type") or "text")
    if not request.tools and kind != "json_schema":
        return ""
    digest = _new_digest()
    digest.update(_sorted_json.encode(["tools" if request.tools else "schema", kind]))
    digest.update(_sorted_json.encode("auto" if request.tool_choice is None else request.tool_choice))
    digest.update(_role_pattern(request).encode())
    return f"{OPEN}{digest.hexdigest()}"


def has_media(request: Request) -> bool:
    """Check whether some part of some message is not text (an image, audio, a file)."""
    return _role_pattern(request).endswith("media")


def _new_digest() -> blake2b:
    return blake2b(digest_size=12)


@lru_cache(maxsize=64)
def _signature_of_roles(pattern: str) -> str:
    """The signature of requests without tools and reply format: there are a handful."""
    digest = _new_digest()
    digest.update(pattern.encode())
    return digest.hexdigest()


def _tools_digest(tools: Iterable[dict[str, Any]]) -> blake2b:
    """The hash state once the tools are in it.

    Cached by the tools' bytes: sorting their keys takes ten times as long as writing them, and an agent sends the
    same tools with every call.
    """
    written = _plain_json.encode(tools)
    return (_sorted_digest if len(written) > _MAX_CACHED_BYTES else _cached_sorted_digest)(written).copy()


def _sorted_digest(written: bytes) -> blake2b:
    digest = _new_digest()
    for tool in sorted(map(_sorted_json.encode, msgspec.json.decode(written))):
        digest.update(tool)
    return digest


_cached_sorted_digest = lru_cache(maxsize=128)(_sorted_digest)


def _role_pattern(request: Request) -> str:
    """System prompt or none; with tools, one turn, or several; answer begun or not; parts that are not text or none."""
    has_system = several = media = False
    last = ""
    for message in request.messages:
        last = str(message.get("role"))
        if last in ("system", "developer"):
            has_system = True
        elif last in ("assistant", "tool", "function"):
            several = True
        content = message.get("content")
        if isinstance(content, list):
            media = media or any(
                isinstance(p, dict) and p.get("type", "text" if "text" in p else "") not in TEXT_PARTS
                for p in content
            )
    turns = "agent" if request.tools else ("turns" if several else "single")
    return f"|{has_system:d}|{turns}|{'prefilled' if last == 'assistant' else ''}|{'media' if media else ''}"
