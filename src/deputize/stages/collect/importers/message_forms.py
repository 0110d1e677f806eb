"""Chat messages in all the forms in which logs keep them, read as OpenAI's.

One reader for all formats, since platforms pass on the messages of whatever framework their users have: OpenAI, Anthropic,
Converse, Gemini, LangChain, OpenTelemetry, Vercel, LlamaIndex, Inspect, AgentDojo, ShareGPT and others occur in each other.
"""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Message
from deputize.stages.collect.importers.base import Unreadable
from deputize.wire import converse_body, gemini_body, messages_request, responses_request
from deputize.wire.chat_request import plain_or_parts
from deputize.wire.json_fields import mapping

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode

ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
_OTHER_ROLES = {
    "human": "user",
    "customer": "user",
    "ai": "assistant",
    "model": "assistant",
    "gpt": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "chatgpt": "assistant",
    "gemini": "assistant",
    "agent": "assistant",
    "observation": "tool",
    "tool_result": "tool",
    "tool_response": "tool",
    "function_response": "tool",
    "environment": "tool",
    "ipython": "tool",
    "function_call": "assistant",
    "tool_call": "assistant",
}
_CLASSES = {
    "Human": "user",
    "AI": "assistant",
    "System": "system",
    "Tool": "tool",
    "Function": "function",
    "Chat": "",
    "human": "user",
    "ai": "assistant",
    "system": "system",
    "tool": "tool",
    "function": "function",
    "chat": "",
}
"""Kinds of LangChain's messages, by class and by `type`."""
_PLAIN_PARTS = frozenset({"text", "image_url", "input_audio", "file", "refusal"})
_ANTHROPIC_BLOCKS = frozenset(
    {"tool_use", "tool_result", "thinking", "redacted_thinking", "server_tool_use", "image", "document"}
)
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


def structured(value: Any) -> Any:
    """A text that is JSON of an object or a list as that object or list; every other value as it is."""
    if isinstance(value, str) and value[:1] in ("{", "[") and value[-1:] in ("}", "]"):
        try:
            return _decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return value
    return value


def as_text(value: Any) -> str:
    """A value as text: itself, or its JSON."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    try:
        return _encode(value).decode()
    except (TypeError, ValueError, RecursionError):
        return ""


def read_messages(raw: Any, system: Any = None) -> list[Message]:
    """The messages of a prompt in OpenAI's form.

    Args:
        raw: a list of messages in any form, the JSON text of one, one text, or an object with a field `messages`.
        system: the system prompt where it stands apart.

    Raises:
        Unreadable: there is no message, or one of no known form.
    """
    raw, system = structured(raw), structured(system)
    if isinstance(raw, dict) and isinstance(structured(raw.get("messages")), list):
        return read_messages(raw["messages"], system or raw.get("system"))
    if isinstance(raw, str) and raw:
        raw = [{"role": "user", "content": raw}]
    elif isinstance(raw, dict):
        raw = [raw]
    if isinstance(raw, list) and len(raw) == 1 and isinstance(raw[0], list):
        raw = raw[0]  # LangChain's batches of one prompt
    if not isinstance(raw, list) or not raw:
        raise Unreadable("messages is not a list with at least one message")
    if all(isinstance(item, str) for item in raw):
        raise Unreadable("messages is a list of texts without roles")
    messages = _by_form([structured(item) for item in raw], system)
    head = _system_text(system)
    if head and not (messages and messages[0].get("role") in ("system", "developer")):
        messages.insert(0, {"role": "system", "content": head})
    return messages


def _by_form(raw: list[Any], system: Any) -> list[Message]:
    try:
        if _is_anthropic(raw):
            return messages_request.messages_to_chat(
                {"messages": _with_roles(raw), "system": _blocks(system)}
            )
        if converse_body.is_converse(raw):
            return converse_body.messages_to_chat(_with_roles(raw))
        if any(
            isinstance(m, dict) and m.get("type") in ("function_call", "function_call_output") for m in raw
        ):
            return responses_request.items_to_chat(raw)
        if any(_has_gemini_parts(m) for m in raw):
            return gemini_body.contents_to_chat(raw)
    except BadInput:
        raise Unreadable("a message that is no object") from None
    return [message for item in raw for message in chat_messages(item)]


def _with_roles(raw: list[Any]) -> list[Any]:
    return [
        {**m, "role": _OTHER_ROLES.get(str(m.get("role")), m.get("role"))} if isinstance(m, dict) else m
        for m in raw
    ]


def _blocks(system: Any) -> Any:
    return system if isinstance(system, str | list) else None


def _is_anthropic(raw: list[Any]) -> bool:
    """Check for content blocks that only Anthropic's messages have, and for nothing that they do not have."""
    found = False
    for message in raw:
        if (
            not isinstance(message, dict)
            or message.get("role") in ("tool", "function")
            or message.get("tool_calls")
        ):
            return False
        content = message.get("content")
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and _kind(block) in _ANTHROPIC_BLOCKS:
                found = found or "source" in block or block["type"] not in ("image", "document", "thinking")
    return found


