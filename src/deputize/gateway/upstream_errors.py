"""Error bodies of upstreams, read whichever protocol they are in."""

from __future__ import annotations

from typing import Any

import msgspec


def lacks_endpoint(status: int, body: bytes) -> bool:
    """True where an answer says that the server does not know the path (rather than a model or an id in the request)."""
    if status not in (404, 405, 501):
        return False
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return True
    error = value.get("error") if isinstance(value, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    param = error.get("param") if isinstance(error, dict) else None
    return not (isinstance(code, str) and code.endswith("_not_found")) and param is None


def error_message(body: bytes) -> str:
    """The sentence in an upstream's error body."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "The upstream sent an answer that cannot be read."
    error = value.get("error") if isinstance(value, dict) else None
    if isinstance(error, dict) and isinstance(error.get("message"), str):
        return str(error["message"])
    return error if isinstance(error, str) else "The upstream refused the request."
