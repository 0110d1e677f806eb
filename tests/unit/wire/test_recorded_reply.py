"""Streams of every protocol, as logs keep them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deputize.wire.recorded_reply import is_stream_text, reply_of_chunks, reply_of_text

CHAT: list[dict[str, Any]] = [
    {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"role": "assistant", "content": "a"}}]},
    {"choices": [{"index": 0, "delta": {"content": "b"}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
]
MESSAGES: list[dict[str, Any]] = [
    {
        "type": "message_start",
        "message": {"id": "c", "model": "m", "usage": {"input_tokens": 3, "output_tokens": 1}},
    },
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "ab"}},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
]
RESPONSES: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "c", "model": "m"}},
    {"type": "response.output_text.delta", "delta": "ab"},
    {
        "type": "response.completed",
        "response": {"status": "completed", "usage": {"input_tokens": 3, "output_tokens": 2}, "output": []},
    },
]
GEMINI: list[dict[str, Any]] = [
    {"candidates": [{"content": {"parts": [{"text": "ab"}]}, "finishReason": "STOP"}], "modelVersion": "m"},
    {"usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 2}},
]


@pytest.mark.parametrize("chunks", [CHAT, MESSAGES, RESPONSES, GEMINI])
def test_a_stream_is_read_as_a_list_as_lines_and_as_text(chunks: list[dict[str, Any]]) -> None:
    lines = [json.dumps(chunk) for chunk in chunks]
    text = "".join(f"data: {line}\n\n" for line in lines)
    assert is_stream_text(text) and not is_stream_text("data: of the year")
    for found in (
        reply_of_chunks(chunks),
        reply_of_chunks(lines),
        reply_of_chunks([f"data: {line}\n\n" for line in lines]),
        reply_of_text(text),
        reply_of_text(text.replace("\n\n", "\n")),
    ):
        assert found is not None and found.is_whole
        assert found.completion.message["content"] == "ab" and found.completion.model == "m"
        usage = found.completion.usage
        assert usage is not None and (usage.prompt_tokens, usage.completion_tokens) == (3, 2)


def test_a_cut_stream_says_so_and_an_error_is_named() -> None:
    found = reply_of_chunks(CHAT[:2])
    assert found is not None and not found.is_whole and found.completion.message["content"] == "ab"
    failed = reply_of_chunks([*CHAT[:1], {"error": {"message": "overloaded"}}])
    assert failed is not None and failed.error == "overloaded"
    assert reply_of_chunks([{"a": 1}]) is None and reply_of_chunks([]) is None
