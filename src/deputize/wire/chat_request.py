"""Requests of OpenAI's chat completions: checks, and the parts that the gateway reads.

References:
    OpenAI API reference, "Chat completions".
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from deputize.core.decision_reason import DecisionReason
from deputize.core.errors import BadInput
from deputize.core.records import Message, Request
from deputize.wire.json_limits import check_depth, check_values, too_deep

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_RECORDED_APART = frozenset({"messages", "tools", "response_format", "tool_choice", "model"})
"""Fields that have a place of their own in a recorded call."""


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request body.

    Raises:
        BadInput: not UTF-8, not JSON, nested too deeply, too many values, or not an object.
    """
    check_values(body)
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadInput("The request body is not valid JSON.") from None
    except RecursionError:
        raise too_deep() from None
    check_depth(body)
    if not isinstance(value, dict):
        raise BadInput("The request body must be a JSON object.")
    return value


_APPLICATIONS_OWN = frozenset(
    ["messages", "input", "system", "metadata", "documents", "state", "context", "questions", "prompt"]
)
"""Fields whose objects are an application's: a model in them may be that of a car."""


def check_names_one_model(body: bytes) -> None:
    """Refuses a body from which a server could take another model than `model`: one that gives it twice, in whatever
    case, since servers differ in which one they use, or names models to fall back on, or one for a tool or a draft,
    as some servers take.

    Raises:
        BadInput: the model is not clear, or the body is nested too deeply.
    """
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> frozenset[str]:
        pairs[:] = found  # objects are closed from the inside out: what is left is the outermost one
        return frozenset(
            key.lower() for key, value in found if key.lower() != "model" or isinstance(value, str)
        )

    try:
        json.loads(body, object_pairs_hook=keep)
    except RecursionError:
        raise too_deep() from None
    names = [key.lower() for key, _ in pairs]
    if names.count("model") > 1:
        raise BadInput("The request gives 'model' more than once.")
    for name in names:
        if name == "models" or "fallback" in name:
            raise BadInput("A key for certain models cannot be used with models to fall back on.")
    for name, value in pairs:
        inner = value if isinstance(value, list) else [value]
        if name.lower() not in _APPLICATIONS_OWN and any(
            isinstance(one, frozenset) and not one.isdisjoint(("model", "models")) for one in inner
        ):
            raise BadInput(f"A key for certain models cannot be used with a model in {name[:40]!r}.")


def check_messages(fields: dict[str, Any]) -> list[Message]:
    """The messages of a chat request.

    Raises:
        BadInput: missing, empty, or not a list of objects.
    """
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadInput("The request needs 'messages': a list with at least one message.")
    for message in messages:
        if not isinstance(message, dict):
            raise BadInput("Every entry of 'messages' must be an object with a role.")
    return messages


def to_chat(fields: dict[str, Any]) -> dict[str, Any]:
    """The request itself.

    Raises:
        BadInput: its messages are missing, empty, or not a list of objects.
    """
    check_messages(fields)
    return fields


_ABOUT_TOOLS = ("tool_choice", "parallel_tool_calls")
_NOT_IN_MESSAGES = ("reasoning_signature", "not_recorded")
"""Fields of our message model that no server of this protocol knows."""


def from_chat(chat: dict[str, Any]) -> dict[str, Any]:
    """A request of another protocol, read as a chat request, in the form that servers of the chat protocol take:
    without options that need tools where there are none, without metadata that is not to be stored, and with images of
    tool results in a user message, since only users may send some here."""
    out = {**chat, "messages": _portable_messages(chat.get("messages") or [])}
    if not out.get("tools"):
        out = {k: v for k, v in out.items() if k not in _ABOUT_TOOLS and k != "tools"}
    if not out.get("store"):
        out.pop("metadata", None)
    return out


def _portable_messages(messages: list[Message]) -> list[Message]:
    out: list[Message] = []
    images: list[dict[str, Any]] = []
    for message in messages:
        if message.get("role") != "tool" and images:
            out.append({"role": "user", "content": images})
            images = []
        if any(name in message for name in _NOT_IN_MESSAGES):
            message = {k: v for k, v in message.items() if k not in _NOT_IN_MESSAGES}
        content = message.get("content")
        if message.get("role") == "tool" and isinstance(content, list):
            texts = [p for p in content if p.get("type") == "text"]
            shown = [p for p in content if p.get("type") != "text"]
            if shown:
                named = f"The result of tool call {message.get('tool_call_id')} holds:"
                images += [{"type": "text", "text": named}, *shown]
                texts = texts or [{"type": "text", "text": "The result is in the next message."}]
            message = {**message, "content": plain_or_parts(texts)}
        out.append(message)
    if images:
        out.append({"role": "user", "content": images})
    return out


def request_of(fields: dict[str, Any], *, agent: str = "", site: str = "") -> Request:
    """The parts of a chat request, as `to_chat` of a protocol gives it, that specialists and the router read."""
    tools, response_format = fields.get("tools"), fields.get("response_format")
    return Request(
        messages=fields["messages"],
        tools=[t for t in tools if isinstance(t, dict)] if isinstance(tools, list) and tools else None,
        response_format=response_format if isinstance(response_format, dict) else None,
        tool_choice=fields.get("tool_choice"),
        agent=agent,
        site=site,
    )


def params(fields: dict[str, Any]) -> dict[str, Any]:
    """Sampling settings and every other request field, as sent."""
    return {k: v for k, v in fields.items() if k not in _RECORDED_APART}


def model_only_reason(chat: dict[str, Any]) -> DecisionReason | None:
    """The output that only an LLM gives and a request wants: several choices, token probabilities, audio; None if none."""
    if chat.get("n") not in (None, 1):
        return "params:n"
    if chat.get("logprobs") or chat.get("top_logprobs"):
        return "params:logprobs"
    modalities = chat.get("modalities")
    if chat.get("audio") or (modalities and modalities != ["text"]):
        return "params:modalities"
    return None


def pinned_reason(fields: dict[str, Any]) -> DecisionReason | None:
    """The reason why a request has to go where an earlier one went; None where it need not. For every protocol."""
    if fields.get("previous_response_id") or fields.get("conversation"):
        return "pinned"
    return "params:background" if fields.get("background") else None


def wants_usage(fields: dict[str, Any]) -> bool:
    """True where the client asked for the usage chunk of a stream."""
    options = fields.get("stream_options")
    return bool(isinstance(options, dict) and options.get("include_usage"))


def ask_for_usage(body: bytes, fields: dict[str, Any]) -> bytes:
    """The same body with `stream_options.include_usage` on.

    Where the client sent no stream_options every other byte stays as it was; else the body is encoded again.
    """
    options = fields.get("stream_options")
    if options is None and "stream_options" not in fields:
        end = body.rstrip()
        return end[:-1] + b',"stream_options":{"include_usage":true}}'
    merged = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return _encode({**fields, "stream_options": merged})


def plain_or_parts(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Message content: one text where all parts are text, else the parts."""
    if all(part.get("type") == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts
