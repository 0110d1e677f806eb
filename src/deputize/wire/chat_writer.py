"""Replies and streams in the form of OpenAI's chat completions, written from events.

References:
    OpenAI API reference, "Chat completions" and "Streaming".
"""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.wire.chat_request import wants_usage
from deputize.wire.dialect import ReplyHead
from deputize.wire.events import (
    FINISH_REASONS,
    Completion,
    Event,
    Failed,
    Finished,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStart,
    UsageSeen,
    tool_call,
)
from deputize.wire.sse import DONE, encode_data

_encode = msgspec.json.Encoder().encode


def finish_reason(reason: str) -> str:
    """`reason` where clients know it; anything else counts as stop."""
    return reason if reason in FINISH_REASONS else "stop"


def _usage(counts: UsageSeen) -> dict[str, Any]:
    prompt, completion = counts.prompt_tokens or 0, counts.completion_tokens or 0
    out: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
    }
    if counts.cached_tokens is not None:
        out["prompt_tokens_details"] = {"cached_tokens": counts.cached_tokens}
        if counts.cache_write_tokens is not None:
            out["prompt_tokens_details"]["cache_write_tokens"] = counts.cache_write_tokens
    if counts.reasoning_tokens is not None:
        out["completion_tokens_details"] = {"reasoning_tokens": counts.reasoning_tokens}
    return out


def encode_reply(reply: Completion, head: ReplyHead) -> bytes:
    """A whole chat completion."""
    message = {"role": "assistant", "content": None, "refusal": None, **reply.message}
    message.pop("reasoning_signature", None)
    message.pop("not_recorded", None)
    return _encode(
        {
            "id": head.id,
            "object": "chat.completion",
            "created": head.created,
            "model": head.model,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": finish_reason(reply.reason),
                }
            ],
            "usage": _usage(reply.counts),
        }
    )


class ChatStreamWriter:
    """Writes events as the frames of a chat stream: one id, the role first, an index in every tool fragment."""

    def __init__(self, head: ReplyHead) -> None:
        self._head = {
            "id": head.id,
            "object": "chat.completion.chunk",
            "created": head.created,
            "model": head.model,
        }
        self._include_usage = wants_usage(head.fields)
        self._usage = UsageSeen()
        self._custom: set[int] = set()
        """Indices of calls of freeform tools."""
        self._role_sent = False
        self._finished = False

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        chunk: dict[str, Any] = {**self._head, "choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return encode_data(_encode(chunk))

    def _role(self) -> bytes:
        if self._role_sent:
            return b""
        self._role_sent = True
        return self._chunk({"role": "assistant", "content": ""})

    def write(self, event: Event) -> bytes:
        """The frames for one event; b"" where the protocol has none for it."""
        if isinstance(event, UsageSeen):
            self._usage = self._usage.updated(event)
            return b""
        if isinstance(event, Failed):
            return error_frame(502, event.message, event.kind, None)
        role = self._role()
        if isinstance(event, TextDelta):
            return role + self._chunk({"content": event.text})
        if isinstance(event, ThinkingDelta):
            return role + self._chunk({"reasoning_content": event.text})
        if isinstance(event, RefusalDelta):
            return role + self._chunk({"refusal": event.text})
        if isinstance(event, ToolStart):
            if event.custom:
                self._custom.add(event.index)
            return role + self._chunk({"tool_calls": [{"index": event.index, **tool_call(event, "")}]})
        if isinstance(event, ToolDelta):
            kind, field = ("custom", "input") if event.index in self._custom else ("function", "arguments")
            return role + self._chunk(
                {"tool_calls": [{"index": event.index, kind: {field: event.arguments}}]}
            )
        if isinstance(event, Finished):
            self._finished = True
            return role + self._chunk({}, finish_reason(event.reason))
        return role

    def end(self) -> bytes:
        """The usage chunk where it was asked for, then [DONE]; b"" after a failure."""
        if not self._finished:
            return b""
        tail = b""
        if self._include_usage:
            tail = encode_data(_encode({**self._head, "choices": [], "usage": _usage(self._usage)}))
        return tail + DONE


def error_body(status: int, message: str, kind: str, code: str | None) -> bytes:
    """An error in OpenAI's form."""
    return _encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def error_frame(status: int, message: str, kind: str, code: str | None) -> bytes:
    """An error inside a stream that has begun; the stream is closed after it."""
    return encode_data(error_body(status, message, kind, code))
