"""Replies as logs keep them: objects of any protocol, messages, texts, JSON as text, and recorded streams."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

from deputize.core.errors import BadInput
from deputize.core.records import Message, Usage
from deputize.stages.collect.importers.base import Unreadable
from deputize.stages.collect.importers.embedded_json import as_text, structured
from deputize.stages.collect.importers.message_formats import chat_messages, is_plain_message
from deputize.stages.collect.importers.side_fields import number, status_of_error, usage_of
from deputize.wire import converse_body, gemini_body, messages_parser, responses_parser, typed_decisions
from deputize.wire.events import Completion
from deputize.wire.json_fields import mapping
from deputize.wire.recorded_reply import RecordedReply, is_stream_text, reply_of_chunks, reply_of_text

_MODEL_TEXT = (
    "text",
    "output_text",
    "generated_text",
    "generation",
    "completion",
    "answer",
    "outputText",
    "response",
    "content",
)
_PLAIN = frozenset({"role", "content", "tool_calls", "refusal"})
_REPRS = re.compile(
    r"\[?[A-Z]\w*\((?:id|content|role|choices|text|message|candidates|type|name|model)=|<[\w.]+ object at 0x|"
    r"content='.*' (?:additional_kwargs|response_metadata|id|usage_metadata)=|"
    r"\[?\{'(?:id|choices|candidates|object|model)':",
    re.DOTALL,
)
"""Objects as Python prints them."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The part of a call that came back."""

    message: Message
    """{} where the call failed."""
    model: str = ""
    finish_reason: str = ""
    usage: Usage | None = None
    id: str = ""
    created: Any = None
    logprobs: Any = None
    cost_usd: float | None = None
    latency_ms: float | None = None
    is_whole: bool = True
    """False where a recorded stream was cut off."""
    error_status: int = 0
    """The HTTP status where the reply is an error, else 0."""
    others: list[Message] = field(default_factory=list)
    """Further choices for the same prompt."""


def read_reply(raw: Any) -> Reply:
    """The reply in any form.

    Raises:
        Unreadable: it holds no reply that can be read.
    """
    if isinstance(raw, str):
        return _of_text(raw)
    if isinstance(raw, list):
        return _of_list(raw)
    if not isinstance(raw, dict):
        raise Unreadable("the response is not an object")
    return _of_object(raw)


def read_decisions(raw: Any) -> Reply | None:
    """The reply to a request for typed decisions; None where it holds no answers.

    To any other request an object with answers may be the text of a reply, so `read_reply` does not look for them.
    """
    value = structured(raw)
    if not isinstance(value, dict) or not isinstance(value.get("answers"), dict | list):
        return None
    return _of_completion(typed_decisions.parse_reply(value), value)


def _of_text(text: str) -> Reply:
    if is_stream_text(text):
        found = reply_of_text(text)
        if found is None:
            raise Unreadable("the response is a stream of an unknown protocol")
        begun = _CREATED.search(text)
        return _of_stream(found, begun[1] if begun else None)
    if _REPRS.match(text):
        raise Unreadable("the response is Python's print of an object, not its content")
    value = structured(text)
    if isinstance(value, dict) and _is_reply_object(value):
        return _of_object(value)
    if (
        isinstance(value, list)
        and value
        and all(isinstance(v, dict) for v in value)
        and _is_reply_list(value)
    ):
        return _of_list(value)
    return Reply({"role": "assistant", "content": text})


def _is_reply_object(value: dict[str, Any]) -> bool:
    """Check whether an object in a text is a whole reply, and not an answer that happens to be JSON."""
    if isinstance(value.get("choices"), list) or isinstance(value.get("candidates"), list):
        return True
    if value.get("type") == "message" and isinstance(value.get("content"), list):
        return True
    if value.get("object") in ("response", "chat.completion", "text_completion"):
        return True
    if value.get("role") in ("assistant", "model", "ai") and value.keys() & {
        "content",
        "tool_calls",
        "parts",
    }:
        return True
    return value.get("type") == "error" and isinstance(value.get("error"), dict)


def _is_reply_list(value: list[dict[str, Any]]) -> bool:
    kinds = {v.get("type") for v in value}
    return (
        all(v.get("role") in ("assistant", "model") for v in value)
        or kinds <= {"text", "tool_use", "tool_call", "thinking", "function_call", "reasoning", "message"}
        or any(
            isinstance(v.get("delta"), dict) or v.get("object") == "chat.completion.chunk" or "choices" in v
            for v in value
        )
        or all("message" in v and "index" in v for v in value)
    )


def _of_stream(found: RecordedReply, created: Any = None) -> Reply:
    if found.error:
        return Reply({}, error_status=status_of_error(found.error), is_whole=False)
    return replace(_of_completion(found.completion, is_whole=found.is_whole), created=created)


