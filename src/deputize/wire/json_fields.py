"""Typed reading of decoded JSON that nobody has checked: a value of the wanted type, or None."""

from __future__ import annotations

import json
from typing import Any

import msgspec

_decode = msgspec.json.Decoder().decode


def integer(value: Any) -> int | None:
    """`value` where it is a whole number; true and false are none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


MOST_TOKENS = 1_000_000_000
"""No call takes more tokens."""


def token_count(value: Any) -> int | None:
    """`value` where it can be a number of tokens; what a server sends besides (less than none, 400 digits) is none."""
    found = integer(value)
    return found if found is not None and 0 <= found <= MOST_TOKENS else None


def mapping(value: Any) -> dict[str, Any] | None:
    """`value` where it is a JSON object."""
    return value if isinstance(value, dict) else None


def text_field(fields: dict[str, Any], name: str) -> str:
    """The field `name` as text; "" where it is missing or null."""
    return str(fields.get(name) or "")


def decode_answer(text: str | bytes) -> Any:
    """A JSON value that a server sent, None where it is none; NaN, Infinity and halves of characters become null or
    signs.

    Several servers write probabilities of minus infinity, and some cut text between the halves of a character.
    """
    try:
        return _decode(text)
    except RecursionError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig", "replace")
        value = json.loads(text, parse_constant=lambda name: None)
        return (
            json.loads(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
            if "\\ud" in text.lower()
            else value
        )
    except (ValueError, RecursionError):
        return None
