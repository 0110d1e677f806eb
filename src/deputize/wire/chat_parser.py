"""Replies and streams of OpenAI's chat completions, read into events.

References:
    OpenAI API reference, "Chat completions" and "Streaming".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from deputize.core.records import Message, Usage
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
from deputize.wire.json_fields import integer
from deputize.wire.sse import SseFrame

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def usage_event(usage: dict[str, Any]) -> UsageSeen:
    """Token counts of a chat `usage` object."""
    details = usage.get("prompt_tokens_details")
    return UsageSeen(
        integer(usage.get("prompt_tokens")),
        integer(usage.get("completion_tokens")),
        integer(details.get("cached_tokens")) if isinstance(details, dict) else None,
    )


def _error_text(error: Any) -> str:
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or "error")
    return str(error)


def _tool_events(calls: Any, seen: set[int]) -> Iterator[Event]:
    for call in calls if isinstance(calls, list) else ():
        if not isinstance(call, dict):
            continue
        index = integer(call.get("index"))
        if index is None or index < 0:
            # some servers send -1 or no index: a fragment with an id opens a call, one without goes on with the last
            index = (max(seen, default=-1) + 1) if call.get("id") or not seen else max(seen)
        function = call.get("function")
        name = arguments = ""
        if isinstance(function, dict):
            name, arguments = str(function.get("name") or ""), function.get("arguments") or ""
        if index not in seen or name or call.get("id"):
            seen.add(index)
            yield ToolStart(index, str(call.get("id") or ""), name)
        if arguments:
            yield ToolDelta(index, arguments if isinstance(arguments, str) else _encode(arguments).decode())


def _message_events(delta: dict[str, Any], seen: set[int]) -> Iterator[Event]:
    thinking = delta.get("reasoning_content") or delta.get("reasoning")
    if isinstance(thinking, str) and thinking:
        yield ThinkingDelta(thinking)
    content = delta.get("content")
    if isinstance(content, str) and content:
        yield TextDelta(content)
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield TextDelta(part["text"])
    refusal = delta.get("refusal")
    if isinstance(refusal, str) and refusal:
        yield RefusalDelta(refusal)
    if delta.get("tool_calls"):
        yield from _tool_events(delta["tool_calls"], seen)
    elif isinstance(delta.get("function_call"), dict):  # the form before tools
        yield from _tool_events([{"index": 0, "function": delta["function_call"]}], seen)


class ChatStreamParser:
    """Reads a chat stream, frame by frame, into events. Only choice 0 is read."""

    __slots__ = ("_finished", "_seen", "_started", "ended", "usage_only")

    def __init__(self) -> None:
        self._started = False
        self._finished = False
        self._seen: set[int] = set()
        self.ended = False
        """`[DONE]` has come."""
        self.usage_only = False
        """The last frame was the extra usage chunk (choices empty)."""

    def read(self, frame: SseFrame) -> list[Event]:
        """The events of one frame; a frame that cannot be read yields none."""
        self.usage_only = False
        data = frame.data
        if not data:
            return []
        if data == "[DONE]":
            self.ended = True
            return []
        try:
            chunk = _decode(data)
        except (msgspec.DecodeError, RecursionError):
            return []
        if not isinstance(chunk, dict):
            return []
        events: list[Event] = []
        if chunk.get("error"):
            return [Failed(_error_text(chunk["error"]))]
        if not self._started:
            self._started = True
            events.append(Started(str(chunk.get("id") or ""), str(chunk.get("model") or "")))
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            events.append(usage_event(usage))
            self.usage_only = not choices
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict) or choice.get("index") not in (0, None):
                continue
            delta = choice.get("delta")
            if isinstance(delta, dict):
                events.extend(_message_events(delta, self._seen))
            reason = choice.get("finish_reason")
            if isinstance(reason, str) and reason:
                events.append(Finished(reason))
        return events


def reply_events(value: Any) -> list[Event]:
    """The events of a whole chat completion (choice 0)."""
    if not isinstance(value, dict):
        return [Failed("The upstream's answer is not a JSON object.")]
    if value.get("error"):
        return [Failed(_error_text(value["error"]))]
    events: list[Event] = [Started(str(value.get("id") or ""), str(value.get("model") or ""))]
    choices = value.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    message = choice.get("message")
    if isinstance(message, dict):
        events.extend(_message_events(message, set()))
    if isinstance(value.get("usage"), dict):
        events.append(usage_event(value["usage"]))
    reason = choice.get("finish_reason")
    if isinstance(reason, str) and reason:
        events.append(Finished(reason))
    return events


def parse_reply(value: Any) -> Completion:
    """A whole chat completion (choice 0)."""
    return _plain_reply(value) or assemble(reply_events(value))


def _plain_reply(value: Any) -> Completion | None:
    """A short cut for `assemble(reply_events(value))`: the same for text and for whole tool calls, the form that nearly
    all replies have; None for every other form."""
    try:
        choice = value["choices"][0]
        message = choice["message"]
        content, calls = message.get("content"), message.get("tool_calls")
        if (
            not (content is None or isinstance(content, str))
            or not _PLAIN.issuperset(message)
            or message.get("refusal")
            or value.get("error")
            or not (content or calls)
        ):
            return None
        written: Message = {"role": "assistant", "content": content or None}
        if calls:
            written["tool_calls"] = [_plain_call(call) for call in calls]
        reason, usage = choice.get("finish_reason"), value.get("usage")
        seen = usage_event(usage) if isinstance(usage, dict) else None
        counted = seen is not None and (seen.prompt_tokens is not None or seen.completion_tokens is not None)
        return Completion(
            message=written,
            finish_reason=reason if isinstance(reason, str) else "",
            usage=Usage(prompt_tokens=seen.prompt_tokens or 0, completion_tokens=seen.completion_tokens or 0)
            if seen is not None and counted
            else None,
            id=str(value.get("id") or ""),
            model=str(value.get("model") or ""),
            cached_tokens=seen.cached_tokens if seen is not None else None,
        )
    except (KeyError, IndexError, TypeError, AttributeError):
        return None


_PLAIN = frozenset({"role", "content", "tool_calls", "refusal", "annotations", "audio"})
"""Fields of a message beyond which `_plain_reply` has nothing to read."""


def _plain_call(call: dict[str, Any]) -> dict[str, Any]:
    """A whole tool call in the form `Assembler` gives it. Raises KeyError or TypeError where it is not whole."""
    id_, function = call["id"], call["function"]
    name, arguments = function["name"], function["arguments"]
    if (
        not (id_ and isinstance(id_, str) and isinstance(name, str) and isinstance(arguments, str))
        or "index" in call
    ):
        raise TypeError
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
