"""The texts in a call: the strings that may contain personal data, and messages rewritten with other strings.

Names of tools, keys of JSON and schemas are texts too: an application may put anything there. Ids of tool calls are
numbered again. Roles and types of parts are structure, and stay.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from deputize.core.records import Call, Message

Change = Callable[[str], str]

_STRUCTURE = frozenset({"role", "tool_call_id", "id", "type", "index", "finish_reason", "tool_error"})
_IDENTIFIER = re.compile(r"[A-Za-z0-9_./-]*")
_PART_KEYS = frozenset(
    [
        "type",
        "text",
        "image_url",
        "url",
        "detail",
        "input_audio",
        "data",
        "format",
        "file",
        "file_id",
        "file_data",
        "filename",
        "refusal",
    ]
)
_PART_TYPE = re.compile(r"[a-z_]{1,40}")
OMITTED = "omitted:"
"""Replaces attached files and pictures: specialists read text only, and no detector has read their content."""


def message_strings(message: Message) -> Iterator[str]:
    """Every non-empty string of a message that is text; tool arguments as JSON text."""
    for key, value in message.items():
        if key == "tool_calls":
            for call in value or ():
                if (name := _function(call).get("name")) and isinstance(name, str):
                    yield name
                arguments = _function(call).get("arguments")
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


def schema_strings(value: Any) -> Iterator[str]:
    """Every string of a tool or of a response format, names and keys included."""
    return _json_strings(value, lambda key: True)


def _json_strings(value: Any, takes_key: Callable[[str], bool]) -> Iterator[str]:
    """The strings of a JSON value that are not empty, and those of its keys that are taken."""
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            if takes_key(key):
                yield key
            yield from _json_strings(inner, takes_key)
    elif isinstance(value, list):
        for inner in value:
            yield from _json_strings(inner, takes_key)


def rewrite_schema(value: Any, change: Change) -> Any:
    """A tool, a response format or a choice of tools with `change` applied to its strings, names and keys included."""
    if isinstance(value, dict):
        return {_rewrite_key(key, change): rewrite_schema(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [rewrite_schema(inner, change) for inner in value]
    return rewrite_value(value, change)


def rewrite_messages(messages: Iterable[Message], change: Change) -> list[Message]:
    """The messages of one call with `change` applied to all their text; names of participants are removed, and ids of
    tool calls numbered again."""
    ids: dict[str, str] = {}
    return [rewrite_message(message, change, ids) for message in messages]


def rewrite_message(message: Message, change: Change, ids: dict[str, str] | None = None) -> Message:
    """The message with `change` applied to all its text.

    Args:
        message: of a call.
        change: makes the new text.
        ids: id of a tool call -> its new id; takes those that are new in this message.
    """
    ids = {} if ids is None else ids
    out: Message = {}
    for key, value in message.items():
        if key == "tool_calls":
            out[key] = (
                [_rewrite_call(call, change, ids) for call in value or ()]
                if isinstance(value, list)
                else value
            )
        elif key == "name" and message.get("role") not in ("tool", "function"):
            continue
        elif key in ("tool_call_id", "id") and isinstance(value, str):
            out[key] = _new_id(value, ids)
        elif key in _STRUCTURE:
            out[key] = value
        else:
            out[key] = rewrite_value(value, change)
    return out


def rewrite_text(text: str, change: Change) -> str:
    """A text after `change`. JSON with escapes and percent-encoded parts of URLs and forms are changed after
    decoding."""
    parsed = parse_escaped_json(text)
    if parsed is None:
        text = change(text)
        return ENCODED_PIECE.sub(lambda m: _rewrite_encoded(m.group(), change), text) if "%" in text else text
    new = rewrite_value(parsed, change)
    if new == parsed:
        return text
    compact = '": ' not in text and ", " not in text
    ascii_only = text.isascii()
    return json.dumps(new, ensure_ascii=ascii_only, separators=(",", ":") if compact else None)


_PIECE = r"[^\s\"'<>&=?/#;,:%]*"
ENCODED_PIECE = re.compile(rf"{_PIECE}(?:%[0-9A-Fa-f]{{2}}{_PIECE})+")


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
    """The strings of a JSON value, and those of its keys that are more than an identifier."""
    return _json_strings(value, lambda key: not _IDENTIFIER.fullmatch(key))


def rewrite_value(value: Any, change: Change) -> Any:
    """A JSON value with `change` applied to every string."""
    if isinstance(value, str):
        return rewrite_text(value, change) if value else value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return _rewrite_number(value, change)
    if isinstance(value, list):
        return [rewrite_value(v, change) for v in value]
    if isinstance(value, dict):
        return {
            _rewrite_key(k, change): v
            if _is_part_type(k, v)
            else _attachment(k, v) or rewrite_value(v, change)
            for k, v in value.items()
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


def _rewrite_key(key: str, change: Change) -> str:
    """A key after `change`; keys of parts of a message, and identifiers that would be masked as unknown words, stay."""
    if key in _PART_KEYS:
        return key
    new = change(key)
    return key if "[" in new and _IDENTIFIER.fullmatch(key) else new


def _is_part_type(key: str, value: Any) -> bool:
    return key == "type" and isinstance(value, str) and bool(_PART_TYPE.fullmatch(value))


def _function(call: Any) -> dict[str, Any]:
    function = call.get("function") if isinstance(call, dict) else None
    return function if isinstance(function, dict) else {}


def _rewrite_call(call: Any, change: Change, ids: dict[str, str]) -> Any:
    if not isinstance(call, dict):
        return call
    out = dict(call)
    if isinstance(out.get("id"), str):
        out["id"] = _new_id(out["id"], ids)
    if isinstance(out.get("function"), dict):
        out["function"] = {k: rewrite_value(v, change) for k, v in out["function"].items()}
    return out


def _new_id(old: str, ids: dict[str, str]) -> str:
    """The new id of a tool call; an empty one stays."""
    return ids.setdefault(old, f"call_{len(ids)}") if old else old


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        if value:
            yield value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            if not _is_part_type(key, item) and _attachment(key, item) is None:
                if not _IDENTIFIER.fullmatch(key):
                    yield key
                yield from _strings(item)


def valid_unicode(text: str) -> str:
    """The text with "?" for each half of a surrogate pair, character for character: tokenizers and files refuse such
    halves."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")
