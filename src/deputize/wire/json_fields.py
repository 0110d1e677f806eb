"""Typed reading of decoded JSON that nobody has checked: a value of the wanted type, or None."""

from __future__ import annotations

from typing import Any


def integer(value: Any) -> int | None:
    """`value` where it is a whole number; true and false are none."""
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(value: Any) -> dict[str, Any] | None:
    """`value` where it is a JSON object."""
    return value if isinstance(value, dict) else None


def text_field(fields: dict[str, Any], name: str) -> str:
    """The field `name` as text; "" where it is missing or null."""
    return str(fields.get(name) or "")
