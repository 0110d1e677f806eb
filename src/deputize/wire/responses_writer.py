"""Replies and streams in the form of OpenAI's responses, written from events.

References:
    OpenAI API reference, "Responses" and "Streaming responses".
"""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.records import Message
from deputize.wire.chat_writer import error_body
from deputize.wire.dialect import ReplyHead
from deputize.wire.events import (
    Completion,
    Event,
    Failed,
    Finished,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStart,
    UsageSeen,
    call_parts,
)
from deputize.wire.sse import encode_event
from deputize.wire.tool_order import ToolCallOrder

_encode = msgspec.json.Encoder().encode


def _usage(counts: UsageSeen) -> dict[str, Any]:
    prompt, completion = counts.prompt_tokens or 0, counts.completion_tokens or 0
    return {
        "input_tokens": prompt,
        "input_tokens_details": {
            "cached_tokens": counts.cached_tokens or 0,
            "cache_write_tokens": counts.cache_write_tokens or 0,
        },
        "output_tokens": completion,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning_tokens or 0},
        "total_tokens": prompt + completion,
    }


def _empty_response(head: ReplyHead) -> dict[str, Any]:
    """A response without its output; it repeats the settings of the request, as the API does."""
    fields = head.fields
    return {
        "id": head.id,
        "object": "response",
        "created_at": head.created,
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": fields.get("instructions"),
        "metadata": fields.get("metadata") or {},
        "max_output_tokens": fields.get("max_output_tokens"),
        "model": head.model,
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

    def __init__(self, head: ReplyHead) -> None:
        self._empty = _empty_response(head)
        self._order = ToolCallOrder()
        self._stem = head.id.removeprefix("resp_")
        self._number = 0
        self._begun = False
        self._output: list[dict[str, Any]] = []
        self._open = ""
        """Kind of the open item: reasoning, text, refusal, tool:<index>, or "" for none."""
        self._pieces: list[str] = []
        self._item: dict[str, Any] = {}
        self._usage = UsageSeen()
        self._reason = ""
        self._failed = False

    def write(self, event: Event) -> bytes:
        """The frames for one event; b"" where the protocol has none for it, and after a failure."""
        return b"".join([self._write(ordered) for ordered in self._order.order(event)])

    def _write(self, event: Event) -> bytes:
        if isinstance(event, UsageSeen):
            self._usage = self._usage.updated(event)
            return b""
        if self._failed:
            return b""
        if isinstance(event, Failed):
            return self._begin() + self._fail(event.message, event.kind)
        if isinstance(event, Finished):
            self._reason = event.reason
            return self._begin()
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
            return out + self._piece(_CALL_EVENTS[self._item["type"]] + ".delta", event.arguments)
        return out

    def _frame(self, kind: str, **body: Any) -> bytes:
        number, self._number = self._number, self._number + 1
        return encode_event(kind, _encode({"type": kind, "sequence_number": number, **body}))

    def _begin(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._frame("response.created", response=self._empty) + self._frame(
            "response.in_progress", response=self._empty
        )

    @property
    def _index(self) -> int:
        return len(self._output)

    def _open_item(self, name: str, item: dict[str, Any]) -> bytes:
        self._open, self._item, self._pieces = name, item, []
        return self._frame("response.output_item.added", output_index=self._index, item=item)

    def _part(self, name: str) -> bytes:
        if self._open == name:
            return b""
        closed = self._close()  # first, since the number of items makes the next one's id
        item = {
            "id": f"msg_{self._stem}_{self._index}",
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [],
        }
        out = closed + self._open_item(name, item)
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
        closed = self._close()
        item = {"id": f"rs_{self._stem}_{self._index}", "type": "reasoning", "summary": [], "content": []}
        return closed + self._open_item("reasoning", item)

    def _tool(self, event: ToolStart) -> bytes:
        if self._open == f"tool:{event.index}":
            return b""  # a server that names a call again
        closed = self._close()  # first, since the number of items makes the next one's id
        item = _call_item(f"{self._stem}_{self._index}", event, "", "in_progress")
        return closed + self._open_item(f"tool:{event.index}", item)

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
            field = _CALL_FIELDS[item["type"]]
            given = {field: text or _NOTHING[field]}
            named = {"name": item["name"]} if field == "arguments" else {}
            out = self._frame(_CALL_EVENTS[item["type"]] + ".done", **where, **given, **named)
            item = {**item, "status": "completed", **given}
        self._output.append(item)
        return out + self._frame("response.output_item.done", output_index=index, item=item)

    def _whole(self, **changed: Any) -> dict[str, Any]:
        return {**self._empty, "output": self._output, "usage": _usage(self._usage), **changed}

    def _fail(self, message: str, code: str) -> bytes:
        self._failed = True
        error = {"code": "server_error", "message": message}
        return self._frame("error", **_error_fields(message, code, code)) + self._frame(
            "response.failed", response=self._whole(status="failed", error=error)
        )

    def end(self) -> bytes:
        """The frames that close the stream; b"" after a failure."""
        if self._failed or not self._reason:
            return b""
        closed = self._close()
        status, details = _status(self._reason)
        return closed + self._frame(
            f"response.{status}", response=self._whole(status=status, incomplete_details=details)
        )


_CALL_FIELDS = {"function_call": "arguments", "custom_tool_call": "input"}
_CALL_EVENTS = {
    "function_call": "response.function_call_arguments",
    "custom_tool_call": "response.custom_tool_call_input",
}
_NOTHING = {"arguments": "{}", "input": ""}
_NOTHING_OF = {False: "{}", True: ""}


def _call_item(stem: str, start: ToolStart, given: str, status: str) -> dict[str, Any]:
    """The item of a tool call; `stem` makes its id."""
    kind, letters = ("custom_tool_call", "ctc") if start.custom else ("function_call", "fc")
    return {
        "id": f"{letters}_{stem}",
        "type": kind,
        "status": status,
        "call_id": start.id,
        "name": start.name,
        _CALL_FIELDS[kind]: given,
    }


def _part(name: str, text: str) -> dict[str, Any]:
    if name == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def encode_reply(reply: Completion, head: ReplyHead) -> bytes:
    """A whole response."""
    status, details = _status(reply.reason)
    whole = {
        **_empty_response(head),
        "status": status,
        "incomplete_details": details,
        "output": _output_items(reply.message, head.id.removeprefix("resp_")),
        "usage": _usage(reply.counts),
    }
    return _encode(whole)


def _output_items(message: Message, stem: str) -> list[dict[str, Any]]:
    """The items of a whole reply; `stem` makes their ids."""
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
    for index, call in enumerate(message.get("tool_calls") or []):
        start, given = call_parts(index, call)
        output.append(
            _call_item(f"{stem}_{len(output)}", start, given or _NOTHING_OF[start.custom], "completed")
        )
    return output


def error_frame(status: int, message: str, kind: str, code: str | None) -> bytes:
    """An error inside a stream that has begun."""
    body = {"type": "error", "sequence_number": 0, **_error_fields(message, kind, code)}
    return encode_event("error", _encode(body))


def _error_fields(message: str, kind: str, code: str | None) -> dict[str, Any]:
    """An error as the reference has it, and once more as an object: OpenAI's servers send the object, and it is what
    makes their clients raise."""
    fields = {"code": code, "message": message, "param": None}
    return {**fields, "error": {"type": kind, **fields}}


__all__ = ["ResponsesStreamWriter", "encode_reply", "error_body", "error_frame"]
