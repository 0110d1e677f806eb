"""Chat messages in all the forms in which logs keep them, read as OpenAI's.

One reader for all formats, since platforms pass on the messages of whatever framework their users have: OpenAI,
Anthropic, Converse, Gemini, LangChain, OpenTelemetry, Vercel, LlamaIndex, Inspect, AgentDojo, ShareGPT and others occur
in each other.
"""

from __future__ import annotations

from typing import Any

from deputize.core.errors import BadInput
from deputize.core.records import Message
from deputize.stages.collect.importers.base import Unreadable
from deputize.stages.collect.importers.embedded_json import as_text, structured
from deputize.stages.collect.importers.message_parts import (
    answered_call,
    part_kind,
    part_text,
    read_content,
    read_tool_call,
)
from deputize.wire import converse_body, gemini_body, messages_request, responses_request
from deputize.wire.chat_request import plain_or_parts
from deputize.wire.json_fields import mapping

TURN_FIELDS = frozenset({"weight", "usage", "model", "timestamp", "logprobs"})
"""Fields that formats keep in a message and that no request has."""
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
    if isinstance(raw, dict) and "value" in raw and raw.keys() <= {"type", "value"}:
        return read_messages(raw["value"], system)
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
            kind = part_kind(block) if isinstance(block, dict) else None
            if kind in ("tool_use", "tool_result", "image", "document"):
                if not block.keys() & _ANTHROPIC_FIELDS[kind]:
                    return False  # of the same name, from another framework
                found = True
            elif kind in ("redacted_thinking", "server_tool_use"):
                found = True
    return found


_ANTHROPIC_FIELDS = {
    "tool_use": frozenset({"input"}),
    "tool_result": frozenset({"tool_use_id"}),
    "image": frozenset({"source"}),
    "document": frozenset({"source"}),
}


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
        [part_text(p) if isinstance(p, dict) else p for p in system if p] if isinstance(system, list) else []
    )
    return "\n".join(text for text in texts if isinstance(text, str) and text)


def chat_messages(raw: Any) -> list[Message]:
    """One recorded message in OpenAI's form; several where it holds the results of several tools.

    Raises:
        Unreadable: it is in no known form.
    """
    if isinstance(raw, dict) and is_plain_message(raw):
        return [raw]
    if isinstance(raw, dict) and "parts" in raw and raw.get("kind") in ("request", "response"):
        return pydantic_messages(raw)
    message = _unwrapped(raw)
    role = _role(message)
    results: list[Message] = []
    calls = [read_tool_call(c, i) for i, c in enumerate(_calls(message))]
    thoughts: list[str] = []
    content = read_content(message, role, calls, results, thoughts)
    old = mapping(message.get("function_call"))
    if old is not None and isinstance(old.get("name"), str):
        calls.append({"id": "call_0", "type": "function", "function": old})
    if results and not content and not calls:
        return results
    out: Message = {"role": role, "content": content}
    if role == "assistant":
        out |= {k: message[k] for k in TURN_FIELDS if message.get(k) is not None}
        if calls:
            out["tool_calls"] = calls
            out["content"] = content or None
        thought = "".join(thoughts) or message.get("reasoning_content") or message.get("reasoning")
        if isinstance(thought, str) and thought:
            out["reasoning_content"] = thought
        if isinstance(message.get("refusal"), str) and message["refusal"]:
            out["refusal"] = message["refusal"]
    elif role in ("tool", "function"):
        out |= answered_call(message)
        if isinstance(content, list):
            out["content"] = plain_or_parts(content)
    elif isinstance(message.get("name"), str):
        out["name"] = message["name"]
    return [*results, out]


_PYDANTIC_ROLES = {"system-prompt": "system", "user-prompt": "user", "tool-return": "tool"}


def pydantic_messages(raw: dict[str, Any]) -> list[Message]:
    """The messages of one request or response of pydantic-ai, whose parts say who speaks."""
    parts = [p for p in raw["parts"] if isinstance(p, dict)] if isinstance(raw["parts"], list) else []
    if raw["kind"] == "response":
        calls = [
            read_tool_call(p, n) for n, p in enumerate(p for p in parts if p.get("part_kind") == "tool-call")
        ]
        said = "".join(part_text(p) for p in parts if p.get("part_kind") == "text")
        thought = "".join(part_text(p) for p in parts if p.get("part_kind") == "thinking")
        out: Message = {"role": "assistant", "content": said or (None if calls else "")}
        out |= {k: v for k, v in (("tool_calls", calls), ("reasoning_content", thought)) if v}
        model = raw.get("model_name")
        about = {"usage": raw.get("usage"), "model": model, "timestamp": raw.get("timestamp")}
        return [out | {k: v for k, v in about.items() if v}]
    asked: list[Message] = []
    for part in parts:
        kind = str(part.get("part_kind"))
        role = _PYDANTIC_ROLES.get(
            kind, "tool" if kind == "retry-prompt" and part.get("tool_name") else "user"
        )
        content = part.get("content")
        text = content if isinstance(content, str | list) and role != "tool" else as_text(content)
        about = (
            {"tool_call_id": part.get("tool_call_id"), "name": part.get("tool_name")}
            if role == "tool"
            else {}
        )
        asked.append({"role": role, "content": text, **about})
    return asked


def collapsed(messages: list[Message]) -> list[Message]:
    """Messages with one text where a framework writes texts as lists of parts."""
    return [
        {**m, "content": plain_or_parts(m["content"])}
        if isinstance(m.get("content"), list) and m["content"]
        else m
        for m in messages
    ]


def without_turn_fields(message: Message) -> Message:
    """A message as a request has it."""
    return (
        {k: v for k, v in message.items() if k not in TURN_FIELDS}
        if message.keys() & TURN_FIELDS
        else message
    )


def is_plain_message(raw: dict[str, Any]) -> bool:
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
        if not all(isinstance(p, dict) and _is_plain_part(p) for p in content):
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


def _is_plain_part(part: dict[str, Any]) -> bool:
    kind = part_kind(part)
    return kind in _PLAIN_PARTS and kind in part and (kind != "text" or isinstance(part["text"], str))


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
