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


class ToolDelta(_Event, frozen=True, gc=False):
    """A piece of a tool call's JSON arguments."""

    index: int
    arguments: str


class UsageSeen(_Event, frozen=True, gc=False):
    """Tokens so far; later ones replace earlier ones where they are not None."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None

    def updated(self, later: UsageSeen) -> UsageSeen:
        """These counts with those of `later` in place of them where it has any."""
        return UsageSeen(
            self.prompt_tokens if later.prompt_tokens is None else later.prompt_tokens,
            self.completion_tokens if later.completion_tokens is None else later.completion_tokens,
            self.cached_tokens if later.cached_tokens is None else later.cached_tokens,
        )


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
    | UsageSeen
    | Finished
    | Failed
)

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})


class Assembler:
    """Puts a reply together from its events. It is correct after every event, so a cut stream can be recorded too."""

    __slots__ = (
        "_arguments",
        "_calls",
        "_refusal",
        "_text",
        "_thinking",
        "cached_tokens",
        "completion_tokens",
        "error",
        "finish_reason",
        "id",
        "model",
        "prompt_tokens",
        "signature",
    )

    def __init__(self) -> None:
        self.id = ""
        self.model = ""
        self.finish_reason = ""
        self.error = ""
        self.signature = ""
        self.prompt_tokens: int | None = None
        self.completion_tokens: int | None = None
        self.cached_tokens: int | None = None
        self._text: list[str] = []
        self._thinking: list[str] = []
        self._refusal: list[str] = []
        self._calls: dict[int, tuple[str, str]] = {}
        self._arguments: dict[int, list[str]] = {}

    def add(self, event: Event) -> None:
        """Adds one event."""
        if isinstance(event, TextDelta):
            self._text.append(event.text)
        elif isinstance(event, ToolDelta):
            self._arguments.setdefault(event.index, []).append(event.arguments)
        elif isinstance(event, ToolStart):
            id_, name = self._calls.get(event.index, ("", ""))
            self._calls[event.index] = (event.id or id_, event.name or name)
        elif isinstance(event, Started):
            self.id, self.model = event.id or self.id, event.model or self.model
        elif isinstance(event, UsageSeen):
            if event.prompt_tokens is not None:
                self.prompt_tokens = event.prompt_tokens
            if event.completion_tokens is not None:
                self.completion_tokens = event.completion_tokens
            if event.cached_tokens is not None:
                self.cached_tokens = event.cached_tokens
        elif isinstance(event, Finished):
            self.finish_reason = event.reason
        elif isinstance(event, ThinkingDelta):
            self._thinking.append(event.text)
        elif isinstance(event, RefusalDelta):
            self._refusal.append(event.text)
        elif isinstance(event, Signature):
            self.signature += event.signature
        else:
            self.error = event.message

    @property
    def has_output(self) -> bool:
        """True once anything visible to a reader has come."""
        return bool(self._text or self._calls or self._arguments or self._refusal or self._thinking)

    def message(self) -> Message:
        """The assistant message so far; {} before any output."""
        if not self.has_output and not self.finish_reason:
            return {}
        text = "".join(self._text)
        indices = sorted(self._calls.keys() | self._arguments.keys())
        message: Message = {"role": "assistant", "content": text if text or not indices else None}
        if indices:
            message["tool_calls"] = [
                {
                    "id": self._calls.get(i, ("", ""))[0],
                    "type": "function",
                    "function": {
                        "name": self._calls.get(i, ("", ""))[1],
                        "arguments": "".join(self._arguments.get(i, ())),
                    },
                }
                for i in indices
            ]
        if self._refusal:
            message["refusal"] = "".join(self._refusal)
        if self._thinking:
            message["reasoning_content"] = "".join(self._thinking)
        if self.signature:
            message["reasoning_signature"] = self.signature
        return message

    def usage(self) -> Usage | None:
        """Tokens as the upstream counted them; None where it sent no counts."""
        if self.prompt_tokens is None and self.completion_tokens is None:
            return None
        return Usage(prompt_tokens=self.prompt_tokens or 0, completion_tokens=self.completion_tokens or 0)

    def completion(self) -> Completion:
        """The reply so far."""
        return Completion(
            message=self.message(),
            finish_reason=self.finish_reason,
            usage=self.usage(),
            id=self.id,
            model=self.model,
            cached_tokens=self.cached_tokens,
        )


class Completion(msgspec.Struct, frozen=True):
    """A whole reply, in whichever protocol it came."""

    message: Message
    finish_reason: str = "stop"
    usage: Usage | None = None
    id: str = ""
    model: str = ""
    cached_tokens: int | None = None

    @property
    def counts(self) -> UsageSeen:
        """Its token counts as an event; 0 where none are known."""
        usage = self.usage
        return UsageSeen(
            usage.prompt_tokens if usage else 0, usage.completion_tokens if usage else 0, self.cached_tokens
        )


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
        function = call.get("function") or {}
        yield ToolStart(index, str(call.get("id") or ""), str(function.get("name") or ""))
        for part in pieces(str(function.get("arguments") or ""), piece):
            yield ToolDelta(index, part)
    if reply.usage is not None:
        yield UsageSeen(reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.cached_tokens)
    if reply.finish_reason:
        yield Finished(reply.finish_reason)


def pieces(text: str, size: int) -> Iterator[str]:
    """`text` in parts of `size` characters; nothing for an empty text."""
    for start in range(0, len(text), size):
        yield text[start : start + size]
