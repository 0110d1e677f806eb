"""Requests and replies of Gemini and Vertex AI (generateContent), read in chat form.

References:
    Gemini API reference, "Generating content" and "Function calling".
"""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Message, Usage
from deputize.wire.chat_request import plain_or_parts
from deputize.wire.events import Completion
from deputize.wire.json_fields import mapping, text_field, token_count

_encode = msgspec.json.Encoder().encode

_TO_CHAT_REASON = {"STOP": "stop", "MAX_TOKENS": "length"}
_SETTINGS = {
    "temperature": "temperature",
    "topP": "top_p",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "seed": "seed",
    "candidateCount": "n",
}


_NO_SETTINGS = frozenset(
    {
        *("responseMimeType", "responseSchema", "responseJsonSchema"),
        *("systemInstruction", "tools", "toolConfig", "httpOptions"),
    }
)


def either(fields: dict[str, Any], camel: str) -> Any:
    """A field under its name in camelCase, as REST has it, or in snake_case, as the Python client has it."""
    snake = "".join(f"_{c.lower()}" if c.isupper() else c for c in camel)
    value = fields.get(camel)
    return fields.get(snake) if value is None else value


def to_chat(fields: dict[str, Any]) -> dict[str, Any]:
    """A generateContent request as a chat request. Function calls carry no ids there: they are numbered.

    Raises:
        BadInput: `contents` is missing or empty.
    """
    messages = contents_to_chat(fields.get("contents"))
    config = mapping(fields.get("config")) or {}  # as the client libraries take it
    system = _system_text(either(fields, "systemInstruction") or either(config, "systemInstruction"))
    if system:
        messages.insert(0, {"role": "system", "content": system})
    settings = mapping(either(fields, "generationConfig")) or config
    chat: dict[str, Any] = {"model": fields.get("model"), "messages": messages}
    tools = _tools_to_chat(fields.get("tools") or settings.get("tools"))
    if tools:
        chat["tools"] = tools
    choice = _choice_to_chat(either(fields, "toolConfig") or either(config, "toolConfig"))
    if choice is not None:
        chat["tool_choice"] = choice
    answer_format = _format_to_chat(settings)
    if answer_format is not None:
        chat["response_format"] = answer_format
    for name, chat_name in _SETTINGS.items():
        if either(settings, name) is not None:
            chat[chat_name] = either(settings, name)
    return chat


def params(fields: dict[str, Any]) -> dict[str, Any]:
    """Sampling settings under the names of chat, and the rest of the settings as sent."""
    settings = mapping(either(fields, "generationConfig")) or mapping(fields.get("config")) or {}
    out: dict[str, Any] = {}
    for name, value in settings.items():
        camel = "".join(w if i == 0 else w.capitalize() for i, w in enumerate(name.split("_")))
        if camel not in _NO_SETTINGS:
            out[_SETTINGS.get(camel, name)] = value
    return out


def contents_to_chat(contents: Any) -> list[Message]:
    """The contents of a request as chat messages.

    Raises:
        BadInput: neither text nor a list of objects with at least one.
    """
    if isinstance(contents, str) and contents:
        return [{"role": "user", "content": contents}]
    given = [contents] if isinstance(contents, dict) else contents
    if not isinstance(given, list) or not given or not all(isinstance(c, dict | str) for c in given):
        raise BadInput("The request needs 'contents': a list with at least one content.")
    out: list[Message] = []
    numbers = _Numbers()
    for content in given:
        out += _content_messages({"parts": [content]} if isinstance(content, str) else content, numbers)
    return out


class _Numbers:
    """Ids for function calls, which have none: counted, and found again by name."""

    def __init__(self) -> None:
        self._n_calls = 0
        self._open: list[tuple[str, str]] = []

    def call(self, name: str, given: str) -> str:
        self._n_calls += 1
        self._open.append((name, given or f"call_{self._n_calls}"))
        return self._open[-1][1]

    def response(self, name: str, given: str) -> str:
        for place, (called, id_) in enumerate(self._open):
            if given in ("", id_) and called == name:
                del self._open[place]
                return id_
        return given


def _content_messages(content: dict[str, Any], numbers: _Numbers) -> list[Message]:
    parts = content.get("parts")
    parts = parts if isinstance(parts, list) else [parts] if isinstance(parts, dict | str) else []
    out: list[Message] = []
    said: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    thoughts: list[str] = []
    for part in parts:
        part = {"text": part} if isinstance(part, str) else part
        if not isinstance(part, dict):
            continue
        call, result = mapping(either(part, "functionCall")), mapping(either(part, "functionResponse"))
        if call is not None:
            calls.append(_tool_call(call, numbers))
        elif result is not None:
            out.append(_tool_message(result, numbers))
        elif part.get("thought") is True:
            thoughts.append(text_field(part, "text"))
        elif isinstance(part.get("text"), str):
            said.append({"type": "text", "text": part["text"]})
        else:
            said.append(_media_part(part))
    if content.get("role") in ("model", "assistant"):
        text = _joined(said)
        message: Message = {"role": "assistant", "content": text or (None if calls else "")}
        if calls:
            message["tool_calls"] = calls
        if thoughts:
            message["reasoning_content"] = "".join(thoughts)
        out.append(message)
    elif said:
        out.append({"role": "user", "content": plain_or_parts(said)})
    return out


