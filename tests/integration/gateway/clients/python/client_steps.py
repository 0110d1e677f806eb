"""The questions that every client asks, and how their answers are written down: one JSON object on the last line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

BASE = sys.argv[1] if len(sys.argv) > 1 else ""
"""Of the gateway, without /v1."""
PROTOCOL = sys.argv[2] if len(sys.argv) > 2 else ""
QUEUE = "Which queue?"
WEATHER = "Weather in Köln?"
FORECAST = "Forecast for Köln, as JSON."
REFUSED = "Refuse this."
CUT = "Break off."
CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
PLACE: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "degrees": {"type": "number"}},
    "required": ["city", "degrees"],
    "additionalProperties": False,
}


def user(content: str) -> list[Any]:
    """A conversation of one message."""
    return [{"role": "user", "content": content}]


def run(**steps: Callable[[], Any]) -> None:
    """Takes each step and prints what came of it, an error that it raised included."""
    said: dict[str, Any] = {}
    for name, step in steps.items():
        try:
            said[name] = step()
        except Exception as error:  # noqa: BLE001 - of whichever library
            status = getattr(error, "status_code", None)
            said[name] = {"thrown": type(error).__name__, "status": status, "message": str(error)}
    print(json.dumps(said))  # noqa: T201
