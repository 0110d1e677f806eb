"""Anthropic messages: requests, whole answers and streams, to events and back.

References:
    Anthropic API reference, "Messages" and "Streaming messages".
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Message
from deputize.wire.events import (
    Completion,
    Event,
    Failed,
    Finished,
    RefusalDelta,
    Signature,
    Started,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStart,
    UsageSeen,
    assemble,
)
from deputize.wire.sse import SseFrame, encode_event

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode

DEFAULT_MAX_TOKENS = 4096
"""Anthropic wants a limit; asked for where a client of another protocol named none."""

_TO_CHAT_REASON = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
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
_OWN = frozenset({"messages", "system", "tools", "tool_choice", "model"})


# --- requests --------------------------------------------------------------------------------------------------------


def _blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if isinstance(content, list):
        return [b for b in content if isinstance(b, dict)]
    return []


def _text(content: Any) -> str:
    return "\n".join(str(b.get("text", "")) for b in _blocks(content) if b.get("type") == "text")


def _image_part(block: dict[str, Any]) -> dict[str, Any]:
    source = block.get("source")
    source = source if isinstance(source, dict) else {}
    if source.get("type") == "base64":
        url = f"data:{source.get('media_type', 'image/png')};base64,{source.get('data', '')}"
    elif source.get("type") == "url":
        url = str(source.get("url") or "")
    else:
        return block  # a file that only the provider has
    return {"type": "image_url", "image_url": {"url": url}}


def _user_messages(content: Any) -> Iterator[Message]:
    """Tool results as tool messages, in front of what the user says beside them."""
    parts: list[dict[str, Any]] = []
    for block in _blocks(content):
        kind = block.get("type")
        if kind == "tool_result":
            inner = _plain_or_parts([_part_to_chat(b) for b in _blocks(block.get("content"))])
            if block.get("is_error") and not (isinstance(inner, str) and inner.lower().startswith("error")):
                inner = (
                    f"Error: {inner}"
                    if isinstance(inner, str)
                    else [{"type": "text", "text": "Error:"}, *inner]
                )
            yield {"role": "tool", "tool_call_id": str(block.get("tool_use_id") or ""), "content": inner}
        else:
            parts.append(_part_to_chat(block))
    if parts:
        yield {"role": "user", "content": _plain_or_parts(parts)}


def _part_to_chat(block: dict[str, Any]) -> dict[str, Any]:
    if block.get("type") == "text":
        return {"type": "text", "text": str(block.get("text", ""))}
    # documents and the like keep their own form, so that nothing is lost unseen
    return _image_part(block) if block.get("type") == "image" else block


def _plain_or_parts(parts: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Parts as one text where they are nothing else."""
    if all(part.get("type") == "text" for part in parts):
        return "\n".join(part["text"] for part in parts)
    return parts


def _assistant_message(content: Any) -> Message:
    parts: list[dict[str, Any]] = []
    thinking: list[str] = []
    calls: list[dict[str, Any]] = []
    signature = ""
    for block in _blocks(content):
        kind = block.get("type")
        if kind == "text":
            parts.append({"type": "text", "text": str(block.get("text", ""))})
        elif kind == "thinking":
            thinking.append(str(block.get("thinking", "")))
            signature = str(block.get("signature") or "")
        elif kind == "tool_use":
            arguments = _encode(block.get("input") or {}).decode()
            function = {"name": str(block.get("name") or ""), "arguments": arguments}
            calls.append({"id": str(block.get("id") or ""), "type": "function", "function": function})
        elif kind != "redacted_thinking":  # which nobody but its provider can read
            parts.append(block)
    said: Any = parts
    if all(part.get("type") == "text" for part in parts):
        said = "".join(part["text"] for part in parts)
    message: Message = {"role": "assistant", "content": said or (None if calls else "")}
    if calls:
        message["tool_calls"] = calls
    if thinking:
        message["reasoning_content"] = "".join(thinking)
    if signature:
        message["reasoning_signature"] = signature
    return message


def messages_to_chat(fields: dict[str, Any]) -> list[Message]:
    """System text and messages as chat messages.

    Raises:
        BadInput: `messages` is missing, empty or not a list of objects.
    """
    given = fields.get("messages")
    if not isinstance(given, list) or not given or not all(isinstance(m, dict) for m in given):
        raise BadInput("The request needs 'messages': a list with at least one message.")
    out: list[Message] = []
    system = _text(fields.get("system"))
    if system:
        out.append({"role": "system", "content": system})
    for message in given:
        if message.get("role") == "assistant":
            out.append(_assistant_message(message.get("content")))
        elif message.get("role") == "system":
            out.append({"role": "system", "content": _text(message.get("content"))})
        else:
            out.extend(_user_messages(message.get("content")))
    return out


