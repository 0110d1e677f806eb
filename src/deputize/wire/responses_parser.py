"""Replies and streams of OpenAI's responses, read into events.

References:
    OpenAI API reference, "Responses" and "Streaming responses".
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
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStart,
    UsageSeen,
    assemble,
)
from deputize.wire.json_fields import integer, text_field
from deputize.wire.sse import SseFrame

_decode = msgspec.json.Decoder().decode


def parse_reply(value: Any) -> Completion:
    """A whole response."""
    return assemble(reply_events(value))


def usage_event(usage: dict[str, Any]) -> UsageSeen:
    """Token counts of a responses `usage` object."""
    details = usage.get("input_tokens_details")
    cached = integer(details.get("cached_tokens")) if isinstance(details, dict) else None
    return UsageSeen(integer(usage.get("input_tokens")), integer(usage.get("output_tokens")), cached)


def _end_events(response: dict[str, Any], *, has_tools: bool) -> Iterator[Event]:
    """Usage and the way a response ended."""
    if isinstance(response.get("usage"), dict):
        yield usage_event(response["usage"])
    status = response.get("status")
    if status == "failed":
        error = response.get("error")
        yield Failed(str(error.get("message") or error.get("code")) if isinstance(error, dict) else "failed")
    elif status == "incomplete":
        details = response.get("incomplete_details")
        why = details.get("reason") if isinstance(details, dict) else ""
        yield Finished("content_filter" if why == "content_filter" else "length")
    elif status == "cancelled":
        yield Failed("The response was cancelled.")
    elif status in (None, "completed"):
        yield Finished("tool_calls" if has_tools else "stop")


def _content_events(content: Any) -> Iterator[Event]:
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and part.get("type") == "output_text":
            yield TextDelta(text_field(part, "text"))
        elif isinstance(part, dict) and part.get("type") == "refusal":
            yield RefusalDelta(text_field(part, "refusal"))


def _output_events(output: Any) -> Iterator[Event]:
    n_tools = 0
    for item in output if isinstance(output, list) else ():
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if kind == "message":
            yield from _content_events(item.get("content"))
        elif kind == "function_call":
            yield ToolStart(n_tools, text_field(item, "call_id"), text_field(item, "name"))
            if item.get("arguments"):
                yield ToolDelta(n_tools, str(item["arguments"]))
            n_tools += 1
        elif kind == "reasoning":
            for part in item.get("content") or item.get("summary") or []:
                if isinstance(part, dict) and part.get("text"):
                    yield ThinkingDelta(str(part["text"]))


class ResponsesStreamParser:
    """Reads a responses stream into events."""

    def __init__(self) -> None:
        self.ended = False
        self.usage_only = False
        self._tools: dict[int, int] = {}
        """Output index -> tool call index."""
        self._with_deltas: set[int] = set()
        self._any_output = False

    def read(self, frame: SseFrame) -> list[Event]:
        """The events of one frame; a frame that cannot be read yields none."""
        if not frame.data or frame.data == "[DONE]":
            self.ended = self.ended or frame.data == "[DONE]"
            return []
        try:
            value = _decode(frame.data)
        except (msgspec.DecodeError, RecursionError):
            return []
        return list(self._events(value)) if isinstance(value, dict) else []

    def _events(self, value: dict[str, Any]) -> Iterator[Event]:
        kind = value.get("type")
        index = integer(value.get("output_index")) or 0
        if kind == "response.output_text.delta":
            self._any_output = True
            yield TextDelta(text_field(value, "delta"))
        elif kind == "response.function_call_arguments.delta":
            if index in self._tools and value.get("delta"):
                self._with_deltas.add(index)
                yield ToolDelta(self._tools[index], str(value["delta"]))
        elif kind == "response.function_call_arguments.done":
            if index in self._tools and index not in self._with_deltas and value.get("arguments"):
                self._with_deltas.add(index)
                yield ToolDelta(self._tools[index], str(value["arguments"]))
        elif kind == "response.output_item.added":
            item = value.get("item")
            if isinstance(item, dict) and item.get("type") == "function_call":
                self._any_output = True
                self._tools[index] = len(self._tools)
                yield ToolStart(self._tools[index], text_field(item, "call_id"), text_field(item, "name"))
        elif kind == "response.refusal.delta":
            self._any_output = True
            yield RefusalDelta(text_field(value, "delta"))
        elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
            self._any_output = True
            yield ThinkingDelta(text_field(value, "delta"))
        elif kind == "response.created":
            response = value.get("response")
            if isinstance(response, dict):
                yield Started(text_field(response, "id"), text_field(response, "model"))
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self.ended = True
            if isinstance(value.get("response"), dict):
                yield from self._end(value["response"])
        elif kind == "error":
            yield Failed(str(value.get("message") or value.get("code") or "error"))

    def _end(self, response: dict[str, Any]) -> Iterator[Event]:
        output = response.get("output")
        if not self._any_output:  # some servers send the whole and no deltas
            yield from _output_events(output)
        items = output if isinstance(output, list) else ()
        has_tools = bool(self._tools) or any(
            isinstance(i, dict) and i.get("type") == "function_call" for i in items
        )
        yield from _end_events(response, has_tools=has_tools)


def reply_events(value: Any) -> list[Event]:
    """The events of a whole response."""
    if not isinstance(value, dict):
        return [Failed("The upstream's answer is not a JSON object.")]
    error = value.get("error")
    if error and value.get("object") != "response":
        return [Failed(str(error.get("message")) if isinstance(error, dict) else str(error))]
    events: list[Event] = [Started(text_field(value, "id"), text_field(value, "model"))]
    events.extend(_output_events(value.get("output")))
    has_tools = any(isinstance(e, ToolStart) for e in events)
    events.extend(_end_events(value, has_tools=has_tools))
    return events
