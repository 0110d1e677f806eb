"""OpenAI responses: requests, whole answers and streams, to events and back.

References:
    OpenAI API reference, "Responses" and "Streaming responses".
"""

from __future__ import annotations

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

_OWN = frozenset({"input", "instructions", "tools", "tool_choice", "model"})
_SAME_NAME = (
    "temperature",
    "top_p",
    "stream",
    "parallel_tool_calls",
    "user",
    "metadata",
    "seed",
    "service_tier",
)


# --- requests --------------------------------------------------------------------------------------------------------


def _part_to_chat(part: dict[str, Any]) -> dict[str, Any]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return {"type": "text", "text": str(part.get("text") or "")}
    if kind == "refusal":
        return {"type": "text", "text": str(part.get("refusal") or "")}
    if kind == "input_image" and part.get("image_url"):
        image = {"url": part["image_url"]}
        if part.get("detail"):
            image["detail"] = part["detail"]
        return {"type": "image_url", "image_url": image}
    return part


def _content_to_chat(content: Any) -> Any:
    if not isinstance(content, list):
        return content if isinstance(content, str) else ""
    parts = [_part_to_chat(p) for p in content if isinstance(p, dict)]
    if all(p.get("type") == "text" for p in parts):
        return "\n".join(p["text"] for p in parts)
    return parts


def _output_to_chat(output: Any) -> Any:
    return _content_to_chat(output) if isinstance(output, str | list) else _encode(output).decode()


def items_to_chat(items: Any) -> list[Message]:
    """Input (or output) items as chat messages; tool calls in a row make one assistant message.

    Raises:
        BadInput: neither text nor a list of objects.
    """
    if isinstance(items, str):
        return [{"role": "user", "content": items}]
    if not isinstance(items, list) or not all(isinstance(i, dict) for i in items):
        raise BadInput("The request needs 'input': a text, or a list of items.")
    out: list[Message] = []
    thinking = ""
    for item in items:
        kind = item.get("type") or "message"
        if kind == "message":
            role = str(item.get("role") or "user")
            content = _content_to_chat(item.get("content"))
            out.append({"role": "system" if role == "developer" else role, "content": content})
        elif kind == "function_call":
            function = {"name": str(item.get("name") or ""), "arguments": str(item.get("arguments") or "")}
            call = {"id": str(item.get("call_id") or ""), "type": "function", "function": function}
            if out and out[-1]["role"] == "assistant":
                out[-1].setdefault("tool_calls", []).append(call)
                out[-1]["content"] = out[-1].get("content") or None
            else:
                out.append({"role": "assistant", "content": None, "tool_calls": [call]})
        elif kind == "function_call_output":
            out.append(
                {
                    "role": "tool",
                    "tool_call_id": str(item.get("call_id") or ""),
                    "content": _output_to_chat(item.get("output")),
                }
            )
            continue
        elif kind == "reasoning":
            content = item.get("content") or item.get("summary") or []
            thinking = "".join(str(p.get("text", "")) for p in content if isinstance(p, dict))
            continue
        else:
            out.append(
                {"role": "assistant", "content": [item]}
            )  # kept in its own form: nothing is lost unseen
        if thinking and out and out[-1]["role"] == "assistant":
            out[-1]["reasoning_content"] = thinking
        thinking = ""
    return out


def _tool_to_chat(tool: Any) -> Any:
    if not isinstance(tool, dict) or tool.get("type") != "function":
        return tool  # a tool that runs at the provider: kept as it is
    return {"type": "function", "function": {k: v for k, v in tool.items() if k != "type" and v is not None}}