def _joined(said: list[dict[str, Any]]) -> Any:
    return "".join(part["text"] for part in said) if all(p.get("type") == "text" for p in said) else said


def _tool_call(call: dict[str, Any], numbers: _Numbers) -> dict[str, Any]:
    name = text_field(call, "name")
    function = {"name": name, "arguments": _encode(call.get("args") or {}).decode()}
    return {"id": numbers.call(name, text_field(call, "id")), "type": "function", "function": function}


def _tool_message(result: dict[str, Any], numbers: _Numbers) -> Message:
    name, response = text_field(result, "name"), result.get("response")
    # the client wraps a plain result, since the field has to be an object
    if isinstance(response, dict) and len(response) == 1:
        response = next(
            (response[k] for k in ("result", "output", "content", "error") if k in response), response
        )
    content = response if isinstance(response, str) else _encode(response).decode()
    return {
        "role": "tool",
        "tool_call_id": numbers.response(name, text_field(result, "id")),
        "name": name,
        "content": content,
    }


def _media_part(part: dict[str, Any]) -> dict[str, Any]:
    data = mapping(either(part, "inlineData"))
    if data is None or not str(either(data, "mimeType")).startswith("image/"):
        return part  # kept as it is: nothing is lost silently
    return {
        "type": "image_url",
        "image_url": {"url": f"data:{either(data, 'mimeType')};base64,{data.get('data', '')}"},
    }


def _system_text(system: Any) -> str:
    if isinstance(system, str):
        return system
    parts = system.get("parts") if isinstance(system, dict) else system
    parts = parts if isinstance(parts, list) else [parts]
    texts = [p if isinstance(p, str) else text_field(p, "text") for p in parts if isinstance(p, dict | str)]
    return "\n".join(text for text in texts if text)


def _tools_to_chat(tools: Any) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    for tool in tools if isinstance(tools, list) else ():
        declared = either(tool, "functionDeclarations") if isinstance(tool, dict) else None
        if not isinstance(declared, list):
            if isinstance(tool, dict):
                out.append(tool)  # a tool that runs at the provider
            continue
        for function in declared:
            if isinstance(function, dict):
                schema = function.get("parameters") or either(function, "parametersJsonSchema")
                kept = {
                    "name": function.get("name"),
                    "description": function.get("description"),
                    "parameters": _schema(schema),
                }
                out.append({"type": "function", "function": {k: v for k, v in kept.items() if v is not None}})
    return out


def _schema(schema: Any) -> Any:
    """A schema with the names of types in lower case, as JSON Schema has them."""
    if isinstance(schema, list):
        return [_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        k: v.lower() if k == "type" and isinstance(v, str) and v.isupper() else _schema(v)
        for k, v in schema.items()
    }


def _choice_to_chat(tool_config: Any) -> Any:
    calling = mapping(either(tool_config, "functionCallingConfig")) if isinstance(tool_config, dict) else None
    if calling is None:
        return None
    names = either(calling, "allowedFunctionNames")
    if calling.get("mode") == "ANY" and isinstance(names, list) and len(names) == 1:
        return {"type": "function", "function": {"name": names[0]}}
    return {"AUTO": "auto", "ANY": "required", "NONE": "none"}.get(str(calling.get("mode")))


def _format_to_chat(settings: dict[str, Any]) -> dict[str, Any] | None:
    schema = either(settings, "responseSchema") or either(settings, "responseJsonSchema")
    if isinstance(schema, dict):
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": _schema(schema)}}
    return {"type": "json_object"} if either(settings, "responseMimeType") == "application/json" else None


def parse_reply(value: Any) -> Completion:
    """A whole reply, or the pieces of a streamed one as a list, in the one reply model.

    Raises:
        BadInput: there is no candidate in it.
    """
    pieces = [p for p in value if isinstance(p, dict)] if isinstance(value, list) else [value]
    parts: list[Any] = []
    reason, model, id_ = "", "", ""
    usage: Usage | None = None
    for piece in pieces:
        candidates = piece.get("candidates") if isinstance(piece, dict) else None
        candidate = candidates[0] if isinstance(candidates, list) and candidates else None
        if isinstance(candidate, dict):
            content = candidate.get("content")
            more = content.get("parts") if isinstance(content, dict) else None
            parts += more if isinstance(more, list) else []
            reason = str(either(candidate, "finishReason") or reason)
        if isinstance(piece, dict):
            counts = mapping(either(piece, "usageMetadata"))
            if counts is not None:
                usage = usage_of(counts)
            model = str(either(piece, "modelVersion") or model)
            id_ = str(either(piece, "responseId") or id_)
    if not parts and not reason:
        raise BadInput("The answer holds no candidate.")
    (message,) = _content_messages({"role": "model", "parts": parts}, _Numbers())[-1:]
    chat_reason = _TO_CHAT_REASON.get(reason, "content_filter" if reason else "")
    if message.get("tool_calls") and chat_reason in ("stop", ""):
        chat_reason = "tool_calls"
    return Completion(message, chat_reason, usage, id_, model)


def usage_of(counts: dict[str, Any]) -> Usage:
    """Tokens of a `usageMetadata` object; thoughts count as written, as they do elsewhere."""
    names = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "cachedContentTokenCount")
    prompt, said, thought, cached = (token_count(either(counts, name)) or 0 for name in names)
    return Usage(
        prompt_tokens=prompt, completion_tokens=said + thought, cached_tokens=cached, reasoning_tokens=thought
    )
