"""The reply model that all protocols are read into and written from: a sequence of events, or a whole `Completion`.

Knows nothing of any protocol's names; messages are in OpenAI chat form (core.records.Message).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import msgspec

from deputize.core.records import Message, Usage


class _Event(msgspec.Struct, frozen=True, gc=False):
    pass


class Started(_Event, frozen=True, gc=False):
    """The reply begins."""

    id: str = ""
    model: str = ""


class TextDelta(_Event, frozen=True, gc=False):
    """A piece of the text."""

    text: str


class RefusalDelta(_Event, frozen=True, gc=False):
    """A piece of a refusal (OpenAI only; elsewhere it is text)."""

    text: str


class ThinkingDelta(_Event, frozen=True, gc=False):
    """A piece of visible reasoning."""

    text: str


class Signature(_Event, frozen=True, gc=False):
    """The provider's signature on the reasoning before it; must be sent back byte for byte."""

    signature: str


class ToolStart(_Event, frozen=True, gc=False):
    """A tool call begins; `index` counts tool calls from 0."""

    index: int
    id: str
    name: str
    custom: bool = False
    """A freeform tool: its input is text in place of JSON arguments."""


class ToolDelta(_Event, frozen=True, gc=False):
    """A piece of a tool call's JSON arguments, or of the text that a freeform tool takes."""

    index: int
    arguments: str


class NotRecorded(_Event, frozen=True, gc=False):
    """A part of the reply that this model has no place for, such as sound, images or a call of a provider's own
    tool."""

    kind: str


class UsageSeen(_Event, frozen=True, gc=False):
    """Tokens so far. Counts only grow: a server that sends 0 or less later on takes nothing back."""

    prompt_tokens: int | None = None
    """All of the prompt, those read from and written to a cache included."""
    completion_tokens: int | None = None
    """All that was written, reasoning included."""
    cached_tokens: int | None = None
    """Of the prompt's: read from the provider's cache."""
    cache_write_tokens: int | None = None
    """Of the prompt's: written to the provider's cache."""
    reasoning_tokens: int | None = None
    """Of the completion's."""

    def updated(self, later: UsageSeen) -> UsageSeen:
        """The greater of these counts and those of `later`."""
        return UsageSeen(
            _greater(self.prompt_tokens, later.prompt_tokens),
            _greater(self.completion_tokens, later.completion_tokens),
            _greater(self.cached_tokens, later.cached_tokens),
            _greater(self.cache_write_tokens, later.cache_write_tokens),
            _greater(self.reasoning_tokens, later.reasoning_tokens),
        )

    def usage(self) -> Usage | None:
        """The counts as a record; None where there are none."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        return Usage(
            prompt_tokens=self.prompt_tokens or 0,
            completion_tokens=self.completion_tokens or 0,
            cached_tokens=self.cached_tokens or 0,
            cache_write_tokens=self.cache_write_tokens or 0,
            reasoning_tokens=self.reasoning_tokens or 0,
        )


def _greater(earlier: int | None, later: int | None) -> int | None:
    if later is None or (earlier is not None and earlier > later):
        return earlier
    return later


class Finished(_Event, frozen=True, gc=False):
    """The reply is complete; `reason` is one of stop, length, tool_calls, content_filter."""

    reason: str


class Failed(_Event, frozen=True, gc=False):
    """The upstream reports that the reply cannot be finished."""

    message: str
    kind: str = "upstream_error"


Event: TypeAlias = (
    Started
    | TextDelta
    | RefusalDelta
    | ThinkingDelta
    | Signature
    | ToolStart
    | ToolDelta
    | NotRecorded
    | UsageSeen
    | Finished
    | Failed
)

_NO_COUNTS = UsageSeen()
FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class Assembler:
    """Puts a reply together from its events. It is correct after every event, so a cut stream can be recorded too."""

    __slots__ = (
        "_arguments",
        "_calls",
        "_refusal",
        "_text",
        "_thinking",
        "counts",
        "error",
        "finish_reason",
        "id",
        "model",
        "not_recorded",
        "signature",
    )

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.finish_reason = ""
        self.error = ""
        self.signature = ""
        self.counts = _NO_COUNTS
        self.not_recorded: list[str] = []
        """Kinds of parts of the reply that its message does not hold, each once."""
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, ToolStart] = {}
        self._arguments: dict[int, list[str]] = {}

    def add(self, event: Event) -> None:
        """Adds one event."""
        if isinstance(event, TextDelta):
            self._text.append(event.text)
        elif isinstance(event, ToolDelta):
            self._arguments.setdefault(event.index, []).append(event.arguments)
        elif isinstance(event, ToolStart):
            known = self._calls.get(event.index)
            if known is not None and not (event.id and event.name):
                event = ToolStart(
                    event.index, event.id or known.id, event.name or known.name, event.custom or known.custom
                )
            self._calls[event.index] = event
        elif isinstance(event, Started):
            self.id, self.model = event.id or self.id, event.model or self.model
        elif isinstance(event, UsageSeen):
            self.counts = self.counts.updated(event) if self.counts is not _NO_COUNTS else event
        elif isinstance(event, Finished):
            self.finish_reason = event.reason
        elif isinstance(event, ThinkingDelta):
            self._thinking.append(event.text)
        elif isinstance(event, RefusalDelta):
            self._refusal.append(event.text)
        elif isinstance(event, Signature):
            self.signature += event.signature
        elif isinstance(event, NotRecorded):
            if event.kind not in self.not_recorded:
                self.not_recorded.append(event.kind)
        else:
            self.error = event.message

    @property
    def has_output(self) -> bool:
        """True once anything visible to a reader has come."""
        return bool(
            self._text
            or self._calls
            or self._arguments
            or self._refusal
            or self._thinking
            or self.not_recorded
        )

    def message(self) -> Message:
        """The assistant message so far; {} before any output."""
        if not self.has_output and not self.finish_reason:
            return {}
        text = "".join(self._text)
        indices = sorted(self._calls.keys() | self._arguments.keys())
        message: Message = {"role": "assistant", "content": text if text or not indices else None}
        if indices:
            message["tool_calls"] = [
                tool_call(self._calls.get(i) or ToolStart(i, "", ""), "".join(self._arguments.get(i, ())))
                for i in indices
            ]
        if self._refusal:
            message["refusal"] = "".join(self._refusal)
        if self._thinking:
            message["reasoning_content"] = "".join(self._thinking)
        if self.signature:
            message["reasoning_signature"] = self.signature
        if self.not_recorded:
            message["not_recorded"] = list(self.not_recorded)
        return message

    def usage(self) -> Usage | None:
        """Tokens as the upstream counted them; None where it sent no counts."""
        return self.counts.usage()

    def completion(self) -> Completion:
        """The reply so far."""
        return Completion(
            message=self.message(),
            finish_reason=self.finish_reason,
            usage=self.usage(),
            id=self.id,
            model=self.model,
            error=self.error,
        )


class Completion(msgspec.Struct, frozen=True):
    """A whole reply, in whichever protocol it came."""

    message: Message
    finish_reason: str = "stop"
    usage: Usage | None = None
    id: str = ""
    model: str = ""
    error: str = ""
    """The upstream's words where it could not finish the reply."""

    @property
    def counts(self) -> UsageSeen:
        """Its token counts as an event; 0 where none are known."""
        usage = self.usage
        if usage is None:
            return UsageSeen(0, 0)
        return UsageSeen(
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.cached_tokens or None,
            usage.cache_write_tokens or None,
            usage.reasoning_tokens or None,
        )

    @property
    def reason(self) -> str:
        """The way it ended; where the upstream named none, by what it holds: "" where it holds nothing."""
        if self.finish_reason or self.error:
            return self.finish_reason
        if self.message.get("tool_calls"):
            return "tool_calls"
        return "stop" if self.message.get("content") or self.message.get("refusal") else ""