def _of_completion(done: Completion, raw: Any = None, *, is_whole: bool = True) -> Reply:
    usage = usage_of(raw.get("usage")) if isinstance(raw, dict) else None
    usage = usage or done.usage
    created = (raw.get("created_at") or raw.get("createTime")) if isinstance(raw, dict) else None
    return Reply(done.message, done.model, done.finish_reason, usage, done.id, created, is_whole=is_whole)


def _of_list(raw: list[Any]) -> Reply:
    if not raw:
        return Reply({"role": "assistant", "content": ""})
    items = [structured(item) for item in raw]
    first = items[0]
    if all(isinstance(item, dict) for item in items):
        if "message" in first and "delta" not in first and ("index" in first or "finish_reason" in first):
            return _of_object({"choices": items})
        if all(item.get("type") in ("text", "tool_use", "thinking", "redacted_thinking") for item in items):
            return _of_object({"type": "message", "role": "assistant", "content": items})
        if all(item.get("type") in ("tool_call", "text", "thought", "raw_text") for item in items):
            return _of_message({"role": "assistant", "content": items})
        if all(item.get("type") in ("message", "function_call", "reasoning") for item in items):
            return _of_object({"object": "response", "output": items, "status": "completed"})
        if isinstance(first.get("role"), str):
            last = [m for item in items for m in chat_messages(item)]
            return _of_message(last[-1])
        if isinstance(first.get("generation_info"), dict) or ("text" in first and "message" in first):
            return _of_message(first["message"])
    found = reply_of_chunks(items)
    if found is not None:
        return _of_stream(found, _created(items))
    if len(items) == 1:
        return read_reply(items[0])
    if all(isinstance(item, str) for item in items):
        return Reply(
            {"role": "assistant", "content": items[0]},
            others=[{"role": "assistant", "content": i} for i in items[1:]],
        )
    raise Unreadable("the response is a list of no known form")


def _of_object(raw: dict[str, Any]) -> Reply:
    is_said = bool(raw.get("content") or raw.get("tool_calls"))
    if is_said and raw.get("role") == "assistant" and raw.keys() <= _PLAIN and is_plain_message(raw):
        return Reply(raw)  # the form that most logs have
    if "choices" in raw:
        return _of_chat(raw)
    try:
        if "candidates" in raw or "usageMetadata" in raw:
            return _of_completion(gemini_body.parse_reply(raw), raw)
        if isinstance(mapping(raw.get("output")), dict) and isinstance(raw["output"].get("message"), dict):
            return _of_completion(converse_body.parse_reply(raw), raw)
    except BadInput:
        raise Unreadable("the response holds no choice with a message") from None
    if raw.get("type") == "error" or (
        raw.get("error") and not raw.keys() & {"content", "output", "message", "text"}
    ):
        return Reply({}, error_status=status_of_error(raw.get("error") or raw))
    if (raw.get("type") == "message" and isinstance(raw.get("content"), list)) or (
        "stop_reason" in raw and "content" in raw
    ):
        return _of_completion(messages_parser.parse_reply(raw), raw)
    output = structured(raw.get("output"))
    if raw.get("object") == "response" or (
        isinstance(output, list) and output and all(isinstance(o, dict) for o in output)
    ):
        return _of_response({**raw, "output": output})
    if isinstance(raw.get("message"), dict) and "role" not in raw:  # Ollama, and messages in an envelope
        return _in_envelope(raw, raw["message"])
    for several in ("results", "outputs"):  # Titan, Mistral on Bedrock
        held = raw.get(several)
        if isinstance(held, list) and held and isinstance(held[0], dict):
            return _of_object(held[0])
    if "value" in raw and raw.keys() <= {"type", "value"}:
        return read_reply(raw["value"])
    return _of_message(raw)


def _in_envelope(raw: dict[str, Any], message: dict[str, Any]) -> Reply:
    reply = _of_message({"role": "assistant", **message})
    reason = raw.get("finish_reason") or raw.get("done_reason")
    model = raw.get("model")
    return Reply(
        reply.message,
        model if isinstance(model, str) else "",
        reason if isinstance(reason, str) else "",
        usage_of(raw.get("usage")) or usage_of(raw) or reply.usage,
        created=raw.get("created_at") or raw.get("created"),
        latency_ms=round(taken / 1e6, 3) if (taken := number(raw.get("total_duration"))) else None,  # Ollama
    )