def _has_gemini_parts(message: Any) -> bool:
    parts = message.get("parts") if isinstance(message, dict) else None
    return isinstance(parts, list) and any(
        isinstance(p, dict)
        and "type" not in p
        and ("text" in p or p.keys() & {"functionCall", "functionResponse", "function_call", "inlineData"})
        for p in parts
    )


def _system_text(system: Any) -> str:
    """A system prompt as text, from a text, a message, or a list of parts."""
    if isinstance(system, str):
        return system
    if isinstance(system, dict):
        return _system_text(system.get("content") or system.get("parts") or system.get("text"))
    texts = (
        [_part_text(p) if isinstance(p, dict) else p for p in system if p] if isinstance(system, list) else []
    )
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def chat_messages(raw: Any) -> list[Message]:
    """One recorded message in OpenAI's form; several where it holds the results of several tools.

    Raises:
        Unreadable: it is in no known form.
    """
    if isinstance(raw, dict) and _is_plain(raw):
        return [raw]
    message = _unwrapped(raw)
    role = _role(message)
    results: list[Message] = []
    calls = [_tool_call(c, i) for i, c in enumerate(_calls(message))]
    thoughts: list[str] = []
    content = _content(message, role, calls, results, thoughts)
    old = mapping(message.get("function_call"))
    if old is not None and isinstance(old.get("name"), str):
        calls.append({"id": "call_0", "type": "function", "function": old})
    if results and not content and not calls:
        return results
    out: Message = {"role": role, "content": content}
    if role == "assistant":
        if calls:
            out["tool_calls"] = calls
            out["content"] = content or None
        thought = "".join(thoughts) or message.get("reasoning_content") or message.get("reasoning")
        if isinstance(thought, str) and thought:
            out["reasoning_content"] = thought
        if isinstance(message.get("refusal"), str) and message["refusal"]:
            out["refusal"] = message["refusal"]
    elif role in ("tool", "function"):
        out |= _answered(message)
        if isinstance(content, list):
            out["content"] = plain_or_parts(content)
    elif isinstance(message.get("name"), str):
        out["name"] = message["name"]
    return [*results, out]


def _is_plain(raw: dict[str, Any]) -> bool:
    """Check whether a message is in OpenAI's form already, so that it is kept as it is."""
    role, content, calls = raw.get("role"), raw.get("content"), raw.get("tool_calls")
    if (
        not isinstance(role, str)
        or role not in ROLES
        or "parts" in raw
        or "function_call" in raw
        or "blocks" in raw
    ):
        return False
    if isinstance(content, list):
        if not all(isinstance(p, dict) and _kind(p) in _PLAIN_PARTS and p["type"] in p for p in content):
            return False
    elif not isinstance(content, str | None):
        return False
    if content is None and not calls and "content" not in raw:
        return bool(raw.get("refusal"))
    if role == "tool" and "tool_call_id" not in raw and raw.keys() & _TOOL_IDS:
        return False
    return calls is None or (
        isinstance(calls, list)
        and all(isinstance(c, dict) and isinstance(c.get("function"), dict) and "id" in c for c in calls)
    )


_TOOL_IDS = frozenset({"toolCallId", "tool_id", "call_id", "id", "tool_use_id"})


def _unwrapped(raw: Any) -> dict[str, Any]:
    """A message without the wrappers of LangChain, Phoenix and chat programs."""
    message = raw
    if isinstance(message, dict) and isinstance(message.get("message"), dict) and "role" not in message:
        message = message["message"]
    if not isinstance(message, dict):
        raise Unreadable("a message without a known role")
    if isinstance(message.get("kwargs"), dict) and isinstance(message.get("id"), list) and message["id"]:
        name = str(message["id"][-1]).removesuffix("Chunk").removesuffix("Message")
        inner = message["kwargs"]
        return {**inner, "role": _CLASSES.get(name, "") or inner.get("role")}
    kind = message.get("type")
    if "role" not in message and isinstance(kind, str):
        name = kind.removesuffix("Chunk").removesuffix("Message")
        inner = mapping(message.get("data")) or message
        if name in _CLASSES:
            return {**inner, "role": _CLASSES[name] or inner.get("role")}
    if "role" not in message and isinstance(message.get("from"), str):
        return {"role": message["from"], "content": message.get("value"), **_from_calls(message)}
    return message


def _from_calls(message: dict[str, Any]) -> dict[str, Any]:
    """The tool calls of a ShareGPT message whose sender is function_call."""
    if message["from"] not in ("function_call", "tool_call"):
        return {}
    calls = structured(message.get("value"))
    return {"content": None, "tool_calls": calls if isinstance(calls, list) else [calls]}


def _role(message: dict[str, Any]) -> str:
    role = message.get("role")
    if not isinstance(role, str):
        author = message.get("author")
        role = author.get("role") if isinstance(author, dict) else None
    if not isinstance(role, str):
        raise Unreadable("a message without a known role")
    lower = role.lower()
    known = lower if lower in ROLES else _OTHER_ROLES.get(lower)
    if known is None:
        raise Unreadable("a message without a known role")
    return known


def _calls(message: dict[str, Any]) -> list[Any]:
    more = mapping(message.get("additional_kwargs")) or {}
    for holder in (message, more):
        for name in ("tool_calls", "toolCalls"):
            calls = structured(holder.get(name))
            if calls:
                if not isinstance(calls, list) or not all(isinstance(structured(c), dict) for c in calls):
                    raise Unreadable("a message whose tool_calls are not a list of objects")
                return [structured(c) for c in calls]
    old = mapping(more.get("function_call"))
    return [{"id": "call_0", "function": old}] if old else []


def _tool_call(raw: dict[str, Any], place: int) -> dict[str, Any]:
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


def _answered(message: dict[str, Any]) -> dict[str, Any]:
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


def _content(
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


def _no_content() -> Any:
    raise Unreadable("a message whose content is neither text nor a list of parts")


def _kind(part: dict[str, Any]) -> str | None:
    """The kind of a part, where it says so."""
    kind = part.get("type") or part.get("block_type") or part.get("kind")
    return kind if isinstance(kind, str) else None


def _is_part(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("type") or part.get("block_type"), str)


def _part(
    raw: Any, calls: list[dict[str, Any]], results: list[Message], thoughts: list[str], n_given: int
) -> dict[str, Any] | None:
    """One part in OpenAI's form; None where it went to one of the lists."""
    if isinstance(raw, str):
        return {"type": "text", "text": raw}
    if not isinstance(raw, dict):
        raise Unreadable("a part of a message that is neither text nor an object")
    part = mapping(raw.get("message_content")) or raw
    kind = _kind(part)
    if kind in _CALL_PARTS:
        if not n_given:  # frameworks that keep both say the same twice
            calls.append(_tool_call(part, len(calls)))
        return None
    if kind in _RESULT_PARTS:
        results.append(_result(part))
        return None
    if kind in _THOUGHT_PARTS:
        thoughts.append(_part_text(part) or as_text(part.get("reasoning") or part.get("thinking")))
        return None
    if kind in ("text", "input_text", "output_text", None) or "text" in part:
        text = _part_text(part)
        if not text and not any(k in part for k in ("text", "content", "value")):
            raise Unreadable("a part of a message without its text")
        return {"type": "text", "text": text}
    if kind == "image" and isinstance(mapping(part.get("image")), dict) and "url" in part["image"]:
        return {"type": "image_url", "image_url": {"url": part["image"]["url"]}}
    return part  # kept as it is: nothing is lost silently


def _part_text(part: dict[str, Any]) -> str:
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
    return {"role": "tool", "content": as_text(value), **_answered(part)}
