"""Frames of the protocols, for the tests next to this file."""

from __future__ import annotations

import json
from typing import Any

from tests.integration.gateway.upstream import DONE, Stream, Whole, chunk, completion, usage_chunk


def event(kind: str, **body: Any) -> bytes:
    """A named frame, as Anthropic's messages and OpenAI's responses have them."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode()


def tool_frames(*arguments: str, name: str = "weather", finish: str = "tool_calls") -> list[bytes | float]:
    """A chat stream with one tool call."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    return [
        chunk({"role": "assistant", "content": None}),
        chunk({"tool_calls": [first]}),
        *(chunk({"tool_calls": [{"index": 0, "function": {"arguments": a}}]}) for a in arguments),
        chunk({}, finish),
        usage_chunk(),
        DONE,
    ]


def response_frames(text: str, end: str = "completed", **details: Any) -> list[bytes | float]:
    """A responses stream with one message."""
    shell = {
        "id": "resp_up",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    where = {"item_id": "msg_1", "output_index": 0}
    usage = {
        "input_tokens": 8,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 10,
    }
    rows: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": {**shell, "status": "in_progress"}}),
        (
            "response.output_item.added",
            {"output_index": 0, "item": {**item, "status": "in_progress", "content": []}},
        ),
        ("response.content_part.added", {**where, "content_index": 0, "part": {**part, "text": ""}}),
        ("response.output_text.delta", {**where, "content_index": 0, "delta": text, "logprobs": []}),
        ("response.output_text.done", {**where, "content_index": 0, "text": text, "logprobs": []}),
        ("response.content_part.done", {**where, "content_index": 0, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": item}),
        (
            f"response.{end}",
            {"response": {**shell, "status": end, "output": [item], "usage": usage, **details}},
        ),
    ]
    return [event(kind, sequence_number=n, **body) for n, (kind, body) in enumerate(rows)]


# --- one answer in every protocol: some text, then one tool call -----------------------------------------------------

SAID, CITY = "Let me look.", '{"city": "Köln"}'
_USAGE = {"input_tokens": 11, "output_tokens": 3}
_CHAT_CALL = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": CITY}}
_ITEMS: list[dict[str, Any]] = [
    {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": [{"type": "output_text", "text": SAID, "annotations": [], "logprobs": []}],
    },
    {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "call_1",
        "name": "weather",
        "arguments": CITY,
    },
]


def look(protocol: str, *, stream: bool) -> Whole | Stream:
    """`SAID` and a call of `weather` with `CITY`, as an upstream of a protocol answers; 11 tokens in, 3 out."""
    return {"chat": _look_chat, "responses": _look_responses, "messages": _look_messages}[protocol](stream)


def _look_chat(stream: bool) -> Whole | Stream:
    if not stream:
        return completion(SAID, tool_calls=[_CHAT_CALL])
    frames = tool_frames(CITY[:9], CITY[9:])
    return Stream(
        [chunk({"role": "assistant", "content": "Let "}), chunk({"content": "me look."}), *frames[1:]]
    )


def _response(status: str, **more: Any) -> dict[str, Any]:
    return {
        "id": "resp_up",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "output": [],
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "status": status,
        **more,
    }


def _look_responses(stream: bool) -> Whole | Stream:
    usage = {
        **_USAGE,
        "total_tokens": 14,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    done = _response("completed", output=_ITEMS, usage=usage)
    if not stream:
        return Whole(json.dumps(done).encode())
    text, call = _ITEMS
    at: list[dict[str, Any]] = [{"item_id": i["id"], "output_index": n} for n, i in enumerate(_ITEMS)]
    part = text["content"][0]
    rows: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": _response("in_progress")}),
        (
            "response.output_item.added",
            {"output_index": 0, "item": {**text, "content": [], "status": "in_progress"}},
        ),
        ("response.content_part.added", {**at[0], "content_index": 0, "part": {**part, "text": ""}}),
        ("response.output_text.delta", {**at[0], "content_index": 0, "delta": "Let ", "logprobs": []}),
        ("response.output_text.delta", {**at[0], "content_index": 0, "delta": "me look.", "logprobs": []}),
        ("response.output_text.done", {**at[0], "content_index": 0, "text": SAID, "logprobs": []}),
        ("response.content_part.done", {**at[0], "content_index": 0, "part": part}),
        ("response.output_item.done", {"output_index": 0, "item": text}),
        (
            "response.output_item.added",
            {"output_index": 1, "item": {**call, "arguments": "", "status": "in_progress"}},
        ),
        ("response.function_call_arguments.delta", {**at[1], "delta": CITY[:9]}),
        ("response.function_call_arguments.delta", {**at[1], "delta": CITY[9:]}),
        ("response.function_call_arguments.done", {**at[1], "arguments": CITY, "name": "weather"}),
        ("response.output_item.done", {"output_index": 1, "item": call}),
        ("response.completed", {"response": done}),
    ]
    return Stream([event(kind, sequence_number=n, **body) for n, (kind, body) in enumerate(rows)])


def _look_messages(stream: bool) -> Whole | Stream:
    call = {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}}
    message: dict[str, Any] = {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "model": "c",
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "content": [{"type": "text", "text": SAID}, {**call, "input": json.loads(CITY)}],
        "usage": _USAGE,
    }
    if not stream:
        return Whole(json.dumps(message).encode())
    start = {**message, "content": [], "stop_reason": None, "usage": {"input_tokens": 11, "output_tokens": 1}}
    return Stream(
        [
            event("message_start", message=start),
            event("ping"),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": "Let "}),
            event("content_block_delta", index=0, delta={"type": "text_delta", "text": "me look."}),
            event("content_block_stop", index=0),
            event("content_block_start", index=1, content_block=call),
            event(
                "content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": CITY[:9]}
            ),
            event(
                "content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": CITY[9:]}
            ),
            event("content_block_stop", index=1),
            event(
                "message_delta",
                delta={"stop_reason": "tool_use", "stop_sequence": None},
                usage={"output_tokens": 3},
            ),
            event("message_stop"),
        ]
    )
