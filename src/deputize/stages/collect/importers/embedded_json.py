"""JSON inside texts, as tables, queues and attributes of spans hold it, and back."""

from __future__ import annotations

import ast
from typing import Any

import msgspec

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

_MAX_PRINTED = 4 * 2**20
_OPENING = frozenset("{[ \n\r\t")
_CLOSING = frozenset("}] \n\r\t")


def structured(value: Any) -> Any:
    """A text that is JSON of an object or a list as that object or list; every other value as it is."""
    if isinstance(value, str) and value[:1] in _OPENING and value[-1:] in _CLOSING:
        text = value.strip()
        if text[:1] not in ("{", "[") or text[-1:] not in ("}", "]"):
            return value
        try:
            return _decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return _printed(text, value)
    return value


def _printed(text: str, value: str) -> Any:
    """Objects as Python prints them, which is what pandas writes into the cells of a table; any other text as it is."""
    if not text.startswith(("{'", "[{'", "[]")) or len(text) > _MAX_PRINTED:
        return value
    try:
        found = ast.literal_eval(text)
        return _decode(_encode(found)) if isinstance(found, dict | list) else value
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, UnicodeEncodeError):
        return value


def as_text(value: Any) -> str:
    """A value as text: itself, or its JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return _encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return ""


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects in a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