def _tool_to_chat(tool: Any) -> Any:
    if not isinstance(tool, dict) or "input_schema" not in tool:
        return tool  # a tool that runs at the provider: kept as it is
    function = {
        "name": tool.get("name"),
        "description": tool.get("description"),
        "parameters": tool["input_schema"],
    }
    return {"type": "function", "function": {k: v for k, v in function.items() if v is not None}}


def _choice_to_chat(choice: Any) -> Any:
    if not isinstance(choice, dict):
        return None
    kind = choice.get("type")
    if kind == "tool":
        return {"type": "function", "function": {"name": choice.get("name")}}
    return {"auto": "auto", "any": "required", "none": "none"}.get(str(kind))


def to_chat(fields: dict[str, Any]) -> dict[str, Any]:
    """A messages request as a chat request.

    Raises:
        BadInput: there are no messages.
    """
    chat: dict[str, Any] = {"model": fields.get("model"), "messages": messages_to_chat(fields)}
    if isinstance(fields.get("tools"), list) and fields["tools"]:
        chat["tools"] = [_tool_to_chat(t) for t in fields["tools"]]
    choice = fields.get("tool_choice")
    if choice is not None:
        chat["tool_choice"] = _choice_to_chat(choice)
        if isinstance(choice, dict) and choice.get("disable_parallel_tool_use"):
            chat["parallel_tool_calls"] = False
    output = fields.get("output_config")
    form = output.get("format") if isinstance(output, dict) else fields.get("output_format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        schema = {"name": "answer", "schema": form.get("schema"), "strict": True}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    if isinstance(output, dict) and output.get("effort") in ("low", "medium", "high"):
        chat["reasoning_effort"] = output["effort"]
    for name in ("max_tokens", "temperature", "top_p", "stream"):
        if name in fields:
            chat[name] = fields[name]
    if fields.get("stop_sequences"):
        chat["stop"] = fields["stop_sequences"]
    user = fields.get("metadata")
    if isinstance(user, dict) and user.get("user_id"):
        chat["user"] = user["user_id"]
    return chat


def _content_blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    out: list[dict[str, Any]] = []
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict):
            continue
        kind = part.get("type")
        if kind == "image_url":
            image = part.get("image_url")
            url = str(image.get("url", "")) if isinstance(image, dict) else str(image)
            if url.startswith("data:") and ";base64," in url:
                media, data = url[5:].split(";base64,", 1)
                source = {"type": "base64", "media_type": media, "data": data}
            else:
                source = {"type": "url", "url": url}
            out.append({"type": "image", "source": source})
        elif kind in ("text", "refusal"):
            text = str(part.get("text") or part.get("refusal") or "")
            if text:
                out.append({"type": "text", "text": text})
        else:
            out.append(part)
    return out


def _arguments(text: Any) -> Any:
    if isinstance(text, dict):
        return text
    try:
        value = json.loads(text) if text else {}
    except (ValueError, TypeError, RecursionError):
        return {"arguments": text}  # the model's own words, where they are not JSON
    return value if isinstance(value, dict) else {"arguments": value}


