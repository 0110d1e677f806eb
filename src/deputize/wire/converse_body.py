"""Requests and replies of Amazon Bedrock's Converse, read in chat form.

References:
    Amazon Bedrock API reference, "Converse" and "ConverseStream".
"""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Message, Usage
from deputize.wire import messages_parser, messages_request
from deputize.wire.events import Completion
from deputize.wire.json_fields import integer, mapping, text_field, token_count

_SETTINGS = {
    "maxTokens": "max_tokens",
    "temperature": "temperature",
    "topP": "top_p",
    "stopSequences": "stop",
}


def is_converse(messages: list[Any]) -> bool:
    """Check whether messages hold content blocks as Converse writes them: no type, the kind is the name of the
    field."""
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and "type" not in block and block.keys() & _BLOCKS:
                return True
    return False


_BLOCKS = frozenset(
    {"text", "toolUse", "toolResult", "image", "document", "reasoningContent", "cachePoint", "json"}
)


def messages_to_chat(messages: Any, system: Any = None) -> list[Message]:
    """Converse messages and system blocks as chat messages.

    Raises:
        BadInput: there are no messages.
    """
    given = messages if isinstance(messages, list) else []
    blocks = [{**m, "content": _blocks(m.get("content"))} for m in given if isinstance(m, dict)]
    return messages_request.messages_to_chat({"messages": blocks, "system": _blocks(system)})


def to_chat(fields: dict[str, Any]) -> dict[str, Any]:
    """A Converse request as a chat request.

    Raises:
        BadInput: there are no messages.
    """
    chat: dict[str, Any] = {"messages": messages_to_chat(fields.get("messages"), fields.get("system"))}
    config = mapping(fields.get("toolConfig")) or {}
    tools = [_tool(t) for t in _dicts(config.get("tools")) if "toolSpec" in t]
    if tools:
        chat["tools"] = tools
    choice = mapping(config.get("toolChoice"))
    if choice is not None:
        named = mapping(choice.get("tool"))
        chat["tool_choice"] = (
            {"type": "function", "function": {"name": named.get("name")}}
            if named
            else "required"
            if "any" in choice
            else "auto"
        )
    answer_format = _format_to_chat(fields.get("outputConfig"))
    if answer_format is not None:
        chat["response_format"] = answer_format
    chat |= params(fields)
    return chat


def _format_to_chat(config: Any) -> dict[str, Any] | None:
    """The answer format; its schema is JSON as text."""
    text = mapping(config.get("textFormat")) if isinstance(config, dict) else None
    structure = mapping(text.get("structure")) if text is not None else None
    wanted = mapping(structure.get("jsonSchema")) if structure is not None else None
    if wanted is None:
        return None
    schema = {"name": wanted.get("name") or "answer", "schema": _decoded(wanted.get("schema"))}
    return {"type": "json_schema", "json_schema": schema}


def params(fields: dict[str, Any]) -> dict[str, Any]:
    """Sampling settings under the names of chat."""
    settings = mapping(fields.get("inferenceConfig")) or {}
    return {_SETTINGS.get(name, name): value for name, value in settings.items()}


def parse_reply(value: dict[str, Any]) -> Completion:
    """A whole reply in the one reply model.

    Raises:
        BadInput: there is no message in it.
    """
    output = mapping(value.get("output")) or {}
    message = mapping(output.get("message"))
    if message is None:
        raise BadInput("The answer holds no message.")
    usage = mapping(value.get("usage"))
    counts = None
    if usage is not None:
        names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
        fresh, written, read, wrote = (token_count(usage.get(name)) or 0 for name in names)
        counts = Usage(
            prompt_tokens=fresh + read + wrote,
            completion_tokens=written,
            cached_tokens=read,
            cache_write_tokens=wrote,
        )
    (said,) = messages_request.messages_to_chat(
        {"messages": [{"role": "assistant", "content": _blocks(message.get("content"))}]}
    )
    reason = text_field(value, "stopReason")
    return Completion(said, messages_parser.chat_reason(reason) if reason else "", counts)


