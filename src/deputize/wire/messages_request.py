"""Requests of Anthropic's messages, read as chat requests and written from them.

References:
    Anthropic API reference, "Messages".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Message
from deputize.wire.chat_request import plain_or_parts
from deputize.wire.documents import block_of_part, part_of_block
from deputize.wire.json_fields import mapping, text_field

_encode = msgspec.json.Encoder().encode

DEFAULT_MAX_TOKENS = 4096
"""Anthropic requires a limit; this one is sent where a client of another protocol named none."""
_RECORDED_APART = frozenset({"messages", "system", "tools", "tool_choice", "model"})
"""Fields that have a place of their own in a recorded call."""


def params(fields: dict[str, Any]) -> dict[str, Any]:
    """Sampling settings and every other request field, as sent; a setting inside the tool choice stands next to
    them."""
    out = {k: v for k, v in fields.items() if k not in _RECORDED_APART}
    choice = fields.get("tool_choice")
    if isinstance(choice, dict) and choice.get("disable_parallel_tool_use"):
        out["disable_parallel_tool_use"] = True
    return out


def estimate_tokens(fields: dict[str, Any]) -> int:
    """A rough count of a request's tokens (four bytes each), for servers that cannot count."""
    parts = {k: fields[k] for k in ("messages", "system", "tools") if k in fields}
    return max(1, len(_encode(parts)) // 4)


# --- to chat ---------------------------------------------------------------------------------------------------------


def to_chat(fields: dict[str, Any]) -> dict[str, Any]:
    """A messages request as a chat request.

    Raises:
        BadInput: there are no messages.
    """
    chat: dict[str, Any] = {"model": fields.get("model"), "messages": messages_to_chat(fields)}
    if isinstance(fields.get("tools"), list) and fields["tools"]:
        chat["tools"] = [_tool_to_chat(t) for t in fields["tools"]]
    choice = fields.get("tool_choice")
    if choice is not None:
        chat["tool_choice"] = _choice_to_chat(choice)
        if isinstance(choice, dict) and choice.get("disable_parallel_tool_use"):
            chat["parallel_tool_calls"] = False
    output = mapping(fields.get("output_config"))
    answer_format = output.get("format") if output is not None else fields.get("output_format")
    if isinstance(answer_format, dict) and answer_format.get("type") == "json_schema":
        schema = {"name": "answer", "schema": answer_format.get("schema"), "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    if output is not None and output.get("effort") in ("low", "medium", "high"):
        chat["reasoning_effort"] = output["effort"]
    for name in ("max_tokens", "temperature", "top_p", "stream"):
        if name in fields:
            chat[name] = fields[name]
    if fields.get("stop_sequences"):
        chat["stop"] = fields["stop_sequences"]
    user = fields.get("metadata")
    if isinstance(user, dict) and user.get("user_id"):
        chat["user"] = user["user_id"]
    return chat


def messages_to_chat(fields: dict[str, Any]) -> list[Message]:
    """System text and messages as chat messages.

    Raises:
        BadInput: `messages` is missing, empty or not a list of objects.
    """
    given = fields.get("messages")
    if not isinstance(given, list) or not given or not all(isinstance(m, dict) for m in given):
        raise BadInput("The request needs 'messages': a list with at least one message.")
    out: list[Message] = []
    system = _text(fields.get("system"))
    if system:
        out.append({"role": "system", "content": system})
    for message in given:
        if message.get("role") == "assistant":
            out.append(_assistant_message(message.get("content")))
        elif message.get("role") == "system":
            out.append({"role": "system", "content": _text(message.get("content"))})
        else:
            out.extend(_user_messages(message.get("content")))
    return out


def content_blocks(content: Any) -> list[dict[str, Any]]:
    """The content blocks of a message; a text is one block."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list):
        return [b for b in content if isinstance(b, dict)]
    return []


def _text(content: Any) -> str:
    return "\n".join(str(b.get("text", "")) for b in content_blocks(content) if b.get("type") == "text")


def _image_part(block: dict[str, Any]) -> dict[str, Any]:
    source = mapping(block.get("source")) or {}
    if source.get("type") == "base64":
        url = f"data:{source.get('media_type', 'image/png')};base64,{source.get('data', '')}"
    elif source.get("type") == "url":
        url = text_field(source, "url")
    else:
        return block  # a file that only the provider has
    return {"type": "image_url", "image_url": {"url": url}}


def _part_to_chat(block: dict[str, Any]) -> dict[str, Any]:
    if block.get("type") == "text":
        return {"type": "text", "text": str(block.get("text", ""))}
    if block.get("type") == "document":
        return part_of_block(block)
    # what is of another kind keeps its own form, so that nothing is lost silently
    return _image_part(block) if block.get("type") == "image" else block


def _user_messages(content: Any) -> Iterator[Message]:
    """Tool results as tool messages, before whatever else the user says in the same turn."""
    parts: list[dict[str, Any]] = []
    for block in content_blocks(content):
        if block.get("type") == "tool_result":
            yield _tool_message(block)
        else:
            parts.append(_part_to_chat(block))
    if parts:
        yield {"role": "user", "content": plain_or_parts(parts)}


def _tool_message(block: dict[str, Any]) -> Message:
    inner = plain_or_parts([_part_to_chat(b) for b in content_blocks(block.get("content"))])
    if block.get("is_error") and not (isinstance(inner, str) and inner.lower().startswith("error")):
        inner = f"Error: {inner}" if isinstance(inner, str) else [{"type": "text", "text": "Error:"}, *inner]
    return {"role": "tool", "tool_call_id": text_field(block, "tool_use_id"), "content": inner}


def _assistant_message(content: Any) -> Message:
    parts: list[dict[str, Any]] = []
    thinking: list[str] = []
    calls: list[dict[str, Any]] = []
    signature = ""
    for block in content_blocks(content):
        kind = block.get("type")
        if kind == "text":
            parts.append({"type": "text", "text": str(block.get("text", ""))})
        elif kind == "thinking":
            thinking.append(str(block.get("thinking", "")))
            signature = text_field(block, "signature")
        elif kind == "tool_use":
            arguments = _encode(block.get("input") or {}).decode()
            function = {"name": text_field(block, "name"), "arguments": arguments}
            calls.append({"id": text_field(block, "id"), "type": "function", "function": function})
        elif kind != "redacted_thinking":  # which nobody but its provider can read
            parts.append(block)
    said: Any = parts
    if all(part.get("type") == "text" for part in parts):
        said = "".join(part["text"] for part in parts)
    message: Message = {"role": "assistant", "content": said or (None if calls else "")}
    if calls:
        message["tool_calls"] = calls
    if thinking:
        message["reasoning_content"] = "".join(thinking)
    if signature:
        message["reasoning_signature"] = signature
    return message


def _tool_to_chat(tool: Any) -> Any:
    if not isinstance(tool, dict) or "input_schema" not in tool:
        return tool  # a tool that runs at the provider: kept as it is
    function = {
        "name": tool.get("name"),
        "description": tool.get("description"),
        "parameters": tool["input_schema"],
    }
    return {"type": "function", "function": {k: v for k, v in function.items() if v is not None}}


def _choice_to_chat(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return None
    kind = choice.get("type")
    if kind == "tool":
        return {"type": "function", "function": {"name": choice.get("name")}}
    return {"auto": "auto", "any": "required", "none": "none"}.get(str(kind))


# --- from chat -------------------------------------------------------------------------------------------------------


def from_chat(chat: dict[str, Any]) -> dict[str, Any]:
    """A chat request as a messages request."""
    system, turns = _turns(chat.get("messages") or [])
    if not turns and system:  # instructions alone: this protocol wants somebody to say something
        turns, system = [{"role": "user", "content": system}], []
    limit = chat.get("max_completion_tokens") or chat.get("max_tokens") or DEFAULT_MAX_TOKENS
    out: dict[str, Any] = {"model": chat.get("model"), "max_tokens": limit, "messages": turns}
    if system:
        cached = any("cache_control" in block for block in system)
        out["system"] = system if cached else "\n\n".join(block["text"] for block in system)
    out.update(_tools_from_chat(chat))
    answer_format = chat.get("response_format")
    if isinstance(answer_format, dict) and answer_format.get("type") == "json_schema":
        schema = (answer_format.get("json_schema") or {}).get("schema")
        out["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    for name in ("temperature", "top_p", "stream"):
        if chat.get(name) is not None:
            out[name] = chat[name]
    stop = chat.get("stop")
    stops = [s for s in ([stop] if isinstance(stop, str) else stop or ()) if str(s).strip()]
    if stops:  # white space alone is refused there
        out["stop_sequences"] = stops
    if chat.get("user"):
        out["metadata"] = {"user_id": chat["user"]}
    return out


def _turns(messages: list[Message]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The text blocks of the system prompt, and the turns of user and assistant, which must alternate."""
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role in ("system", "developer"):
            texts = [block for block in _blocks_from_chat(content) if block.get("type") == "text"]
            if texts and message.get("cache_control"):
                texts[-1] = {**texts[-1], "cache_control": message["cache_control"]}
            system += texts
            continue
        if role == "tool":
            role, blocks = "user", [_tool_result_block(message)]
        elif role == "assistant":
            blocks = _assistant_blocks(message)
        else:
            role, blocks = "user", _blocks_from_chat(content)
        if not blocks:
            continue
        if message.get("cache_control") and message.get("role") != "tool":
            # of a message as a whole: up to its end
            blocks[-1] = {**blocks[-1], "cache_control": message["cache_control"]}
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)
        else:
            turns.append({"role": role, "content": blocks})
    return system, turns


def _blocks_from_chat(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content.strip() else []
    out: list[dict[str, Any]] = []
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        marked = {"cache_control": part["cache_control"]} if part.get("cache_control") else {}
        if kind == "image_url":
            out.append({**_image_block(part), **marked})
        elif kind == "file":
            out.append({**block_of_part(part), **marked})
        elif kind in ("text", "refusal"):
            text = str(part.get("text") or part.get("refusal") or "")
            if text.strip():  # text of white space alone is refused there
                out.append({"type": "text", "text": text, **marked})
        else:
            out.append(part)
    return out


def _image_block(part: dict[str, Any]) -> dict[str, Any]:
    image = part.get("image_url")
    url = str(image.get("url", "")) if isinstance(image, dict) else str(image)
    if url.startswith("data:") and ";base64," in url:
        media, data = url[5:].split(";base64,", 1)
        return {"type": "image", "source": {"type": "base64", "media_type": media, "data": data}}
    return {"type": "image", "source": {"type": "url", "url": url}}


def _tool_result_block(message: Message) -> dict[str, Any]:
    content = message.get("content")
    inner: Any = content if isinstance(content, str) else _blocks_from_chat(content)
    marks = [b["cache_control"] for b in inner if "cache_control" in b] if isinstance(inner, list) else []
    if isinstance(inner, list) and all(block.get("type") == "text" for block in inner):
        inner = _text(inner)
    block = {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": inner}
    mark = message.get("cache_control") or (marks[-1] if marks and isinstance(inner, str) else None)
    return {**block, "cache_control": mark} if mark else block


def _assistant_blocks(message: Message) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if message.get("reasoning_content") and message.get("reasoning_signature"):
        blocks.append(thinking_block(message))
    blocks += _blocks_from_chat(message.get("content"))
    blocks += [tool_use_block(call) for call in message.get("tool_calls") or []]
    return blocks


def thinking_block(message: Message) -> dict[str, Any]:
    """The reasoning of a chat message as a content block."""
    return {
        "type": "thinking",
        "thinking": message["reasoning_content"],
        "signature": message.get("reasoning_signature", ""),
    }


def tool_use_block(call: dict[str, Any]) -> dict[str, Any]:
    """A chat tool call as a content block."""
    function = call.get("function") or {}
    return {
        "type": "tool_use",
        "id": call.get("id"),
        "name": function.get("name"),
        "input": _arguments(function.get("arguments")),
    }


def _arguments(text: Any) -> Any:
    if isinstance(text, dict):
        return text
    try:
        value = json.loads(text) if text else {}
    except (ValueError, TypeError, RecursionError):
        return {"arguments": text}  # the model's own words, where they are not JSON
    return value if isinstance(value, dict) else {"arguments": value}


def _tools_from_chat(chat: dict[str, Any]) -> dict[str, Any]:
    """`tools` and `tool_choice` of a chat request; empty where it has no tools."""
    tools = [t for t in map(_tool_from_chat, chat.get("tools") or []) if t is not None]
    if not tools:
        return {}
    choice = _choice_from_chat(chat.get("tool_choice"))
    if chat.get("parallel_tool_calls") is False and choice != {"type": "none"}:
        choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
    return {"tools": tools, "tool_choice": choice} if choice else {"tools": tools}


def _tool_from_chat(tool: Any) -> dict[str, Any] | None:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        return tool if isinstance(tool, dict) else None
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    mark = tool.get("cache_control") or function.get("cache_control")
    out = {
        "name": function.get("name"),
        "description": function.get("description"),
        "input_schema": schema,
        "cache_control": mark,
    }
    return {k: v for k, v in out.items() if v is not None}


def _choice_from_chat(choice: Any) -> dict[str, Any] | None:
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        return {"type": "tool", "name": name} if name else None
    kind = {"auto": "auto", "required": "any", "none": "none"}.get(str(choice)) if choice else None
    return {"type": kind} if kind else None
