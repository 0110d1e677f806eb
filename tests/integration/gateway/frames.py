"""Frames of the protocols, for the tests beside this file."""

from __future__ import annotations

import json
from typing import Any

from upstream import DONE, chunk, usage_chunk


def event(kind: str, **body: Any) -> bytes:
    """A named frame, as Anthropic's messages and OpenAI's responses have them."""
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode()


def tool_frames(*arguments: str, name: str = "weather", finish: str = "tool_calls") -> list[bytes | float]:
    """A chat stream with one tool call."""
    first = {"index": 0, "id": "call_1", "type": "function", "function": {"name": name, "arguments": ""}}
    return [
        chunk({"role": "assistant", "content": None}), chunk({"tool_calls": [first]}),
        *(chunk({"tool_calls": [{"index": 0, "function": {"arguments": a}}]}) for a in arguments),
        chunk({}, finish), usage_chunk(), DONE,
    ]  # fmt: skip


def response_frames(text: str, end: str = "completed", **details: Any) -> list[bytes | float]:
    """A responses stream with one message."""
    shell = {
        "id": "resp_up", "object": "response", "created_at": 1, "model": "m", "output": [], "parallel_tool_calls": True,
        "tool_choice": "auto", "tools": [],
    }  # fmt: skip
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    item = {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
    where = {"item_id": "msg_1", "output_index": 0}
    usage = {
        "input_tokens": 8, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 10,
    }  # fmt: skip
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