def to_chat(fields: dict[str, Any]) -> dict[str, Any]:
    """A responses request as a chat request; the conversation before `previous_response_id` is not in it.

    Raises:
        BadInput: `input` makes no sense.
    """
    messages = items_to_chat(fields.get("input", []))
    instructions = fields.get("instructions")
    if isinstance(instructions, str) and instructions:
        messages.insert(0, {"role": "system", "content": instructions})
    if not messages:
        raise BadInput("The request needs 'input': a text, or a list of items.")
    chat: dict[str, Any] = {"model": fields.get("model"), "messages": messages}
    if isinstance(fields.get("tools"), list) and fields["tools"]:
        chat["tools"] = [_tool_to_chat(t) for t in fields["tools"]]
    choice = fields.get("tool_choice")
    if choice is not None:
        named = isinstance(choice, dict) and choice.get("type") == "function" and "name" in choice
        chat["tool_choice"] = {"type": "function", "function": {"name": choice["name"]}} if named else choice
    text = fields.get("text")
    form = text.get("format") if isinstance(text, dict) else None
    if isinstance(form, dict) and form.get("type") == "json_schema":
        schema = {k: v for k, v in form.items() if k != "type" and v is not None}
        chat["response_format"] = {"type": "json_schema", "json_schema": schema}
    elif isinstance(form, dict) and form.get("type") == "json_object":
        chat["response_format"] = {"type": "json_object"}
    if fields.get("max_output_tokens") is not None:
        chat["max_completion_tokens"] = fields["max_output_tokens"]
    reasoning = fields.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("effort"):
        chat["reasoning_effort"] = reasoning["effort"]
    if fields.get("top_logprobs"):
        chat.update(logprobs=True, top_logprobs=fields["top_logprobs"])
    for name in _SAME_NAME:
        if fields.get(name) is not None:
            chat[name] = fields[name]
    return chat


def chat_to_items(messages: list[Message]) -> list[dict[str, Any]]:
    """Chat messages as input items."""
    items: list[dict[str, Any]] = []
    for message in messages:
        role, content = message.get("role"), message.get("content")
        if role == "tool":
            items.append(
                {
                    "type": "function_call_output",
                    "call_id": message.get("tool_call_id"),
                    "output": content
                    if isinstance(content, str)
                    else _content_to_items("tool", content or ""),
                }
            )
            continue
        if content:
            items.append({"type": "message", "role": role, "content": _content_to_items(str(role), content)})
        for call in message.get("tool_calls") or []:
            function = call.get("function") or {}
            items.append(
                {
                    "type": "function_call",
                    "call_id": call.get("id"),
                    "name": function.get("name"),
                    "arguments": function.get("arguments") or "",
                }
            )
    return items


def _content_to_items(role: str, content: Any) -> list[dict[str, Any]]:
    text_kind = "output_text" if role == "assistant" else "input_text"
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    out: list[dict[str, Any]] = []
    for part in parts:
        if part.get("type") == "text":
            out.append({"type": text_kind, "text": part.get("text", "")})
        elif part.get("type") == "image_url":
            image = part.get("image_url")
            url = image.get("url") if isinstance(image, dict) else image
            detail = image.get("detail", "auto") if isinstance(image, dict) else "auto"
            out.append({"type": "input_image", "image_url": url, "detail": detail})
        else:
            out.append(part)
    return out


def from_chat(chat: dict[str, Any]) -> dict[str, Any]:
    """A chat request as a responses request."""
    out: dict[str, Any] = {"model": chat.get("model"), "input": chat_to_items(chat.get("messages") or [])}
    tools = chat.get("tools")
    if tools:
        out["tools"] = [
            {"type": "function", **t["function"]}
            if isinstance(t, dict) and isinstance(t.get("function"), dict)
            else t
            for t in tools
        ]
    choice = chat.get("tool_choice")
    if choice is not None:
        function = choice.get("function") if isinstance(choice, dict) else None
        out["tool_choice"] = {"type": "function", "name": function.get("name")} if function else choice
    form = chat.get("response_format")
    if isinstance(form, dict) and form.get("type") == "json_schema":
        out["text"] = {"format": {"type": "json_schema", **(form.get("json_schema") or {})}}
    elif isinstance(form, dict) and form.get("type") == "json_object":
        out["text"] = {"format": {"type": "json_object"}}
    limit = chat.get("max_completion_tokens") or chat.get("max_tokens")
    if limit is not None:
        out["max_output_tokens"] = limit
    if chat.get("reasoning_effort"):
        out["reasoning"] = {"effort": chat["reasoning_effort"]}
    for name in _SAME_NAME:
        if chat.get(name) is not None:
            out[name] = chat[name]
    return out


# --- answers -> events -----------------------------------------------------------------------------------------------


