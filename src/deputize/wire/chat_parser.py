"""Replies and streams of OpenAI's chat completions, read into events.

References:
    OpenAI API reference, "Chat completions" and "Streaming".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from deputize.core.records import Message
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
from deputize.wire.stream_errors import named_failures

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def usage_event(usage: dict[str, Any]) -> UsageSeen:
    """Token counts of a chat `usage` object."""
    prompt, cached, written = token_count(usage.get("prompt_tokens")), None, None
    details = usage.get("prompt_tokens_details")
    if isinstance(details, dict):
        cached = token_count(details.get("cached_tokens"))
        written = token_count(details.get("cache_write_tokens"))
    if cached is None:  # DeepSeek's name for it
        cached = token_count(usage.get("prompt_cache_hit_tokens"))
    details = usage.get("completion_tokens_details")
    reasoning = token_count(details.get("reasoning_tokens")) if isinstance(details, dict) else None
    if prompt is not None and cached is not None and cached > prompt:
        prompt += cached  # a server that counts what its cache gave apart
    return UsageSeen(prompt, token_count(usage.get("completion_tokens")), cached, written, reasoning)


def error_text(error: Any) -> str:
    """The sentence of an error, in whichever form a server gives it."""
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or "error")
    return str(error)


def _failure(value: dict[str, Any]) -> Failed | None:
    """The failure that a chunk or a whole answer reports; None where it reports none."""
    error = value.get("error")
    if error:
        return Failed(error_text(error))
    if "choices" not in value:
        if value.get("object") == "error" or value.get("error_code"):
            return Failed(str(value.get("message") or value.get("text") or "error"))
        if value.get("detail"):
            return Failed(str(value["detail"]))
    return None


class _OpenCall:
    """A tool call that is being streamed."""

    __slots__ = ("id", "index", "pieces")

    def __init__(self, index: int, id_: str) -> None:
        self.index, self.id = index, id_
        self.pieces: list[str] = []


class _ToolCalls:
    """Puts the fragments of tool calls where they belong, for servers differ in how they mark them.

    Usually an index does. Some servers send -1 or none: an id opens a call, a fragment without one goes on with the
    last. Some send 0 for all of several whole calls, told apart by their ids; some repeat id and name in every
    fragment, or the whole call in the last one.
    """

    __slots__ = ("_open", "n_calls")

    def __init__(self) -> None:
        self._open: dict[int, _OpenCall] = {}
        """The server's index -> its call."""
        self.n_calls = 0

    def events(self, calls: Any) -> Iterator[Event]:
        """The events of the fragments in one chunk."""
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict):
                yield from self._fragment(call)

    def _fragment(self, call: dict[str, Any]) -> Iterator[Event]:
        id_, name, arguments, custom = _call_fields(call)
        given = integer(call.get("index"))
        place = max(self._open, default=-1) if given is None or given < 0 else given
        known = self._open.get(place)
        if place != given and (known is None or (id_ and id_ != known.id)):
            known, place = None, place + 1
        elif known is not None and _opens_another(known, id_, name, arguments):
            known = None
        if known is None:
            known = self._open[place] = _OpenCall(self.n_calls, id_)
            self.n_calls += 1
            yield ToolStart(known.index, id_, name, custom)
        elif (id_ and not known.id) or (name and not known.pieces and not id_):
            known.id = known.id or id_
            yield ToolStart(known.index, known.id, name, custom)
        elif id_ and known.pieces and arguments == "".join(known.pieces) and _is_json(arguments):
            return  # the whole call once more
        if arguments:
            known.pieces.append(arguments)
            yield ToolDelta(known.index, arguments)


def _call_fields(call: dict[str, Any]) -> tuple[str, str, str, bool]:
    """Id, name, arguments (or a freeform tool's input) of a call or a fragment of one, and whether its tool is
    freeform."""
    custom = call.get("custom")
    if isinstance(custom, dict):
        given = custom.get("input") or ""
        return text_field(call, "id"), text_field(custom, "name"), str(given), True
    function = call.get("function")
    name, given = "", None
    if isinstance(function, dict):
        name, given = text_field(function, "name"), function.get("arguments")
    arguments = given if isinstance(given, str) else "" if given is None else _encode(given).decode()
    return text_field(call, "id"), name, arguments, call.get("type") == "custom"