def reply_of_stream(events: list[Any]) -> Completion:
    """The reply that the events of ConverseStream describe.

    Raises:
        BadInput: there is no message in them.
    """
    blocks: dict[int, dict[str, Any]] = {}
    whole: dict[str, Any] = {}
    for event in events:
        start, delta = (mapping(event.get(name)) for name in ("contentBlockStart", "contentBlockDelta"))
        if start is not None and isinstance(mapping(start.get("start")), dict):
            use = mapping(start["start"].get("toolUse")) or {}
            blocks[integer(start.get("contentBlockIndex")) or 0] = {"toolUse": {**use, "input": ""}}
        elif delta is not None:
            _add_delta(
                blocks, integer(delta.get("contentBlockIndex")) or 0, mapping(delta.get("delta")) or {}
            )
        elif isinstance(event.get("messageStop"), dict):
            whole["stopReason"] = event["messageStop"].get("stopReason")
        elif isinstance(event.get("metadata"), dict):
            whole["usage"] = event["metadata"].get("usage")
    content = [blocks[index] for index in sorted(blocks)]
    return parse_reply({**whole, "output": {"message": {"content": content}}})


def _add_delta(blocks: dict[int, dict[str, Any]], index: int, delta: dict[str, Any]) -> None:
    block = blocks.setdefault(index, {})
    if isinstance(delta.get("text"), str):
        block["text"] = text_field(block, "text") + delta["text"]
    elif isinstance(delta.get("toolUse"), dict) and "toolUse" in block:
        block["toolUse"]["input"] += text_field(delta["toolUse"], "input")


def _blocks(content: Any) -> Any:
    """Content blocks as Anthropic writes them."""
    if not isinstance(content, list):
        return content
    return [_block(block) for block in content if isinstance(block, dict) and "cachePoint" not in block]


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _block(block: dict[str, Any]) -> dict[str, Any]:
    if "type" in block:
        return block
    if isinstance(block.get("text"), str):
        return {"type": "text", "text": block["text"]}
    use, result = mapping(block.get("toolUse")), mapping(block.get("toolResult"))
    if use is not None:
        return {
            "type": "tool_use",
            "id": use.get("toolUseId"),
            "name": use.get("name"),
            "input": _decoded(use.get("input")),
        }
    if result is not None:
        inner = [_result_block(b) for b in _dicts(result.get("content"))]
        failed = result.get("status") == "error"
        return {
            "type": "tool_result",
            "tool_use_id": result.get("toolUseId"),
            "content": inner,
            "is_error": failed,
        }
    reasoning = mapping(block.get("reasoningContent"))
    if reasoning is not None:
        text = mapping(reasoning.get("reasoningText")) or {}
        return {"type": "thinking", "thinking": text.get("text", ""), "signature": text.get("signature", "")}
    image = mapping(block.get("image"))
    source = mapping(image.get("source")) if image is not None else None
    if image is not None and source is not None and isinstance(source.get("bytes"), str):
        media = {
            "type": "base64",
            "media_type": f"image/{image.get('format', 'png')}",
            "data": source["bytes"],
        }
        return {"type": "image", "source": media}
    return {"type": next(iter(block), "unknown"), **block}


def _result_block(block: dict[str, Any]) -> dict[str, Any]:
    if "json" in block:
        return {"type": "text", "text": msgspec.json.encode(block["json"]).decode()}
    return _block(block)


def _decoded(value: Any) -> Any:
    """Arguments, which a stream writes as text."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value) if value else {}
    except (msgspec.DecodeError, RecursionError):
        return {"arguments": value}


def _tool(tool: dict[str, Any]) -> dict[str, Any]:
    spec = mapping(tool.get("toolSpec")) or {}
    schema = mapping(spec.get("inputSchema")) or {}
    kept = {
        "name": spec.get("name"),
        "description": spec.get("description"),
        "parameters": schema.get("json"),
    }
    return {"type": "function", "function": {k: v for k, v in kept.items() if v is not None}}
