"""Replies and streams of Anthropic's messages, read into events.

References:
    Anthropic API reference, "Messages" and "Streaming messages".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from deputize.wire.events import (
    Completion,
    Event,
    Failed,
    Finished,
    NotRecorded,
    Signature,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStart,
    UsageSeen,
    assemble,
)
from deputize.wire.json_fields import decode_answer, integer, text_field, token_count
from deputize.wire.messages_request import content_blocks
from deputize.wire.sse import SseFrame
from deputize.wire.stream_errors import error_sentence, failures_in, named_failures

_encode = msgspec.json.Encoder().encode

_TO_CHAT_REASON = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def parse_reply(value: Any) -> Completion:
    """A whole message."""
    return assemble(reply_events(value))


_COUNTS = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "output_tokens")


def usage_event(usage: dict[str, Any]) -> UsageSeen:
    """Token counts of a messages `usage` object; cached tokens count as prompt tokens, as they do elsewhere."""
    fresh, read, written, output = (token_count(usage.get(name)) for name in _COUNTS)
    known = fresh is not None or read or written
    prompt = (fresh or 0) + (read or 0) + (written or 0) if known else None
    return UsageSeen(prompt, output, read, written)


def merged_usage(earlier: dict[str, Any], later: dict[str, Any]) -> dict[str, Any]:
    """The counts of a stream's start with those of its end.

    Servers differ in what the end repeats: nothing, all of it, the fresh tokens alone, the cached ones alone, or zeros.
    An end with fresh and cached tokens stands for itself; else each count is the greater one.
    """
    cached = any(token_count(later.get(name)) for name in _COUNTS[1:3])
    if token_count(later.get("input_tokens")) is not None and cached:
        before, after = usage_event(earlier), usage_event(later)
        if (after.prompt_tokens or 0) >= (before.prompt_tokens or 0):
            return {
                **later,
                "output_tokens": max(
                    token_count(earlier.get("output_tokens")) or 0, after.completion_tokens or 0
                ),
            }
    out = dict(earlier)
    for name in _COUNTS:
        value = token_count(later.get(name))
        if value is not None:
            out[name] = max(value, token_count(earlier.get(name)) or 0)
    return out


def chat_reason(stop_reason: str) -> str:
    """A stop reason as a chat finish reason."""
    return _TO_CHAT_REASON.get(stop_reason, "stop")


_HELD = ("text", "thinking", "redacted_thinking", "tool_use")
"""Kinds of content blocks that events hold; of redacted thinking there is nothing to hold."""


class MessagesStreamParser:
    """Reads a messages stream into events."""

    def __init__(self) -> None:
        self.ended = False
        self.usage_only = False
        self._tools: dict[int, int] = {}
        """Content block index -> tool call index."""
        self._inputs: dict[int, str] = {}
        """Arguments that came with a block's start, kept until the block ends without deltas."""
        self._usage: dict[str, Any] = {}
        self.passes_more = False

    def read(self, frame: SseFrame) -> list[Event]:
        """The events of one frame; a frame that cannot be read yields none."""
        if not frame.data:
            return failures_in(frame.raw)
        value = decode_answer(frame.data)
        events = list(self._events(value)) if isinstance(value, dict) else []
        return events or named_failures(frame)

    def _events(self, value: dict[str, Any]) -> Iterator[Event]:
        kind = value.get("type")
        index = integer(value.get("index")) or 0
        if kind == "content_block_delta":
            yield from self._delta(index, value.get("delta"))
        elif kind == "content_block_start":
            yield from self._start(index, value.get("content_block"))
        elif kind == "content_block_stop":
            left = self._inputs.pop(index, "")
            if left:
                yield ToolDelta(self._tools[index], left)
        elif kind == "message_start":
            message = value.get("message")
            if isinstance(message, dict):
                yield Started(text_field(message, "id"), text_field(message, "model"))
                if isinstance(message.get("usage"), dict):
                    yield self._counted(message["usage"])
        elif kind == "message_delta":
            if isinstance(value.get("usage"), dict):
                yield self._counted(value["usage"])
            delta = value.get("delta")
            if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
                yield Finished(chat_reason(delta["stop_reason"]))
        elif kind == "message_stop":
            self.ended = True
        elif kind == "error" or (kind is None and value.get("error")):
            yield Failed(error_sentence(value))

    def _counted(self, usage: dict[str, Any]) -> UsageSeen:
        self._usage = merged_usage(self._usage, usage) if self._usage else usage
        return usage_event(self._usage)

    def _start(self, index: int, block: Any) -> Iterator[Event]:
        if not isinstance(block, dict):
            return
        kind = block.get("type")
        if kind == "tool_use":
            self._tools[index] = len(self._tools)
            yield ToolStart(self._tools[index], text_field(block, "id"), text_field(block, "name"))
            if block.get("input"):
                self._inputs[index] = _encode(block["input"]).decode()
        elif kind == "text" and block.get("text"):
            yield TextDelta(str(block["text"]))
        elif kind == "thinking":
            if block.get("thinking"):
                yield ThinkingDelta(str(block["thinking"]))
            if block.get("signature"):
                yield Signature(str(block["signature"]))
        elif kind not in _HELD:
            yield NotRecorded(str(kind))

    def _delta(self, index: int, delta: Any) -> Iterator[Event]:
        if not isinstance(delta, dict):
            return
        kind = delta.get("type")
        if kind == "text_delta":
            yield TextDelta(text_field(delta, "text"))
        elif kind == "input_json_delta" and index in self._tools:
            if delta.get("partial_json"):
                self._inputs.pop(index, None)
                yield ToolDelta(self._tools[index], str(delta["partial_json"]))
        elif kind == "thinking_delta":
            yield ThinkingDelta(text_field(delta, "thinking"))
        elif kind == "signature_delta":
            yield Signature(text_field(delta, "signature"))


def reply_events(value: Any) -> list[Event]:
    """The events of a whole message."""
    if not isinstance(value, dict):
        return [Failed("The upstream's answer is not a JSON object.")]
    if value.get("type") == "error" or ("content" not in value and value.get("error")):
        return [Failed(error_sentence(value))]
    events: list[Event] = [Started(text_field(value, "id"), text_field(value, "model"))]
    n_tools = 0
    for block in content_blocks(value.get("content")):
        kind = block.get("type")
        if kind == "text":
            events.append(TextDelta(text_field(block, "text")))
        elif kind == "thinking":
            events.append(ThinkingDelta(text_field(block, "thinking")))
            if block.get("signature"):
                events.append(Signature(str(block["signature"])))
        elif kind == "tool_use":
            events.append(ToolStart(n_tools, text_field(block, "id"), text_field(block, "name")))
            events.append(ToolDelta(n_tools, _encode(block.get("input") or {}).decode()))
            n_tools += 1
        elif kind not in _HELD:
            events.append(NotRecorded(str(kind)))
    if isinstance(value.get("usage"), dict):
        events.append(usage_event(value["usage"]))
    if isinstance(value.get("stop_reason"), str):
        events.append(Finished(chat_reason(value["stop_reason"])))
    return events