def assemble(events: Iterable[Event]) -> Completion:
    """The whole reply that a sequence of events describes."""
    assembler = Assembler()
    for event in events:
        assembler.add(event)
    return assembler.completion()


def replay(reply: Completion, *, piece: int = 24) -> Iterator[Event]:
    """The events a model would have streamed for this reply, text and arguments in pieces of about `piece` characters.

    assemble(replay(reply)) == reply for every reply that has output.
    """
    message = reply.message
    yield Started(id=reply.id, model=reply.model)
    for part in pieces(str(message.get("reasoning_content") or ""), piece):
        yield ThinkingDelta(part)
    if message.get("reasoning_signature"):
        yield Signature(str(message["reasoning_signature"]))
    content: Any = message.get("content")
    for part in pieces(content if isinstance(content, str) else "", piece):
        yield TextDelta(part)
    for part in pieces(str(message.get("refusal") or ""), piece):
        yield RefusalDelta(part)
    for index, call in enumerate(message.get("tool_calls") or []):
        start, arguments = call_parts(index, call)
        yield start
        for part in pieces(arguments, piece):
            yield ToolDelta(index, part)
    for kind in message.get("not_recorded") or ():
        yield NotRecorded(str(kind))
    if reply.usage is not None:
        yield reply.counts
    if reply.finish_reason:
        yield Finished(reply.finish_reason)


def tool_call(start: ToolStart, arguments: str) -> dict[str, Any]:
    """A tool call of a message."""
    if start.custom:
        return {"id": start.id, "type": "custom", "custom": {"name": start.name, "input": arguments}}
    return {"id": start.id, "type": "function", "function": {"name": start.name, "arguments": arguments}}


def call_parts(index: int, call: dict[str, Any]) -> tuple[ToolStart, str]:
    """A message's tool call as the event that begins it and its arguments, or a freeform tool's input."""
    custom = call.get("custom")
    if isinstance(custom, dict):
        start = ToolStart(index, str(call.get("id") or ""), str(custom.get("name") or ""), True)
        return start, str(custom.get("input") or "")
    function = call.get("function") or {}
    start = ToolStart(index, str(call.get("id") or ""), str(function.get("name") or ""))
    return start, str(function.get("arguments") or "")


def pieces(text: str, size: int) -> Iterator[str]:
    """`text` in parts of `size` characters; nothing for an empty text."""
    for start in range(0, len(text), size):
        yield text[start : start + size]
