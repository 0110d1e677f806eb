"""Requests of OpenAI's responses, read as chat requests and written from them.

References:
    OpenAI API reference, "Responses".
"""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Message
from deputize.wire.chat_request import plain_or_parts
from deputize.wire.documents import item_of_part, part_of_item
from deputize.wire.events import ToolStart, call_parts, tool_call
from deputize.wire.json_fields import mapping, text_field

_encode = msgspec.json.Encoder().encode

_RECORDED_APART = frozenset({"input", "instructions", "tools", "tool_choice", "model"})
"""Fields that have a place of their own in a recorded call."""
_HOLD_INPUT = ("prompt", "conversation", "previous_response_id")
"""Fields that name what the server keeps, in place of an input."""
_SAME_NAME = (
    "temperature",
    "top_p",
    "stream",
    "parallel_tool_calls",
    "user",
    "metadata",
    "seed",
    "service_tier",
)
"""Fields that chat requests have under the same name, with the same meaning."""


def params(fields: dict[str, Any]) -> dict[str, Any]:
    """Sampling settings and every other request field, as sent."""
    return {k: v for k, v in fields.items() if k not in _RECORDED_APART}


# --- to chat ---------------------------------------------------------------------------------------------------------


def to_chat(fields: dict[str, Any]) -> dict[str, Any]:
    """A responses request as a chat request; the conversation before `previous_response_id` is not in it.

    There may be no input where a prompt, a conversation or an earlier response that the server keeps holds what is
    asked.

    Raises:
        BadInput: `input` is missing, or neither text nor a list of items.
    """
    messages = items_to_chat(fields.get("input") or [])
    instructions = fields.get("instructions")
    if isinstance(instructions, str) and instructions:
        messages.insert(0, {"role": "system", "content": instructions})
    if not messages and not any(fields.get(name) for name in _HOLD_INPUT):
        raise BadInput("The request needs 'input': a text, or a list of items.")
    chat: dict[str, Any] = {"model": fields.get("model"), "messages": messages}
    if isinstance(fields.get("tools"), list) and fields["tools"]:
        chat["tools"] = [_tool_to_chat(t) for t in fields["tools"]]
    choice = fields.get("tool_choice")
    if choice is not None:
        kind = choice.get("type") if isinstance(choice, dict) and "name" in choice else ""
        chat["tool_choice"] = (
            {"type": kind, kind: {"name": choice["name"]}} if kind in ("function", "custom") else choice
        )
    answer_format = _format_to_chat(fields.get("text"))
    if answer_format is not None:
        chat["response_format"] = answer_format
    if fields.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = fields["max_output_tokens"]
    reasoning = fields.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("effort"):
        chat["reasoning_effort"] = reasoning["effort"]
    if fields.get("top_logprobs"):
        chat.update(logprobs=True, top_logprobs=fields["top_logprobs"])
    for name in _SAME_NAME:
        if fields.get(name) is not None:
            chat[name] = fields[name]
    return chat


def items_to_chat(items: Any) -> list[Message]:
    """Input (or output) items as chat messages; tool calls in a row make one assistant message.

    Raises:
        BadInput: neither text nor a list of objects.
    """
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    if not isinstance(items, list) or not all(isinstance(i, dict) for i in items):
        raise BadInput("The request needs 'input': a text, or a list of items.")
    out: list[Message] = []
    thinking = ""
    for item in items:
        kind = item.get("type") or "message"
        if kind == "reasoning":
            thinking = _reasoning_text(item)
            continue
        if kind in ("function_call_output", "custom_tool_call_output"):
            out.append(_tool_message(item))
            continue
        if kind == "message":
            role = str(item.get("role") or "user")
            content = _content_to_chat(item.get("content"))
            out.append({"role": "system" if role == "developer" else role, "content": content})
        elif kind in ("function_call", "custom_tool_call"):
            _add_tool_call(out, item)
        else:
            out.append({"role": "assistant", "content": [item]})  # kept as it is: nothing is lost silently
        if thinking and out[-1]["role"] == "assistant":
            out[-1]["reasoning_content"] = thinking
        thinking = ""
    return out


def _reasoning_text(item: dict[str, Any]) -> str:
    content = item.get("content") or item.get("summary") or []
    return "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))


def _tool_message(item: dict[str, Any]) -> Message:
    output = item.get("output")
    content = _content_to_chat(output) if isinstance(output, str | list) else _encode(output).decode()
    return {"role": "tool", "tool_call_id": text_field(item, "call_id"), "content": content}


