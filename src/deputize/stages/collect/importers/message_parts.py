"""Parts of chat messages in all forms: text, calls of tools, their results, reasoning."""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.records import Message
from deputize.stages.collect.importers.base import Unreadable
from deputize.stages.collect.importers.embedded_json import as_text, structured
from deputize.wire.json_fields import mapping

_encode = msgspec.json.Encoder().encode

_CALL_PARTS = frozenset({"tool_call", "tool-call", "tool_use", "function_call", "tool_call_chunk"})
_RESULT_PARTS = frozenset(
    {
        "tool_result",
        "tool-result",
        "tool_call_response",
        "function_call_output",
        "function_response",
        "tool_call_output",
    }
)
_THOUGHT_PARTS = frozenset({"reasoning", "thinking", "reasoning_content"})


def part_kind(part: dict[str, Any]) -> str | None:
    """The kind of a part, where it says so."""
    kind = part.get("type") or part.get("block_type") or part.get("kind")
    return kind if isinstance(kind, str) else None


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("type") or part.get("block_type"), str)


def read_tool_call(raw: dict[str, Any], place: int) -> dict[str, Any]:
    """One tool call in OpenAI's form."""
    raw = mapping(raw.get("tool_call")) or raw
    function = structured(raw.get("function"))
    if isinstance(function, dict):
        name, arguments = function.get("name"), function.get("arguments")
    else:
        name = (
            function
            if isinstance(function, str)
            else raw.get("name") or raw.get("toolName") or raw.get("tool_name")
        )
        arguments = next(
            (
                raw[k]
                for k in ("arguments", "args", "input", "parameters", "raw_arguments")
                if raw.get(k) is not None
            ),
            {},
        )
    if not isinstance(name, str) or not name:
        raise Unreadable("a tool call without the name of its tool")
    id_ = next(
        (
            raw[k]
            for k in ("id", "tool_call_id", "toolCallId", "tool_id", "call_id")
            if isinstance(raw.get(k), str)
        ),
        "",
    )
    text = (
        arguments
        if isinstance(arguments, str)
        else _encode(arguments if arguments is not None else {}).decode()
    )
    return {"id": id_ or f"call_{place}", "type": "function", "function": {"name": name, "arguments": text}}


def answered_call(message: dict[str, Any]) -> dict[str, Any]:
    """Which call a tool's message answers."""
    out = {}
    for name in ("tool_call_id", "toolCallId", "tool_id", "call_id", "tool_use_id", "id"):
        if isinstance(message.get(name), str) and message[name]:
            out["tool_call_id"] = message[name]
            break
    tool = message.get("name") or message.get("toolName") or message.get("function")
    if isinstance(tool, str) and tool:
        out["name"] = tool
    return out


def _part(
    raw: Any, calls: list[dict[str, Any]], results: list[Message], thoughts: list[str], n_given: int
) -> dict[str, Any] | None:
    """One part in OpenAI's form; None where it went to one of the lists."""
    if isinstance(raw, str):
        return {"type": "text", "text": raw}
    if not isinstance(raw, dict):
        raise Unreadable("a part of a message that is neither text nor an object")
    part = mapping(raw.get("message_content")) or raw
    kind = part_kind(part)
    if kind in _CALL_PARTS:
        if not n_given:  # frameworks that keep both say the same twice
            calls.append(read_tool_call(part, len(calls)))
        return None
    if kind in _RESULT_PARTS:
        results.append(_result(part))
        return None
    if kind in _THOUGHT_PARTS:
        thoughts.append(part_text(part) or as_text(part.get("reasoning") or part.get("thinking")))
        return None
    if kind in ("text", "input_text", "output_text", None) or "text" in part:
        text = part_text(part)
        if not text and not any(k in part for k in ("text", "content", "value")):
            raise Unreadable("a part of a message without its text")
        return {"type": "text", "text": text}
    if kind == "image" and isinstance(mapping(part.get("image")), dict) and "url" in part["image"]:
        return {"type": "image_url", "image_url": {"url": part["image"]["url"]}}
    return part  # kept as it is: nothing is lost silently


def part_text(part: dict[str, Any]) -> str:
    for name in ("text", "content", "value"):
        value = part.get(name)
        if isinstance(value, dict):
            value = value.get("value")
        if isinstance(value, str):
            return value
    return ""


def _result(part: dict[str, Any]) -> Message:
    """The result of a tool as a tool message."""
    value = next(
        (part[k] for k in ("response", "result", "output", "content", "text") if part.get(k) is not None), ""
    )
    if isinstance(value, dict) and value.keys() <= {"type", "value", "providerOptions"} and "value" in value:
        value = value["value"]  # Vercel's tagged results
    if isinstance(value, list) and value and all(_is_part(p) and "text" in p for p in value):
        value = "\n".join(str(p["text"]) for p in value)
    return {"role": "tool", "content": as_text(value), **answered_call(part)}


def _no_content() -> Any:
    raise Unreadable("a message whose content is neither text nor a list of parts")


def read_content(
    message: dict[str, Any],
    role: str,
    calls: list[dict[str, Any]],
    results: list[Message],
    thoughts: list[str],
) -> Any:
    """The content of a message; tool calls, results and thoughts among its parts go to the lists."""
    raw = next(
        (message[k] for k in ("content", "parts", "blocks", "text") if message.get(k) is not None), None
    )
    if (
        role not in ("tool", "function")
        and isinstance(raw, str)
        and raw[:2] in ("[{", '["')
        and not message.get("from")
    ):
        inner = structured(raw)
        raw = inner if isinstance(inner, list) and all(_is_part(p) for p in inner) else raw
    if raw is None or isinstance(raw, str):
        return raw
    if isinstance(raw, dict):
        raw = [raw] if _is_part(raw) or "text" in raw else _no_content()
    if not isinstance(raw, list):
        _no_content()
    n_given = len(calls)
    parts = [part for p in raw if (part := _part(p, calls, results, thoughts, n_given)) is not None]
    if all(part.get("type") == "text" for part in parts):
        texts = [part["text"] for part in parts]
        return ("" if role == "assistant" else "\n").join(texts)
    return parts