def _opens_another(known: _OpenCall, id_: str, name: str, arguments: str) -> bool:
    """True where a fragment with the index of a call begins another one: it names itself, and what came is whole."""
    if not name or (id_ and id_ == known.id) or (not known.pieces and not (id_ and known.id)):
        return False
    if not (id_ and known.id) and not arguments:
        return False
    so_far = "".join(known.pieces)
    return not so_far or _is_json(so_far)


def _is_json(text: str) -> bool:
    try:
        _decode(text)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def _whole_calls(calls: Any) -> Iterator[Event]:
    """The events of the tool calls of a whole message: each entry is one, whatever its index."""
    whole = [c for c in (calls if isinstance(calls, list) else ()) if isinstance(c, dict)]
    for index, call in enumerate(whole):
        id_, name, arguments, custom = _call_fields(call)
        yield ToolStart(index, id_, name, custom)
        if arguments:
            yield ToolDelta(index, arguments)


def _content_events(delta: dict[str, Any]) -> Iterator[Event]:
    """The events of a message or a delta, but for its tool calls."""
    thinking = delta.get("reasoning_content") or delta.get("reasoning")
    if isinstance(thinking, str) and thinking:
        yield ThinkingDelta(thinking)
    content = delta.get("content")
    if isinstance(content, str) and content:
        yield TextDelta(content)
    elif isinstance(content, list):
        for part in content:
            if isinstance(part, dict):
                yield from _part_events(part)
    refusal = delta.get("refusal")
    if isinstance(refusal, str) and refusal:
        yield RefusalDelta(refusal)
    for name in _NOT_HELD:
        if delta.get(name):
            yield NotRecorded(name)


_NOT_HELD = ("audio", "images", "annotations")
"""Fields of a message that are passed on and not read."""


def _part_events(part: dict[str, Any]) -> Iterator[Event]:
    kind = part.get("type")
    if kind == "thinking":  # Mistral's
        inner = part.get("thinking")
        for piece in inner if isinstance(inner, list) else [{"text": inner}]:
            if isinstance(piece, dict) and piece.get("text"):
                yield ThinkingDelta(str(piece["text"]))
    elif isinstance(part.get("text"), str):
        yield TextDelta(part["text"])
    elif kind == "refusal":
        yield RefusalDelta(text_field(part, "refusal"))
    elif kind:
        yield NotRecorded(str(kind))