def _add_tool_call(messages: list[Message], item: dict[str, Any]) -> None:
    """Adds a tool call to the assistant message that is last, or in a message of its own."""
    custom = item.get("type") == "custom_tool_call"
    start = ToolStart(0, text_field(item, "call_id"), text_field(item, "name"), custom)
    call = tool_call(start, text_field(item, "input" if custom else "arguments"))
    if messages and messages[-1]["role"] == "assistant":
        messages[-1].setdefault("tool_calls", []).append(call)
        messages[-1]["content"] = messages[-1].get("content") or None
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def _content_to_chat(content: Any) -> Any:
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    return plain_or_parts([_part_to_chat(p) for p in content if isinstance(p, dict)])


def _part_to_chat(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": text_field(part, "text")}
    if kind == "refusal":
        return {"type": "text", "text": text_field(part, "refusal")}
    if kind == "input_image" and part.get("image_url"):
        image = {"url": part["image_url"]}
        if part.get("detail"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    return part_of_item(part) if kind == "input_file" else part


def _tool_to_chat(tool: Any) -> Any:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind not in ("function", "custom"):
        return tool  # a tool that runs at the provider: kept as it is
    return {"type": kind, kind: {k: v for k, v in tool.items() if k != "type" and v is not None}}


def _format_to_chat(text: Any) -> dict[str, Any] | None:
    answer_format = mapping(text.get("format")) if isinstance(text, dict) else None
    kind = answer_format.get("type") if answer_format is not None else None
    if answer_format is not None and kind == "json_schema":
        schema = {k: v for k, v in answer_format.items() if k != "type" and v is not None}
        return {"type": "json_schema", "json_schema": schema}
    return {"type": "json_object"} if kind == "json_object" else None


# --- from chat -------------------------------------------------------------------------------------------------------


def from_chat(chat: dict[str, Any]) -> dict[str, Any]:
    """A chat request as a responses request."""
    out: dict[str, Any] = {"model": chat.get("model"), "input": chat_to_items(chat.get("messages") or [])}
    tools = chat.get("tools")
    if tools:
        out["tools"] = [_tool_from_chat(t) for t in tools]
    choice = chat.get("tool_choice")
    if choice is not None:
        function = choice.get("function") if isinstance(choice, dict) else None
        out["tool_choice"] = {"type": "function", "name": function.get("name")} if function else choice
    answer_format = _format_from_chat(chat.get("response_format"))
    if answer_format is not None:
        out["text"] = {"format": answer_format}
    limit = chat.get("max_completion_tokens") or chat.get("max_tokens")
    if limit is not None:
        out["max_output_tokens"] = limit
    if chat.get("reasoning_effort"):
        out["reasoning"] = {"effort": chat["reasoning_effort"]}
    for name in _SAME_NAME:
        if chat.get(name) is not None:
            out[name] = chat[name]
    return out


def chat_to_items(messages: list[Message]) -> list[dict[str, Any]]:
    """Chat messages as input items."""
    items: list[dict[str, Any]] = []
    freeform: set[Any] = set()
    """Ids of calls of freeform tools."""
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role == "tool":
            output = content if isinstance(content, str) else _content_to_items("tool", content or "")
            call_id = message.get("tool_call_id")
            kind = "custom_tool_call_output" if call_id in freeform else "function_call_output"
            items.append({"type": kind, "call_id": call_id, "output": output})
            continue
        if content:
            items.append({"type": "message", "role": role, "content": _content_to_items(str(role), content)})
        for call in message.get("tool_calls") or []:
            start, given = call_parts(0, call)
            freeform |= {start.id} if start.custom else set()
            items.append(_call_item(start, given))
    return items


def _call_item(start: ToolStart, given: str) -> dict[str, Any]:
    kind, field = ("custom_tool_call", "input") if start.custom else ("function_call", "arguments")
    return {"type": kind, "call_id": start.id, "name": start.name, field: given}


def _content_to_items(role: str, content: Any) -> list[dict[str, Any]]:
    text_kind = "output_text" if role == "assistant" else "input_text"
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    out: list[dict[str, Any]] = []
    for part in parts:
        if part.get("type") == "text":
            out.append({"type": text_kind, "text": part.get("text", "")})
        elif part.get("type") == "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            detail = image.get("detail", "auto") if isinstance(image, dict) else "auto"
            out.append({"type": "input_image", "image_url": url, "detail": detail})
        else:
            out.append(item_of_part(part) if part.get("type") == "file" else part)
    return out


def _tool_from_chat(tool: Any) -> Any:
    if isinstance(tool, dict) and isinstance(tool.get("function"), dict):
        return {"type": "function", **tool["function"]}
    return tool


def _format_from_chat(answer_format: Any) -> dict[str, Any] | None:
    kind = answer_format.get("type") if isinstance(answer_format, dict) else None
    if kind == "json_schema":
        return {"type": "json_schema", **(answer_format.get("json_schema") or {})}
    return {"type": "json_object"} if kind == "json_object" else None
