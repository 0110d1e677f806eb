"""Freeform tools (OpenAI's custom tools, whose input is text) toward servers that have function tools only, and back.

Such a tool becomes a function with one string, `input`; its calls become calls of the freeform tool again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import structs

from deputize.core.records import Message
from deputize.wire.events import Completion, Event, Failed, Finished, ToolDelta, ToolStart

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_INPUT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}


def freeform_names(chat: dict[str, Any]) -> frozenset[str]:
    """Names of the freeform tools that a chat request offers."""
    tools = chat.get("tools")
    return frozenset(
        str(custom["name"])
        for tool in (tools if isinstance(tools, list) else ())
        if isinstance(tool, dict) and isinstance(custom := tool.get("custom"), dict) and "name" in custom
    )


def as_functions(chat: dict[str, Any]) -> dict[str, Any]:
    """A chat request with its freeform tools, and earlier calls of them, as functions."""
    out = {**chat, "messages": [_message(message) for message in chat.get("messages") or []]}
    if isinstance(chat.get("tools"), list):
        out["tools"] = [_tool(tool) for tool in chat["tools"]]
    choice = chat.get("tool_choice")
    if isinstance(choice, dict) and isinstance(custom := choice.get("custom"), dict):
        out["tool_choice"] = {"type": "function", "function": {"name": custom.get("name")}}
    return out


def _tool(tool: Any) -> Any:
    custom = tool.get("custom") if isinstance(tool, dict) else None
    if not isinstance(custom, dict):
        return tool
    said = [str(custom["description"])] if custom.get("description") else []
    form = custom.get("format")
    grammar = form.get("grammar") if isinstance(form, dict) else None
    if isinstance(grammar, dict) and grammar.get("definition"):
        said.append(f"`input` follows this {grammar.get('syntax') or ''} grammar:\n{grammar['definition']}")
    elif isinstance(form, dict) and form.get("definition"):
        said.append(f"`input` follows this {form.get('syntax') or ''} grammar:\n{form['definition']}")
    function = {"name": custom.get("name"), "description": "\n\n".join(said), "parameters": _INPUT}
    return {"type": "function", "function": {k: v for k, v in function.items() if v}}


def _message(message: Message) -> Message:
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not any(isinstance(c, dict) and "custom" in c for c in calls):
        return message
    return {**message, "tool_calls": [_call(c) for c in calls]}


def _call(call: Any) -> Any:
    custom = call.get("custom") if isinstance(call, dict) else None
    if not isinstance(custom, dict):
        return call
    arguments = _encode({"input": str(custom.get("input") or "")}).decode()
    return {
        "id": call.get("id"),
        "type": "function",
        "function": {"name": custom.get("name"), "arguments": arguments},
    }


class FreeformCalls:
    """Turns calls of the functions that stand for freeform tools back, event by event."""

    def __init__(self, names: frozenset[str]) -> None:
        self._names = names
        self._pieces: dict[int, list[str]] = {}
        """Arguments so far, by index of the calls that have not been passed on."""

    def read(self, event: Event) -> Iterator[Event]:
        """The events in place of one."""
        if isinstance(event, ToolStart) and event.name in self._names:
            self._pieces.setdefault(event.index, [])
            yield ToolStart(event.index, event.id, event.name, True)
        elif isinstance(event, ToolDelta) and event.index in self._pieces:
            pieces = self._pieces[event.index]
            pieces.append(event.arguments)
            text = input_of("".join(pieces))
            if text is not None:
                del self._pieces[event.index]
                yield ToolDelta(event.index, text)
        else:
            if isinstance(event, Finished | Failed):
                for index, pieces in self._pieces.items():
                    if pieces:  # not JSON, or cut off: the model's own words
                        yield ToolDelta(index, "".join(pieces))
                self._pieces = {}
            yield event


def restored(reply: Completion, names: frozenset[str]) -> Completion:
    """A whole reply with the calls of freeform tools in their own form."""
    calls = reply.message.get("tool_calls")
    if not names or not calls:
        return reply
    message = {**reply.message, "tool_calls": [_restored_call(call, names) for call in calls]}
    return structs.replace(reply, message=message)


def _restored_call(call: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    function = call.get("function") or {}
    name = function.get("name")
    if name not in names:
        return call
    arguments = str(function.get("arguments") or "")
    text = input_of(arguments)
    given = arguments if text is None else text
    return {"id": call.get("id"), "type": "custom", "custom": {"name": name, "input": given}}


def input_of(arguments: str) -> str | None:
    """The input in whole arguments of a function that stands for a freeform tool; None in anything else."""
    if not arguments.rstrip().endswith("}"):
        return None
    try:
        value = _decode(arguments)
    except (msgspec.DecodeError, RecursionError):
        return None
    text = value.get("input") if isinstance(value, dict) else None
    return text if isinstance(text, str) else None
