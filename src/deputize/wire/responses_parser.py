"""Replies and streams of OpenAI's responses, read into events.

References:
    OpenAI API reference, "Responses" and "Streaming responses".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deputize.wire.events import (
    Completion,
    Event,
    Failed,
    Finished,
    NotRecorded,
    RefusalDelta,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStart,
    UsageSeen,
    assemble,
)
from deputize.wire.json_fields import decode_answer, integer, text_field, token_count
from deputize.wire.sse import SseFrame
from deputize.wire.stream_errors import failures_in, named_failures


def parse_reply(value: Any) -> Completion:
    """A whole response."""
    return assemble(reply_events(value))


def usage_event(usage: dict[str, Any]) -> UsageSeen:
    """Token counts of a responses `usage` object."""
    prompt, cached, written = token_count(usage.get("input_tokens")), None, None
    details = usage.get("input_tokens_details")
    if isinstance(details, dict):
        cached = token_count(details.get("cached_tokens"))
        written = token_count(details.get("cache_write_tokens"))
    details = usage.get("output_tokens_details")
    reasoning = token_count(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    if prompt is not None and cached is not None and cached > prompt:
        prompt += cached  # a server that counts what its cache gave apart
    return UsageSeen(prompt, token_count(usage.get("output_tokens")), cached, written, reasoning)


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


_CALLS = {"function_call": "arguments", "custom_tool_call": "input"}
"""Kinds of items that are tool calls, and the field with what the tool is given."""
_HELD = frozenset({"message", "reasoning", *_CALLS})
"""Kinds of items that events hold."""


def _call_start(item: dict[str, Any], index: int) -> ToolStart:
    custom = item.get("type") == "custom_tool_call"
    return ToolStart(index, text_field(item, "call_id"), text_field(item, "name"), custom)


def _given(item: dict[str, Any]) -> str:
    """Arguments of a function call item, or input of a freeform tool's."""
    return text_field(item, _CALLS[item["type"]])


def _item_events(item: dict[str, Any], n_tools: int) -> Iterator[Event]:
    """The events of a whole output item.

    Args:
        item: of any kind.
        n_tools: tool calls before it.
    """
    kind = item.get("type")
    if kind == "message":
        yield from _content_events(item.get("content"))
    elif kind in _CALLS:
        yield _call_start(item, n_tools)
        if given := _given(item):
            yield ToolDelta(n_tools, given)
    elif kind == "reasoning":
        for part in item.get("content") or item.get("summary") or []:
            if isinstance(part, dict) and part.get("text"):
                yield ThinkingDelta(str(part["text"]))
    elif kind:
        yield NotRecorded(str(kind))


def _items(output: Any) -> list[dict[str, Any]]:
    return [item for item in (output if isinstance(output, list) else ()) if isinstance(item, dict)]


def _output_events(output: Any) -> Iterator[Event]:
    n_tools = 0
    for item in _items(output):
        yield from _item_events(item, n_tools)
        n_tools += item.get("type") in _CALLS


class ResponsesStreamParser:
    """Reads a responses stream into events. What came in no delta is taken from the item's end, or from the
    response's."""

    def __init__(self) -> None:
        self.ended = False
        self.usage_only = False
        self.passes_more = False
        self._tools: dict[int, int] = {}
        """Output index -> index of the tool call that began last there."""
        self._ids: list[str] = []
        """Ids of the tool calls."""
        self._given: set[int] = set()
        """Indices of tool calls whose arguments have come."""
        self._seen: set[int] = set()
        """Output indices of items of which something has come."""

    def read(self, frame: SseFrame) -> list[Event]:
        """The events of one frame; a frame that cannot be read yields none."""
        if not frame.data:
            return failures_in(frame.raw)
        if frame.data == "[DONE]":
            self.ended = True
            return []
        value = decode_answer(frame.data)
        events = list(self._events(value)) if isinstance(value, dict) else []
        return events or named_failures(frame)

    def _events(self, value: dict[str, Any]) -> Iterator[Event]:
        kind = str(value.get("type") or "")
        index = integer(value.get("output_index")) or 0
        if kind in _DELTAS:
            self._seen.add(index)
            yield _DELTAS[kind](text_field(value, "delta"))
        elif kind in _ARGUMENT_DELTAS:
            if index in self._tools and value.get("delta"):
                self._given.add(self._tools[index])
                yield ToolDelta(self._tools[index], str(value["delta"]))
        elif kind in _ARGUMENTS_DONE:
            yield from self._arguments(self._tools.get(index), text_field(value, _ARGUMENTS_DONE[kind]))
        elif kind in ("response.output_item.added", "response.output_item.done"):
            item = value.get("item")
            if isinstance(item, dict):
                yield from self._item(index, item, done=kind.endswith("done"))
        elif kind == "response.created":
            response = value.get("response")
            if isinstance(response, dict):
                yield Started(text_field(response, "id"), text_field(response, "model"))
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            self.ended = True
            if isinstance(value.get("response"), dict):
                yield from self._end(value["response"])
        elif kind == "error" or (not kind and value.get("error")):
            error = value.get("error")
            inner = error if isinstance(error, dict) else value
            yield Failed(str(inner.get("message") or inner.get("code") or error or "error"))

    def _item(self, index: int, item: dict[str, Any], *, done: bool) -> Iterator[Event]:
        """The events of an item that begins, or of one that has come whole."""
        kind = item.get("type")
        if kind in _CALLS:
            known = self._tools.get(index)
            if known is None or (not done and self._ids[known] != text_field(item, "call_id")):
                known = len(self._ids)
                yield from self._begin(index, item)
            if done:
                yield from self._arguments(known, _given(item))
        elif kind not in _HELD:
            self._seen.add(index)
            yield NotRecorded(str(kind))
        elif done and index not in self._seen:
            self._seen.add(index)
            yield from _item_events(item, len(self._ids))

    def _begin(self, index: int, item: dict[str, Any]) -> Iterator[Event]:
        start = _call_start(item, len(self._ids))
        self._tools[index] = start.index
        self._ids.append(start.id)
        self._seen.add(index)
        yield start

    def _arguments(self, tool: int | None, arguments: str) -> Iterator[Event]:
        """The arguments of a call as a whole, where no piece of them has come."""
        if arguments and tool is not None and tool not in self._given:
            self._given.add(tool)
            yield ToolDelta(tool, arguments)

    def _end(self, response: dict[str, Any]) -> Iterator[Event]:
        items = _items(response.get("output"))
        if not self._seen:  # some servers send the whole and no deltas
            for index, item in enumerate(items):
                yield from self._item(index, item, done=True)
        else:
            calls = [(index, item) for index, item in enumerate(items) if item.get("type") in _CALLS]
            for tool, (index, item) in enumerate(calls):
                if tool >= len(self._ids):
                    yield from self._begin(index, item)
                yield from self._arguments(tool, _given(item))
        yield from _end_events(response, has_tools=bool(self._ids))


_DELTAS: dict[str, type[TextDelta] | type[RefusalDelta] | type[ThinkingDelta]] = {
    "response.output_text.delta": TextDelta,
    "response.refusal.delta": RefusalDelta,
    "response.reasoning_text.delta": ThinkingDelta,
    "response.reasoning_summary_text.delta": ThinkingDelta,
}
_ARGUMENT_DELTAS = frozenset(
    {"response.function_call_arguments.delta", "response.custom_tool_call_input.delta"}
)
_ARGUMENTS_DONE = {
    "response.function_call_arguments.done": "arguments",
    "response.custom_tool_call_input.done": "input",
}


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