def _of_chat(raw: dict[str, Any]) -> Reply:
    choices = structured(raw["choices"])
    choices = [c for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
    if (
        choices
        and isinstance(choices[0].get("delta"), dict)
        and not isinstance(choices[0].get("message"), dict)
    ):
        found = reply_of_chunks([raw])
        if found is not None:
            return _of_stream(found)
    messages = [m for choice in choices if (m := _choice_message(choice)) is not None]
    if not messages:
        if raw.get("error"):
            return Reply({}, error_status=status_of_error(raw["error"]))
        raise Unreadable("the response holds no choice with a message")
    reply = _of_message(messages[0])
    reason, model = choices[0].get("finish_reason"), raw.get("model")
    return Reply(
        reply.message,
        model if isinstance(model, str) else "",
        reason if isinstance(reason, str) else "",
        usage_of(raw.get("usage") or raw.get("usage_metadata")),
        as_text(raw.get("id")) if isinstance(raw.get("id"), str) else "",
        raw.get("created"),
        choices[0].get("logprobs"),
        number(usage.get("cost")) if (usage := mapping(raw.get("usage"))) is not None else None,  # OpenRouter
        others=[_of_message(m).message for m in messages[1:]],
    )


def _choice_message(choice: dict[str, Any]) -> dict[str, Any] | None:
    message = structured(choice.get("message"))
    if isinstance(message, dict):
        return {"role": "assistant", **message}
    return {"role": "assistant", "content": choice["text"]} if isinstance(choice.get("text"), str) else None


def _of_response(raw: dict[str, Any]) -> Reply:
    if raw.get("status") in ("failed", "cancelled") or (raw.get("error") and not raw.get("output")):
        return Reply({}, error_status=status_of_error(raw.get("error")))
    items = raw.get("output")
    if (
        isinstance(items, list)
        and items
        and all(isinstance(i, dict) and "type" not in i and "role" in i for i in items)
    ):
        return _in_envelope({k: v for k, v in raw.items() if k != "output"}, items[-1])
    done = responses_parser.parse_reply(raw)
    if (
        not done.message.get("tool_calls")
        and not done.message.get("content")
        and not done.message.get("refusal")
    ):
        text = raw.get("output_text")
        if isinstance(text, str) and text:
            return Reply(
                {"role": "assistant", "content": text},
                done.model,
                done.finish_reason,
                usage_of(raw.get("usage")),
                done.id,
            )
        if isinstance(items, list) and not items:
            raise Unreadable("the response has neither content nor tool calls")
    return _of_completion(done, raw)


def _of_message(raw: dict[str, Any]) -> Reply:
    """The reply that is an assistant's message, or an object with its text under one of the usual names."""
    message = raw
    if not raw.keys() & {
        "role",
        "kwargs",
        "content",
        "tool_calls",
        "parts",
        "refusal",
        "function_call",
        "blocks",
        "toolCalls",
    } or (
        not any(
            raw.get(k) is not None
            for k in (
                "content",
                "tool_calls",
                "parts",
                "refusal",
                "function_call",
                "kwargs",
                "blocks",
                "toolCalls",
            )
        )
        and any(isinstance(raw.get(k), str) for k in _MODEL_TEXT)
    ):
        text = next((raw[k] for k in _MODEL_TEXT if isinstance(raw.get(k), str)), None)
        if text is None:
            raise Unreadable("the response has neither content nor tool calls")
        reason = raw.get("finish_reason") or raw.get("stop_reason") or raw.get("completionReason")
        return Reply(
            {"role": "assistant", "content": text},
            finish_reason=reason if isinstance(reason, str) else "",
            usage=usage_of(raw) or usage_of(mapping(raw.get("meta"))),
        )
    found = chat_messages({"role": "assistant", **message})
    if len(found) != 1 or found[0].get("role") != "assistant":
        raise Unreadable("the response is not an assistant message")
    done = found[0]
    if "content" not in done and not done.get("tool_calls") and not done.get("refusal"):
        raise Unreadable("the response has neither content nor tool calls")
    if (
        "content" not in raw
        and not done.get("tool_calls")
        and not done.get("refusal")
        and not done.get("content")
    ):
        raise Unreadable("the response has neither content nor tool calls")
    if isinstance(content := done.get("content"), list) and all(p.get("type") == "text" for p in content):
        done = {**done, "content": "".join(part["text"] for part in content)}
    inner = mapping(raw.get("kwargs")) or raw
    about = mapping(inner.get("response_metadata")) or {}
    model = _word(raw.get("model"), about.get("model_name"), about.get("model"))
    reason = _word(raw.get("finish_reason"), about.get("finish_reason"))
    counts = (raw.get("usage"), inner.get("usage_metadata"), about.get("token_usage"), about.get("usage"))
    return Reply(done, model, reason, next((u for c in counts if (u := usage_of(c)) is not None), None))


def _word(*values: Any) -> str:
    """The first text that is not empty."""
    return next((value for value in values if isinstance(value, str) and value), "")


_CREATED = re.compile(r'"created(?:_at)?" ?: ?(\d{9,10})\b')


def _created(chunks: list[Any]) -> Any:
    """The time of the first chunk that has one."""
    for chunk in chunks[:3]:
        held = chunk if isinstance(chunk, dict) else {}
        inner = mapping(held.get("response")) or {}
        found = held.get("created") or inner.get("created_at") or held.get("createTime")
        if found:
            return found
    return None
