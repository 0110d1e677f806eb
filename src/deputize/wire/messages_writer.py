"""Replies and streams in the form of Anthropic's messages, written from events.

References:
    Anthropic API reference, "Messages", "Streaming messages" and "Errors".
"""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.wire.dialect import ReplyHead
from deputize.wire.events import (
    Completion,
    Event,
    Failed,
    Finished,
    RefusalDelta,
    Signature,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStart,
    UsageSeen,
)
from deputize.wire.messages_request import content_blocks, estimate_tokens, thinking_block, tool_use_block
from deputize.wire.sse import encode_event
from deputize.wire.tool_order import ToolCallOrder

_encode = msgspec.json.Encoder().encode

_FROM_CHAT_REASON = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_ERROR_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def stop_reason(reason: str, *, has_tools: bool) -> str:
    """A chat finish reason as a stop reason; a reply with tool calls stopped for them, whatever its server said."""
    if has_tools and reason in ("stop", "tool_calls", "function_call", ""):
        return "tool_use"
    return _FROM_CHAT_REASON.get(reason, "end_turn")


def _usage(counts: UsageSeen) -> dict[str, Any]:
    prompt, read, written = counts.prompt_tokens or 0, counts.cached_tokens, counts.cache_write_tokens
    fresh = max(0, prompt - (read or 0) - (written or 0))
    out = {"input_tokens": fresh, "output_tokens": counts.completion_tokens or 0}
    if read is not None:
        out["cache_read_input_tokens"] = read
    if written is not None:
        out["cache_creation_input_tokens"] = written
    return out


def encode_reply(reply: Completion, head: ReplyHead) -> bytes:
    """A whole message."""
    message = reply.message
    content: list[dict[str, Any]] = []
    if message.get("reasoning_content"):
        content.append(thinking_block(message))
    blocks = content_blocks(message.get("content"))
    text = "".join(str(b.get("text", "")) for b in blocks) or message.get("refusal")
    if text:
        content.append({"type": "text", "text": text})
    calls = message.get("tool_calls") or []
    content += [tool_use_block(call) for call in calls]
    return _encode(
        {
            "id": head.id,
            "type": "message",
            "role": "assistant",
            "model": head.model,
            "content": content,
            "stop_reason": stop_reason(reply.reason, has_tools=bool(calls)),
            "stop_sequence": None,
            "usage": _usage(reply.counts),
        }
    )


class MessagesStreamWriter:
    """Writes events as the frames of a messages stream: one message_start, blocks one after the other."""

    def __init__(self, head: ReplyHead) -> None:
        self._head = head
        self._order = ToolCallOrder()
        self._started = False
        self._open = ""
        """Kind of the open block: text, thinking, tool:<index>, or "" for none."""
        self._n_blocks = 0
        self._n_tools = 0
        self._usage = UsageSeen()
        self._estimate: int | None = None
        """Tokens of the prompt, where no server has counted them."""
        self._reason = ""
        self._failed = False

    def _fail(self, message: str) -> bytes:
        self._failed = True
        return error_frame(502, message, "upstream_error", None)

    def write(self, event: Event) -> bytes:
        """The frames for one event; b"" where the protocol has none for it, and after a failure."""
        return b"".join([self._write(ordered) for ordered in self._order.order(event)])

    def _write(self, event: Event) -> bytes:
        if isinstance(event, UsageSeen):
            self._usage = self._usage.updated(event)
            return b""
        if self._failed:
            return b""
        if isinstance(event, Failed):
            return self._fail(event.message)
        if isinstance(event, Finished):
            self._reason = event.reason
            return self._begin()
        out = self._begin()
        if isinstance(event, TextDelta | RefusalDelta):
            out += self._block("text", {"type": "text", "text": ""})
            return out + self._delta({"type": "text_delta", "text": event.text})
        if isinstance(event, ThinkingDelta):
            out += self._block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            return out + self._delta({"type": "thinking_delta", "thinking": event.text})
        if isinstance(event, Signature):
            out += self._block("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            return out + self._delta({"type": "signature_delta", "signature": event.signature})
        if isinstance(event, ToolStart):
            self._n_tools += 1
            block = {"type": "tool_use", "id": event.id, "name": event.name, "input": {}}
            return out + self._block(f"tool:{event.index}", block)
        if isinstance(event, ToolDelta):
            return out + self._delta({"type": "input_json_delta", "partial_json": event.arguments})
        return out

    def _begin(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        message: dict[str, Any] = {
            "id": self._head.id,
            "type": "message",
            "role": "assistant",
            "model": self._head.model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(self._counts().updated(UsageSeen(completion_tokens=0))),
        }
        return _frame("message_start", {"message": message})

    def _counts(self) -> UsageSeen:
        """The counts so far; clients read the size of their context from the start of a stream, where most servers have
        not counted yet, so it is estimated there."""
        if self._usage.prompt_tokens is not None:
            return self._usage
        if self._estimate is None:
            self._estimate = estimate_tokens(self._head.fields)
        return self._usage.updated(UsageSeen(self._estimate))

    def _block(self, kind: str, block: dict[str, Any]) -> bytes:
        if self._open == kind:
            return b""
        closed = self._close()
        self._open = kind
        return closed + _frame("content_block_start", {"index": self._n_blocks, "content_block": block})

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return _frame("content_block_delta", {"index": self._n_blocks, "delta": delta})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        self._n_blocks += 1
        return _frame("content_block_stop", {"index": self._n_blocks - 1})

    def end(self) -> bytes:
        """The frames that close the stream; b"" after a failure."""
        if self._failed or not self._reason:
            return b""
        delta = {"stop_reason": stop_reason(self._reason, has_tools=self._n_tools > 0), "stop_sequence": None}
        return (
            self._close()
            + _frame("message_delta", {"delta": delta, "usage": _usage(self._counts())})
            + _frame("message_stop", {})
        )


def _frame(kind: str, body: dict[str, Any]) -> bytes:
    return encode_event(kind, _encode({"type": kind, **body}))


def error_body(status: int, message: str, kind: str, code: str | None) -> bytes:
    """An error in Anthropic's form, which has a kind for each status and no code."""
    own_kind = _ERROR_KINDS.get(status, "api_error")
    return _encode({"type": "error", "error": {"type": own_kind, "message": message}})


def error_frame(status: int, message: str, kind: str, code: str | None) -> bytes:
    """An error inside a stream that has begun."""
    return encode_event("error", error_body(status, message, kind, code))
