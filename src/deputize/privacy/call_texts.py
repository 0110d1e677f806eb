"""The texts in a call: the strings that may contain personal data, and messages rewritten with other strings.

Roles, tool names, ids of tool calls and JSON keys are structure, not text; they are not changed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from deputize.core.records import Call, Message

Change = Callable[[str], str]

_STRUCTURE = frozenset({"role", "tool_call_id", "id", "type", "index", "name", "finish_reason", "tool_error"})
OMITTED = "omitted:"
"""Replaces attached files and pictures: specialists read text only, and no detector has read their content."""


def message_strings(message: Message) -> Iterator[str]:
    """Every non-empty string of a message that is text; tool arguments as JSON text."""
    for key, value in message.items():
        if key == "tool_calls":
            for call in value or ():
                arguments = _arguments(call)
                if isinstance(arguments, str):
                    yield arguments
                elif arguments is not None:
                    yield json.dumps(arguments, ensure_ascii=False)
        elif key not in _STRUCTURE:
            yield from _strings(value)


def call_strings(call: Call) -> Iterator[tuple[str, str]]:
    """(role, text) of every string of a call; the reply's role is "response"."""
    for message in call.messages:
        role = str(message.get("role", ""))
        for text in message_strings(message):
            yield role, text
    for text in message_strings(call.response):
        yield "response", text


def rewrite_message(message: Message, change: Change) -> Message:
    """The message with `change` applied to all its text; names of participants are removed."""
    out: Message = {}
    for key, value in message.items():
        if key == "tool_calls":
            out[key] = (
                [_rewrite_call(call, change) for call in value or ()] if isinstance(value, list) else value
            )
        elif key == "name" and message.get("role") in ("user", "system", "developer"):
            continue
        elif key in _STRUCTURE:
            out[key] = value
        else:
            out[key] = rewrite_value(value, change)
    return out


def rewrite_text(text: str, change: Change) -> str:
    """A text after `change`. JSON with escapes and percent-encoded parts of URLs and forms are changed after decoding."""
    parsed = parse_escaped_json(text)
    if parsed is None:
        text = change(text)
        return _ENCODED.sub(lambda m: _rewrite_encoded(m.group(), change), text) if "%" in text else text
    new = rewrite_value(parsed, change)
    if new == parsed:
        return text
    compact = '": ' not in text and ", " not in text
    ascii_only = text.isascii()
    return json.dumps(new, ensure_ascii=ascii_only, separators=(",", ":") if compact else None)


_PIECE = r"[^\s\"'<>&=?/#;,:%]*"
_ENCODED = re.compile(rf"{_PIECE}(?:%[0-9A-Fa-f]{{2}}{_PIECE})+")


def _rewrite_encoded(piece: str, change: Change) -> str:
    read, write = (unquote_plus, quote_plus) if "+" in piece else (unquote, quote)
    plain = read(piece)
    new = change(plain)
    return piece if new == plain else write(new, safe="".join(c for c in "@!$'()*[]" if c in piece))


def parse_escaped_json(text: str) -> Any:
    """The JSON object or array that a text is when it holds backslashes, else None."""
    return parse_json(text) if "\\" in text else None


def parse_json(text: str) -> Any:
    """The JSON object or array that a text is, else None."""
    if text[:1] not in ("{", "[") and text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def leaves(value: Any) -> Iterator[str]:
    """The strings of a JSON value that are not keys."""
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner)


def rewrite_value(value: Any, change: Change) -> Any:
    """A JSON value with `change` applied to every string that is not a key."""
    if isinstance(value, str):
        return rewrite_text(value, change) if value else value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _rewrite_number(value, change)
    if isinstance(value, list):
        return [rewrite_value(v, change) for v in value]
    if isinstance(value, dict):
        return {
            k: v if k == "type" else _attachment(k, v) or rewrite_value(v, change) for k, v in value.items()
        }
    return value


def _rewrite_number(value: float, change: Change) -> float:
    """A number after `change`, where the result is a number; small numbers identify nobody and are not changed."""
    if abs(value) < 100 and value == int(value):
        return value
    written = json.dumps(value)
    new = change(written)
    if new == written:
        return value
    try:
        made = json.loads(new)
    except ValueError:
        return value
    return made if isinstance(made, int | float) else value


def _attachment(key: str, value: Any) -> Any:
    if (
        key in ("url", "data", "file_data")
        and isinstance(value, str)
        and (value.startswith("data:") or len(value) > 4096)
    ):
        return OMITTED
    return None


def _arguments(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    return function.get("arguments") if isinstance(function, dict) else None


def _rewrite_call(call: Any, change: Change) -> Any:
    arguments = _arguments(call)
    if arguments is None:
        return call
    new = rewrite_value(arguments, change)
    return {**call, "function": {**call["function"], "arguments": new}}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if key != "type" and _attachment(key, item) is None:
                yield from _strings(item)


def valid_unicode(text: str) -> str:
    """The text with "?" for each half of a surrogate pair, character for character: tokenizers and files refuse such halves."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