def from_chat(chat: dict[str, Any]) -> dict[str, Any]:
    """A chat request as a messages request."""
    system: list[str] = []
    turns: list[dict[str, Any]] = []

    def say(role: str, blocks: list[dict[str, Any]]) -> None:
        if not blocks:
            return
        if turns and turns[-1]["role"] == role:
            turns[-1]["content"].extend(blocks)  # roles must alternate
        else:
            turns.append({"role": role, "content": blocks})

    for message in chat.get("messages") or []:
        role = message.get("role")
        content = message.get("content")
        if role in ("system", "developer"):
            system.append(content if isinstance(content, str) else _text(_content_blocks(content)))
        elif role == "tool":
            inner: Any = content if isinstance(content, str) else _content_blocks(content)
            if isinstance(inner, list) and all(block.get("type") == "text" for block in inner):
                inner = _text(inner)
            say(
                "user",
                [{"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": inner}],
            )
        elif role == "assistant":
            blocks: list[dict[str, Any]] = []
            if message.get("reasoning_content") and message.get("reasoning_signature"):
                blocks.append(
                    {
                        "type": "thinking",
                        "thinking": message["reasoning_content"],
                        "signature": message["reasoning_signature"],
                    }
                )
            blocks += _content_blocks(content)
            for call in message.get("tool_calls") or []:
                function = call.get("function") or {}
                blocks.append(
                    {
                        "type": "tool_use",
                        "id": call.get("id"),
                        "name": function.get("name"),
                        "input": _arguments(function.get("arguments")),
                    }
                )
            say("assistant", blocks)
        else:
            say("user", _content_blocks(content))
    limit = chat.get("max_completion_tokens") or chat.get("max_tokens") or DEFAULT_MAX_TOKENS
    out: dict[str, Any] = {"model": chat.get("model"), "max_tokens": limit, "messages": turns}
    if system:
        out["system"] = "\n\n".join(system)
    tools = [t for t in map(_tool_from_chat, chat.get("tools") or []) if t is not None]
    if tools:
        out["tools"] = tools
        choice = _choice_from_chat(chat.get("tool_choice"))
        if chat.get("parallel_tool_calls") is False:
            choice = {**(choice or {"type": "auto"}), "disable_parallel_tool_use": True}
        if choice:
            out["tool_choice"] = choice
    form = chat.get("response_format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema")
        out["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    for name in ("temperature", "top_p", "stream"):
        if chat.get(name) is not None:
            out[name] = chat[name]
    stop = chat.get("stop")
    if stop:
        out["stop_sequences"] = [stop] if isinstance(stop, str) else stop
    if chat.get("user"):
        out["metadata"] = {"user_id": chat["user"]}
    return out


def _tool_from_chat(tool: Any) -> dict[str, Any] | None:
    function = tool.get("function") if isinstance(tool, dict) else None
    if not isinstance(function, dict):
        return tool if isinstance(tool, dict) else None
    schema = function.get("parameters") or {"type": "object", "properties": {}}
    out = {"name": function.get("name"), "description": function.get("description"), "input_schema": schema}
    return {k: v for k, v in out.items() if v is not None}


def _choice_from_chat(choice: Any) -> dict[str, Any] | None:
    if isinstance(choice, dict):
        name = (choice.get("function") or {}).get("name")
        return {"type": "tool", "name": name} if name else None
    kind = {"auto": "auto", "required": "any", "none": "none"}.get(str(choice)) if choice else None
    return {"type": kind} if kind else None


# --- answers -> events -----------------------------------------------------------------------------------------------


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def usage_event(usage: dict[str, Any]) -> UsageSeen:
    """Token counts of a messages `usage` object; cached tokens count as prompt tokens, as they do elsewhere."""
    fresh = _int(usage.get("input_tokens"))
    read, written = _int(usage.get("cache_read_input_tokens")), _int(usage.get("cache_creation_input_tokens"))
    prompt = None if fresh is None else fresh + (read or 0) + (written or 0)
    return UsageSeen(prompt, _int(usage.get("output_tokens")), read)


def chat_reason(stop_reason: str) -> str:
    """A stop reason as a chat finish reason."""
    return _TO_CHAT_REASON.get(stop_reason, "stop")


class MessagesStreamParser:
    """Reads a messages stream into events."""

    def __init__(self) -> None:
        self.ended = False
        self.usage_only = False
        self._tools: dict[int, int] = {}
        """Content block index -> tool call index."""
        self._inputs: dict[int, str] = {}
        """Arguments that came with a block's start, kept until it is known that no deltas follow."""

    def read(self, frame: SseFrame) -> list[Event]:
        """The events of one frame; a frame that cannot be read yields none."""
        if not frame.data:
            return []
        try:
            value = _decode(frame.data)
        except (msgspec.DecodeError, RecursionError):
            return []
        return list(self._events(value)) if isinstance(value, dict) else []

    def _events(self, value: dict[str, Any]) -> Iterator[Event]:
        kind = value.get("type")
        index = _int(value.get("index")) or 0
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
                yield Started(str(message.get("id") or ""), str(message.get("model") or ""))
                if isinstance(message.get("usage"), dict):
                    yield usage_event(message["usage"])
        elif kind == "message_delta":
            if isinstance(value.get("usage"), dict):
                yield usage_event(value["usage"])
            delta = value.get("delta")
            if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
                yield Finished(chat_reason(delta["stop_reason"]))
        elif kind == "message_stop":
            self.ended = True
        elif kind == "error":
            error = value.get("error")
            text = str(error.get("message") or error.get("type")) if isinstance(error, dict) else "error"
            yield Failed(text)

    def _start(self, index: int, block: Any) -> Iterator[Event]:
        if not isinstance(block, dict):
            return
        kind = block.get("type")
        if kind == "tool_use":
            self._tools[index] = len(self._tools)
            yield ToolStart(self._tools[index], str(block.get("id") or ""), str(block.get("name") or ""))
            if block.get("input"):
                self._inputs[index] = _encode(block["input"]).decode()
        elif kind == "text" and block.get("text"):
            yield TextDelta(str(block["text"]))
        elif kind == "thinking":
            if block.get("thinking"):
                yield ThinkingDelta(str(block["thinking"]))
            if block.get("signature"):
                yield Signature(str(block["signature"]))

    def _delta(self, index: int, delta: Any) -> Iterator[Event]:
        if not isinstance(delta, dict):
            return
        kind = delta.get("type")
        if kind == "text_delta":
            yield TextDelta(str(delta.get("text") or ""))
        elif kind == "input_json_delta" and index in self._tools:
            if delta.get("partial_json"):
                self._inputs.pop(index, None)
                yield ToolDelta(self._tools[index], str(delta["partial_json"]))
        elif kind == "thinking_delta":
            yield ThinkingDelta(str(delta.get("thinking") or ""))
        elif kind == "signature_delta":
            yield Signature(str(delta.get("signature") or ""))


def read_answer(value: Any) -> list[Event]:
    """The events of a whole message."""
    if not isinstance(value, dict):
        return [Failed("The upstream's answer is not a JSON object.")]
    if value.get("type") == "error":
        error = value.get("error")
        return [Failed(str(error.get("message")) if isinstance(error, dict) else "error")]
    events: list[Event] = [Started(str(value.get("id") or ""), str(value.get("model") or ""))]
    n_tools = 0
    for block in _blocks(value.get("content")):
        kind = block.get("type")
        if kind == "text":
            events.append(TextDelta(str(block.get("text") or "")))
        elif kind == "thinking":
            events.append(ThinkingDelta(str(block.get("thinking") or "")))
            if block.get("signature"):
                events.append(Signature(str(block["signature"])))
        elif kind == "tool_use":
            events.append(ToolStart(n_tools, str(block.get("id") or ""), str(block.get("name") or "")))
            events.append(ToolDelta(n_tools, _encode(block.get("input") or {}).decode()))
            n_tools += 1
    if isinstance(value.get("usage"), dict):
        events.append(usage_event(value["usage"]))
    if isinstance(value.get("stop_reason"), str):
        events.append(Finished(chat_reason(value["stop_reason"])))
    return events


# --- events -> answers -----------------------------------------------------------------------------------------------


def stop_reason(reason: str, *, has_tools: bool) -> str:
    """A chat finish reason as a stop reason; an answer with tool calls stops for them, whatever its server said."""
    if has_tools and reason in ("stop", "tool_calls", "function_call", ""):
        return "tool_use"
    return _FROM_CHAT_REASON.get(reason, "end_turn")


def _usage(prompt: int | None, completion: int | None, cached: int | None) -> dict[str, Any]:
    out: dict[str, Any] = {"input_tokens": (prompt or 0) - (cached or 0), "output_tokens": completion or 0}
    if cached is not None:
        out["cache_read_input_tokens"] = cached
    return out


def encode_answer(answer: Completion, *, id_: str, model: str) -> bytes:
    """A whole message."""
    message = answer.message
    content: list[dict[str, Any]] = []
    if message.get("reasoning_content"):
        content.append(
            {
                "type": "thinking",
                "thinking": message["reasoning_content"],
                "signature": message.get("reasoning_signature", ""),
            }
        )
    text = "".join(str(b.get("text", "")) for b in _blocks(message.get("content"))) or message.get("refusal")
    if text:
        content.append({"type": "text", "text": text})
    calls = message.get("tool_calls") or []
    for call in calls:
        function = call.get("function") or {}
        content.append(
            {
                "type": "tool_use",
                "id": call.get("id"),
                "name": function.get("name"),
                "input": _arguments(function.get("arguments")),
            }
        )
    usage = answer.usage
    return _encode(
        {
            "id": id_,
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": content,
            "stop_reason": stop_reason(answer.finish_reason, has_tools=bool(calls)),
            "stop_sequence": None,
            "usage": _usage(
                usage.prompt_tokens if usage else 0,
                usage.completion_tokens if usage else 0,
                answer.cached_tokens,
            ),
        }
    )


class MessagesStreamWriter:
    """Writes events as the frames of a messages stream: one message_start, blocks one after the other."""

    def __init__(self, *, id_: str, model: str) -> None:
        self._id, self._model = id_, model
        self._started = False
        self._open = ""
        """Kind of the open block: text, thinking, tool:<index>, or "" for none."""
        self._n_blocks = 0
        self._n_tools = 0
        self._usage = UsageSeen()
        self._reason = ""
        self._failed = False

    def _fail(self, message: str) -> bytes:
        self._failed = True
        return error_frame(502, message)

    def write(self, event: Event) -> bytes:
        """The frames for one event; b"" where the protocol has none for it, and after a failure."""
        if isinstance(event, UsageSeen):
            old = self._usage
            self._usage = UsageSeen(
                event.prompt_tokens if event.prompt_tokens is not None else old.prompt_tokens,
                event.completion_tokens if event.completion_tokens is not None else old.completion_tokens,
                event.cached_tokens if event.cached_tokens is not None else old.cached_tokens,
            )
            return b""
        if self._failed:
            return b""
        if isinstance(event, Failed):
            return self._fail(event.message)
        if isinstance(event, Finished):
            self._reason = event.reason
            return self._begin() + self._close()
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
            if self._open != f"tool:{event.index}":
                # a block that was closed cannot be opened again in this protocol
                return out + self._fail("The upstream interleaved its tool calls, which cannot be passed on.")
            return out + self._delta({"type": "input_json_delta", "partial_json": event.arguments})
        return out

    def _begin(self) -> bytes:
        if self._started:
            return b""
        self._started = True
        message: dict[str, Any] = {
            "id": self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": _usage(self._usage.prompt_tokens, 0, self._usage.cached_tokens),
        }
        return _frame("message_start", {"message": message})

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
        """What closes the stream; b"" after a failure."""
        if self._failed or not self._reason:
            return b""
        delta = {"stop_reason": stop_reason(self._reason, has_tools=self._n_tools > 0), "stop_sequence": None}
        usage = _usage(self._usage.prompt_tokens, self._usage.completion_tokens, self._usage.cached_tokens)
        return _frame("message_delta", {"delta": delta, "usage": usage}) + _frame("message_stop", {})


def _frame(kind: str, body: dict[str, Any]) -> bytes:
    return encode_event(kind, _encode({"type": kind, **body}))


def error_body(status: int, message: str) -> bytes:
    """An error in Anthropic's form."""
    kind = _ERROR_KINDS.get(status, "api_error")
    return _encode({"type": "error", "error": {"type": kind, "message": message}})


def error_frame(status: int, message: str) -> bytes:
    """An error inside a stream that has begun."""
    return encode_event("error", error_body(status, message))


def estimate_tokens(fields: dict[str, Any]) -> int:
    """How many tokens a request has, about: four bytes each, for servers that cannot count."""
    parts = {k: fields[k] for k in ("messages", "system", "tools") if k in fields}
    return max(1, len(_encode(parts)) // 4)


class MessagesDialect:
    """Anthropic messages as a dialect."""

    name = "messages"
    path = "/v1/messages"

    def to_chat(self, fields: dict[str, Any]) -> dict[str, Any]:
        return to_chat(fields)

    def from_chat(self, chat: dict[str, Any]) -> dict[str, Any]:
        return from_chat(chat)

    def params(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in fields.items() if k not in _OWN}

    def reader(self) -> MessagesStreamParser:
        return MessagesStreamParser()

    def parse_answer(self, value: Any) -> Completion:
        return assemble(read_answer(value))

    def writer(self, *, id_: str, model: str, created: int, fields: dict[str, Any]) -> MessagesStreamWriter:
        return MessagesStreamWriter(id_=id_, model=model)

    def encode_answer(
        self, answer: Completion, *, id_: str, model: str, created: int, fields: dict[str, Any]
    ) -> bytes:
        return encode_answer(answer, id_=id_, model=model)

    def error_body(self, status: int, message: str, kind: str, code: str | None) -> bytes:
        return error_body(status, message)

    def error_frame(self, status: int, message: str, kind: str, code: str | None) -> bytes:
        return error_frame(status, message)