class ChatStreamParser:
    """Reads a chat stream, frame by frame, into events. Of several choices the first is read; where it ends for tool
    calls that it does not have, those of another one are its own."""

    __slots__ = ("_finished", "_others", "_started", "_tools", "ended", "passes_more", "usage_only")

    def __init__(self) -> None:
        self._started = self._finished = False
        self._tools = _ToolCalls()
        self._others: list[Any] = []
        """Tool calls of other choices."""
        self.ended = False
        """`[DONE]` has come."""
        self.usage_only = False
        """The last frame was the extra usage chunk (choices empty) and carried nothing else."""
        self.passes_more = False
        """The last frame carried output that is no event: of a further choice."""

    def read(self, frame: SseFrame) -> list[Event]:
        """The events of one frame; a frame that cannot be read yields none."""
        self.usage_only = self.passes_more = False
        data = frame.data
        if not data:
            return self._unframed(frame.raw)
        if data == "[DONE]":
            self.ended = True
            return self._late_calls() if self._others else []
        chunk = decode_answer(data)
        if not isinstance(chunk, dict):
            return named_failures(frame)
        failure = _failure(chunk)
        if failure is not None:
            return [failure]
        if frame.event == "error":
            return named_failures(frame)
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(Started(str(chunk.get("id") or ""), str(chunk.get("model") or "")))
        choices = chunk.get("choices")
        usage = chunk.get("usage")
        if isinstance(usage, dict):
            events.append(usage_event(usage))
            self.usage_only = not choices and _USAGE_CHUNK.issuperset(chunk)
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            if choice.get("index") not in (0, None):
                self._other(choice)
                continue
            delta = choice.get("delta")
            if isinstance(delta, dict):
                events.extend(_content_events(delta))
                calls = delta.get("tool_calls")
                if calls:
                    events.extend(self._tools.events(calls))
                elif isinstance(delta.get("function_call"), dict):  # the form before tools
                    events.extend(self._tools.events([{"index": 0, "function": delta["function_call"]}]))
            reason = _reason(choice)
            if reason:
                self._finished = reason == "tool_calls"
                events.append(Finished(reason))
        return events

    def _other(self, choice: dict[str, Any]) -> None:
        delta = choice.get("delta")
        self.passes_more = not _reason(choice)
        if isinstance(delta, dict) and delta.get("tool_calls"):
            self._others.append(delta["tool_calls"])

    def _late_calls(self) -> list[Event]:
        """The tool calls of another choice, where the first one ended for tool calls that it does not have."""
        others, self._others = self._others, []
        if not self._finished or self._tools.n_calls:
            return []
        return [event for calls in others for event in self._tools.events(calls)]

    def _unframed(self, raw: bytes) -> list[Event]:
        """The events of bytes without a field: an error that a server sent as it is under the name of a stream."""
        if raw.lstrip()[:1] != b"{":
            return []
        value = decode_answer(raw)
        failure = _failure(value) if isinstance(value, dict) else None
        return [failure] if failure is not None else []


_USAGE_CHUNK = frozenset(
    {
        "id",
        "object",
        "created",
        "model",
        "choices",
        "usage",
        "system_fingerprint",
        "service_tier",
        "obfuscation",
    }
)
"""Fields of a usage chunk that can be left out with it."""


def _reason(choice: dict[str, Any]) -> str:
    reason = choice.get("finish_reason")
    return reason if isinstance(reason, str) and reason != "null" else ""


def reply_events(value: Any) -> list[Event]:
    """The events of a whole chat completion (choice 0, with the tool calls of another where it ended for some)."""
    if not isinstance(value, dict):
        return [Failed("The upstream's answer is not a JSON object.")]
    failure = _failure(value)
    if failure is not None:
        return [failure]
    events: list[Event] = [Started(str(value.get("id") or ""), str(value.get("model") or ""))]
    choices = value.get("choices")
    choices = [c for c in (choices if isinstance(choices, list) else ()) if isinstance(c, dict)]
    choice = choices[0] if choices else {}
    reason = _reason(choice)
    message = choice.get("message")
    if isinstance(message, dict):
        events.extend(_content_events(message))
        calls = message.get("tool_calls")
        if not calls and isinstance(message.get("function_call"), dict):
            calls = [{"function": message["function_call"]}]
        if not calls and reason == "tool_calls":
            calls = next((c for other in choices[1:] if (c := _calls_of(other))), None)
        events.extend(_whole_calls(calls))
    if isinstance(value.get("usage"), dict):
        events.append(usage_event(value["usage"]))
    if reason:
        events.append(Finished(reason))
    return events


def _calls_of(choice: dict[str, Any]) -> Any:
    message = choice.get("message")
    return message.get("tool_calls") if isinstance(message, dict) else None


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
            or any(map(message.get, _NOT_HELD))
            or value.get("error")
            or not (content or calls)
            or (len(value["choices"]) > 1 and not calls)
        ):
            return None
        written: Message = {"role": "assistant", "content": content or None}
        if calls:
            written["tool_calls"] = [_plain_call(call) for call in calls]
        usage = value.get("usage")
        seen = usage_event(usage) if isinstance(usage, dict) else None
        return Completion(
            message=written,
            finish_reason=_reason(choice),
            usage=seen.usage() if seen is not None else None,
            id=str(value.get("id") or ""),
            model=str(value.get("model") or ""),
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
