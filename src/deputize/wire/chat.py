"""OpenAI chat completions: requests, whole answers and streams, to events and back.

References:
    OpenAI API reference, "Chat completions" and "Streaming".
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Message, Request, Usage
from deputize.wire.events import (
    FINISH_REASONS,
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
from deputize.wire.sse import DONE, SseFrame, encode_data

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

_OWN = frozenset({"messages", "tools", "response_format", "tool_choice", "model"})


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object of a request body.

    Raises:
        BadInput: not UTF-8, not JSON, nested too deeply, or not an object.
    """
    try:
        value = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadInput("The request body is not valid JSON.") from None
    except RecursionError:
        raise BadInput("The request body is nested too deeply.") from None
    if not isinstance(value, dict):
        raise BadInput("The request body must be a JSON object.")
    return value


def check_named_once(body: bytes, name: str) -> None:
    """Refuses a body that gives a field twice, in whatever case, since servers differ in which one they take.

    Raises:
        BadInput: it does.
    """
    pairs: list[tuple[str, Any]] = []

    def keep(found: list[tuple[str, Any]]) -> None:
        pairs[:] = found  # objects are closed from the inside out: what is left is the outermost one

    try:
        json.loads(body, object_pairs_hook=keep)
    except RecursionError:
        raise BadInput("The request body is nested too deeply.") from None
    if sum(key.lower() == name for key, _ in pairs) > 1:
        raise BadInput(f"The request gives {name!r} more than once.")


def check_messages(fields: dict[str, Any]) -> list[Message]:
    """The messages of a chat request.

    Raises:
        BadInput: missing, empty, or not a list of objects.
    """
    messages = fields.get("messages")
    if not isinstance(messages, list) or not messages:
        raise BadInput("The request needs 'messages': a list with at least one message.")
    for message in messages:
        if not isinstance(message, dict):
            raise BadInput("Every entry of 'messages' must be an object with a role.")
    return messages


def request_of(fields: dict[str, Any], *, agent: str = "", site: str = "") -> Request:
    """The part of a chat request that a specialist and the router read."""
    tools, response_format = fields.get("tools"), fields.get("response_format")
    return Request(
        messages=check_messages(fields),
        tools=[t for t in tools if isinstance(t, dict)] if isinstance(tools, list) and tools else None,
        response_format=response_format if isinstance(response_format, dict) else None,
        tool_choice=fields.get("tool_choice"),
        agent=agent,
        site=site,
    )


def params_of(fields: dict[str, Any]) -> dict[str, Any]:
    """Sampling settings and every other request field, as sent."""
    return {k: v for k, v in fields.items() if k not in _OWN}


def only_llm_can(fields: dict[str, Any]) -> str:
    """Why a specialist cannot answer this request whatever it says: several choices, token probabilities or audio."""
    if fields.get("n") not in (None, 1):
        return "params:n"
    if fields.get("logprobs") or fields.get("top_logprobs"):
        return "params:logprobs"
    modalities = fields.get("modalities")
    if fields.get("audio") or (modalities and modalities != ["text"]):
        return "params:modalities"
    return ""


def wants_usage(fields: dict[str, Any]) -> bool:
    """Whether the client asked for the usage chunk of a stream."""
    options = fields.get("stream_options")
    return bool(isinstance(options, dict) and options.get("include_usage"))


def ask_for_usage(body: bytes, fields: dict[str, Any]) -> bytes:
    """The same body with `stream_options.include_usage` on.

    Where the client sent no stream_options every other byte stays as it was; else the body is written anew.
    """
    options = fields.get("stream_options")
    if options is None and "stream_options" not in fields:
        end = body.rstrip()
        return end[:-1] + b',"stream_options":{"include_usage":true}}'
    merged = {**(options if isinstance(options, dict) else {}), "include_usage": True}
    return _encode({**fields, "stream_options": merged})


# --- answers -> events -----------------------------------------------------------------------------------------------


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def usage_event(usage: dict[str, Any]) -> UsageSeen:
    """Token counts of a chat `usage` object."""
    details = usage.get("prompt_tokens_details")
    return UsageSeen(
        _int(usage.get("prompt_tokens")),
        _int(usage.get("completion_tokens")),
        _int(details.get("cached_tokens")) if isinstance(details, dict) else None,
    )


def _error_text(error: Any) -> str:
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or "error")
    return str(error)


def _tool_events(calls: Any, seen: set[int]) -> Iterator[Event]:
    for call in calls if isinstance(calls, list) else ():
        if not isinstance(call, dict):
            continue
        index = _int(call.get("index"))
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


def read_answer(value: Any) -> list[Event]:
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


def parse_answer(value: Any) -> Completion:
    """A whole chat completion as the one answer model (choice 0)."""
    return _plain_answer(value) or assemble(read_answer(value))


def _plain_answer(value: Any) -> Completion | None:
    """What `assemble(read_answer(value))` would give, without the way through events, where the answer is of the form that
    nearly all have: text, or tool calls that are whole. None where it is of another."""
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
"""Fields of a message that say nothing more than `_plain_answer` reads."""


def _plain_call(call: dict[str, Any]) -> dict[str, Any]:
    """A whole tool call as `Assembler` writes it. Raises TypeError where it is not whole."""
    id_, function = call["id"], call["function"]
    name, arguments = function["name"], function["arguments"]
    if (
        not (id_ and isinstance(id_, str) and isinstance(name, str) and isinstance(arguments, str))
        or "index" in call
    ):
        raise TypeError
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