def _int(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def usage_event(usage: dict[str, Any]) -> UsageSeen:
    """Token counts of a responses `usage` object."""
    details = usage.get("input_tokens_details")
    cached = _int(details.get("cached_tokens")) if isinstance(details, dict) else None
    return UsageSeen(_int(usage.get("input_tokens")), _int(usage.get("output_tokens")), cached)


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


def _output_events(output: Any) -> Iterator[Event]:
    n_tools = 0
    for item in output if isinstance(output, list) else ():
        if not isinstance(item, dict):
            continue
        kind = item.get("type")
        if kind == "message":
            for part in item.get("content") or []:
                if isinstance(part, dict) and part.get("type") == "output_text":
                    yield TextDelta(str(part.get("text") or ""))
                elif isinstance(part, dict) and part.get("type") == "refusal":
                    yield RefusalDelta(str(part.get("refusal") or ""))
        elif kind == "function_call":
            yield ToolStart(n_tools, str(item.get("call_id") or ""), str(item.get("name") or ""))
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
        index = _int(value.get("output_index")) or 0
        if kind == "response.output_text.delta":
            self._any_output = True
            yield TextDelta(str(value.get("delta") or ""))
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
                yield ToolStart(
                    self._tools[index], str(item.get("call_id") or ""), str(item.get("name") or "")
                )
        elif kind == "response.refusal.delta":
            self._any_output = True
            yield RefusalDelta(str(value.get("delta") or ""))
        elif kind in ("response.reasoning_text.delta", "response.reasoning_summary_text.delta"):
            self._any_output = True
            yield ThinkingDelta(str(value.get("delta") or ""))
        elif kind == "response.created":
            response = value.get("response")
            if isinstance(response, dict):
                yield Started(str(response.get("id") or ""), str(response.get("model") or ""))
        elif kind in ("response.completed", "response.incomplete", "response.failed"):
            response = value.get("response")
            self.ended = True
            if isinstance(response, dict):
                if not self._any_output:  # some servers send the whole and no deltas
                    yield from _output_events(response.get("output"))
                output = response.get("output")
                has_tools = bool(self._tools) or any(
                    isinstance(i, dict) and i.get("type") == "function_call"
                    for i in (output if isinstance(output, list) else ())
                )
                yield from _end_events(response, has_tools=has_tools)
        elif kind == "error":
            yield Failed(str(value.get("message") or value.get("code") or "error"))


def read_answer(value: Any) -> list[Event]:
    """The events of a whole response."""
    if not isinstance(value, dict):
        return [Failed("The upstream's answer is not a JSON object.")]
    error = value.get("error")
    if error and value.get("object") != "response":
        return [Failed(str(error.get("message")) if isinstance(error, dict) else str(error))]
    events: list[Event] = [Started(str(value.get("id") or ""), str(value.get("model") or ""))]
    events.extend(_output_events(value.get("output")))
    has_tools = any(isinstance(e, ToolStart) for e in events)
    events.extend(_end_events(value, has_tools=has_tools))
    return events


# --- events -> answers -----------------------------------------------------------------------------------------------


def _usage(prompt: int | None, completion: int | None, cached: int | None) -> dict[str, Any]:
    return {
        "input_tokens": prompt or 0,
        "input_tokens_details": {"cached_tokens": cached or 0, "cache_write_tokens": 0},
        "output_tokens": completion or 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": (prompt or 0) + (completion or 0),
    }


def _shell(id_: str, model: str, created: int, fields: dict[str, Any]) -> dict[str, Any]:
    """A response without its output: what the request said, echoed as the API does."""
    return {
        "id": id_,
        "object": "response",
        "created_at": created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": fields.get("instructions"),
        "metadata": fields.get("metadata") or {},
        "max_output_tokens": fields.get("max_output_tokens"),
        "model": model,
        "output": [],
        "parallel_tool_calls": fields.get("parallel_tool_calls", True),
        "previous_response_id": fields.get("previous_response_id"),
        "reasoning": fields.get("reasoning") or {"effort": None, "summary": None},
        "store": fields.get("store", True),
        "temperature": fields.get("temperature", 1.0),
        "text": fields.get("text") or {"format": {"type": "text"}},
        "tool_choice": fields.get("tool_choice") or "auto",
        "tools": fields.get("tools") or [],
        "top_p": fields.get("top_p", 1.0),
        "truncation": "disabled",
        "usage": None,
        "user": fields.get("user"),
    }


def _status(reason: str) -> tuple[str, dict[str, str] | None]:
    if reason == "length":
        return "incomplete", {"reason": "max_output_tokens"}
    if reason == "content_filter":
        return "incomplete", {"reason": "content_filter"}
    return "completed", None


class ResponsesStreamWriter:
    """Writes events as the frames of a responses stream: items one after the other, every event numbered."""

    def __init__(self, *, id_: str, model: str, created: int, fields: dict[str, Any]) -> None:
        self._shell = _shell(id_, model, created, fields)
        self._stem = id_.removeprefix("resp_")
        self._number = 0
        self._begun = False
        self._output: list[dict[str, Any]] = []
        self._open = ""
        """What is open: reasoning, text, refusal, tool:<index>, or "" for nothing."""
        self._pieces: list[str] = []
        self._item: dict[str, Any] = {}
        self._usage = UsageSeen()
        self._reason = ""
        self._failed = False

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
            return self._begin() + self._fail(event.message, event.kind)
        if isinstance(event, Finished):
            self._reason = event.reason
            return self._begin() + self._close()
        out = self._begin()
        if isinstance(event, TextDelta):
            out += self._part("text")
            return out + self._piece("response.output_text.delta", event.text, content_index=0, logprobs=[])
        if isinstance(event, RefusalDelta):
            out += self._part("refusal")
            return out + self._piece("response.refusal.delta", event.text, content_index=0)
        if isinstance(event, ThinkingDelta):
            out += self._reasoning()
            return out + self._piece("response.reasoning_text.delta", event.text, content_index=0)
        if isinstance(event, ToolStart):
            return out + self._tool(event)
        if isinstance(event, ToolDelta):
            if self._open != f"tool:{event.index}":
                return out + self._fail(
                    "The upstream interleaved its tool calls, which cannot be passed on.", "upstream_error"
                )
            return out + self._piece("response.function_call_arguments.delta", event.arguments)
        return out

    def _frame(self, kind: str, **body: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        return encode_event(kind, _encode({"type": kind, "sequence_number": number, **body}))

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._frame("response.created", response=self._shell) + self._frame(
            "response.in_progress", response=self._shell
        )

    @property
    def _index(self) -> int:
        return len(self._output)

    def _open_item(self, name: str, item: dict[str, Any]) -> bytes:
        closed = self._close()
        self._open, self._item, self._pieces = name, item, []
        return closed + self._frame("response.output_item.added", output_index=self._index, item=item)

    def _part(self, name: str) -> bytes:
        if self._open == name:
            return b""
        item = {
            "id": f"msg_{self._stem}_{self._index}",
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        out = self._open_item(name, item)
        return out + self._frame(
            "response.content_part.added",
            item_id=item["id"],
            output_index=self._index,
            content_index=0,
            part=_part(name, ""),
        )

    def _reasoning(self) -> bytes:
        if self._open == "reasoning":
            return b""
        item = {"id": f"rs_{self._stem}_{self._index}", "type": "reasoning", "summary": [], "content": []}
        return self._open_item("reasoning", item)

    def _tool(self, event: ToolStart) -> bytes:
        item = {
            "id": f"fc_{self._stem}_{self._index}",
            "type": "function_call",
            "status": "in_progress",
            "call_id": event.id,
            "name": event.name,
            "arguments": "",
        }
        return self._open_item(f"tool:{event.index}", item)

    def _piece(self, kind: str, delta: str, **more: Any) -> bytes:
        self._pieces.append(delta)
        return self._frame(kind, item_id=self._item["id"], output_index=self._index, delta=delta, **more)

    def _close(self) -> bytes:
        if not self._open:
            return b""
        name, item, text, index = self._open, self._item, "".join(self._pieces), self._index
        where = {"item_id": item["id"], "output_index": index}
        self._open = ""
        if name in ("text", "refusal"):
            part = _part(name, text)
            if name == "text":
                out = self._frame(
                    "response.output_text.done", **where, content_index=0, text=text, logprobs=[]
                )
            else:
                out = self._frame("response.refusal.done", **where, content_index=0, refusal=text)
            out += self._frame("response.content_part.done", **where, content_index=0, part=part)
            item = {**item, "status": "completed", "content": [part]}
        elif name == "reasoning":
            out = self._frame("response.reasoning_text.done", **where, content_index=0, text=text)
            item = {**item, "content": [{"type": "reasoning_text", "text": text}]}
        else:
            out = self._frame(
                "response.function_call_arguments.done", **where, arguments=text or "{}", name=item["name"]
            )
            item = {**item, "status": "completed", "arguments": text or "{}"}
        self._output.append(item)
        return out + self._frame("response.output_item.done", output_index=index, item=item)

    def _whole(self, **changed: Any) -> dict[str, Any]:
        usage = _usage(self._usage.prompt_tokens, self._usage.completion_tokens, self._usage.cached_tokens)
        return {**self._shell, "output": self._output, "usage": usage, **changed}

    def _fail(self, message: str, code: str) -> bytes:
        self._failed = True
        error = {"code": "server_error", "message": message}
        return self._frame("error", code=code, message=message, param=None) + self._frame(
            "response.failed", response=self._whole(status="failed", error=error)
        )

    def end(self) -> bytes:
        """What closes the stream; b"" after a failure."""
        if self._failed or not self._reason:
            return b""
        status, details = _status(self._reason)
        return self._frame(
            f"response.{status}", response=self._whole(status=status, incomplete_details=details)
        )


def _part(name: str, text: str) -> dict[str, Any]:
    if name == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def encode_answer(answer: Completion, *, id_: str, model: str, created: int, fields: dict[str, Any]) -> bytes:
    """A whole response."""
    message = answer.message
    stem = id_.removeprefix("resp_")
    output: list[dict[str, Any]] = []
    if message.get("reasoning_content"):
        content = [{"type": "reasoning_text", "text": message["reasoning_content"]}]
        output.append({"id": f"rs_{stem}_0", "type": "reasoning", "summary": [], "content": content})
    for name, text in (("text", message.get("content")), ("refusal", message.get("refusal"))):
        if text:
            output.append(
                {
                    "id": f"msg_{stem}_{len(output)}",
                    "type": "message",
                    "status": "completed",
                    "role": "assistant",
                    "content": [_part(name, str(text))],
                }
            )
    for call in message.get("tool_calls") or []:
        function = call.get("function") or {}
        output.append(
            {
                "id": f"fc_{stem}_{len(output)}",
                "type": "function_call",
                "status": "completed",
                "call_id": call.get("id"),
                "name": function.get("name"),
                "arguments": function.get("arguments") or "{}",
            }
        )
    status, details = _status(answer.finish_reason)
    usage = answer.usage
    counts = _usage(
        usage.prompt_tokens if usage else 0, usage.completion_tokens if usage else 0, answer.cached_tokens
    )
    whole = {
        **_shell(id_, model, created, fields),
        "status": status,
        "incomplete_details": details,
        "output": output,
        "usage": counts,
    }
    return _encode(whole)


def error_body(message: str, kind: str, code: str | None = None) -> bytes:
    """An error in OpenAI's form."""
    return _encode({"error": {"message": message, "type": kind, "param": None, "code": code}})


def error_frame(message: str, code: str | None) -> bytes:
    """An error inside a stream that has begun."""
    body = {"type": "error", "sequence_number": 0, "code": code, "message": message, "param": None}
    return encode_event("error", _encode(body))


class ResponsesDialect:
    """OpenAI responses as a dialect."""

    name = "responses"
    path = "/v1/responses"

    def to_chat(self, fields: dict[str, Any]) -> dict[str, Any]:
        return to_chat(fields)

    def from_chat(self, chat: dict[str, Any]) -> dict[str, Any]:
        return from_chat(chat)

    def params(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {k: v for k, v in fields.items() if k not in _OWN}

    def reader(self) -> ResponsesStreamParser:
        return ResponsesStreamParser()

    def parse_answer(self, value: Any) -> Completion:
        return assemble(read_answer(value))

    def writer(self, *, id_: str, model: str, created: int, fields: dict[str, Any]) -> ResponsesStreamWriter:
        return ResponsesStreamWriter(id_=id_, model=model, created=created, fields=fields)

    def encode_answer(
        self, answer: Completion, *, id_: str, model: str, created: int, fields: dict[str, Any]
    ) -> bytes:
        return encode_answer(answer, id_=id_, model=model, created=created, fields=fields)

    def error_body(self, status: int, message: str, kind: str, code: str | None) -> bytes:
        return error_body(message, kind, code)

    def error_frame(self, status: int, message: str, kind: str, code: str | None) -> bytes:
        return error_frame(message, code)