# --- events -> answers -----------------------------------------------------------------------------------------------


def finish_reason(reason: str) -> str:
    """A reason that clients know; anything else counts as stop."""
    return reason if reason in FINISH_REASONS else "stop"


def _usage(prompt: int | None, completion: int | None, cached: int | None) -> dict[str, Any]:
    out: dict[str, Any] = {
        "prompt_tokens": prompt or 0,
        "completion_tokens": completion or 0,
        "total_tokens": (prompt or 0) + (completion or 0),
    }
    if cached is not None:
        out["prompt_tokens_details"] = {"cached_tokens": cached}
    return out


def encode_answer(answer: Completion, *, id_: str, model: str, created: int) -> bytes:
    """A whole chat completion."""
    message = {"role": "assistant", "content": None, "refusal": None, **answer.message}
    message.pop("reasoning_signature", None)
    usage = answer.usage
    return _encode(
        {
            "id": id_,
            "object": "chat.completion",
            "created": created,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": message,
                    "logprobs": None,
                    "finish_reason": finish_reason(answer.finish_reason),
                }
            ],
            "usage": _usage(
                usage.prompt_tokens if usage else 0,
                usage.completion_tokens if usage else 0,
                answer.cached_tokens,
            ),
        }
    )


class ChatStreamWriter:
    """Writes events as the frames of a chat stream: one id, the role first, an index in every tool fragment."""

    def __init__(self, *, id_: str, model: str, created: int, include_usage: bool) -> None:
        self._head = {"id": id_, "object": "chat.completion.chunk", "created": created, "model": model}
        self._include_usage = include_usage
        self._usage = UsageSeen()
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
            self._usage = UsageSeen(
                *(
                    new if new is not None else old
                    for new, old in zip(
                        (event.prompt_tokens, event.completion_tokens, event.cached_tokens),
                        (self._usage.prompt_tokens, self._usage.completion_tokens, self._usage.cached_tokens),
                        strict=True,
                    )
                )
            )
            return b""
        if isinstance(event, Failed):
            return error_frame(event.message, event.kind)
        role = self._role()
        if isinstance(event, TextDelta):
            return role + self._chunk({"content": event.text})
        if isinstance(event, ThinkingDelta):
            return role + self._chunk({"reasoning_content": event.text})
        if isinstance(event, RefusalDelta):
            return role + self._chunk({"refusal": event.text})
        if isinstance(event, ToolStart):
            function = {"name": event.name, "arguments": ""}
            call = {"index": event.index, "id": event.id, "type": "function", "function": function}
            return role + self._chunk({"tool_calls": [call]})
        if isinstance(event, ToolDelta):
            return role + self._chunk(
                {"tool_calls": [{"index": event.index, "function": {"arguments": event.arguments}}]}
            )
        if isinstance(event, Finished):
            self._finished = True
            return role + self._chunk({}, finish_reason(event.reason))
        return role

    def end(self) -> bytes:
        """What closes the stream: the usage chunk where it was asked for, then [DONE]; b"" after a failure."""
        if not self._finished:
            return b""
        tail = b""
        if self._include_usage:
            usage = _usage(
                self._usage.prompt_tokens, self._usage.completion_tokens, self._usage.cached_tokens
            )
            tail = encode_data(_encode({**self._head, "choices": [], "usage": usage}))
        return tail + DONE


def write_stream(events: Iterable[Event], writer: ChatStreamWriter) -> Iterator[bytes]:
    """All frames of a stream, empty ones left out."""
    for event in events:
        frame = writer.write(event)
        if frame:
            yield frame
    tail = writer.end()
    if tail:
        yield tail


def error_body(message: str, kind: str, code: str | None = None) -> bytes:
    """An error in OpenAI's form."""
    return _encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def error_frame(message: str, kind: str, code: str | None = None) -> bytes:
    """An error inside a stream that has begun; the stream is closed after it."""
    return encode_data(error_body(message, kind, code))


class ChatDialect:
    """OpenAI chat completions as a dialect: the form everything else is translated to and from."""

    name = "chat"
    path = "/v1/chat/completions"

    def to_chat(self, fields: dict[str, Any]) -> dict[str, Any]:
        check_messages(fields)
        return fields

    def from_chat(self, chat: dict[str, Any]) -> dict[str, Any]:
        return chat

    def params(self, fields: dict[str, Any]) -> dict[str, Any]:
        return params_of(fields)

    def reader(self) -> ChatStreamParser:
        return ChatStreamParser()

    def parse_answer(self, value: Any) -> Completion:
        return parse_answer(value)

    def writer(self, *, id_: str, model: str, created: int, fields: dict[str, Any]) -> ChatStreamWriter:
        return ChatStreamWriter(id_=id_, model=model, created=created, include_usage=wants_usage(fields))

    def encode_answer(
        self, answer: Completion, *, id_: str, model: str, created: int, fields: dict[str, Any]
    ) -> bytes:
        return encode_answer(answer, id_=id_, model=model, created=created)

    def error_body(self, status: int, message: str, kind: str, code: str | None) -> bytes:
        return error_body(message, kind, code)

    def error_frame(self, status: int, message: str, kind: str, code: str | None) -> bytes:
        return error_frame(message, kind, code)
