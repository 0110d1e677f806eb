"""Replies of Anthropic's messages, read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deputize.wire.events import (
    Event,
    Failed,
    Finished,
    NotRecorded,
    ToolDelta,
    ToolStart,
    UsageSeen,
    assemble,
)
from deputize.wire.messages_parser import MessagesStreamParser, chat_reason, parse_reply, usage_event
from deputize.wire.sse import parse_frame


def read(parser: MessagesStreamParser, *values: dict[str, Any]) -> list[Event]:
    frames = [b"data: " + json.dumps(v).encode() + b"\n\n" for v in values]
    return [event for frame in frames for event in parser.read(parse_frame(frame))]


def test_cached_tokens_count_as_prompt_tokens() -> None:
    counts = {"input_tokens": 1, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 300}
    assert usage_event(counts) == UsageSeen(321, None, 20, 300)


def test_arguments_may_come_with_the_start_of_their_block() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}
    events = read(
        MessagesStreamParser(),
        {"type": "content_block_start", "index": 3, "content_block": block},
        {"type": "content_block_stop", "index": 3},
    )
    assert events == [ToolStart(0, "t", "f"), ToolDelta(0, '{"a":1}')]


def test_ends() -> None:
    parser = MessagesStreamParser()
    assert read(parser, {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}) == [
        Finished("length")
    ]
    assert not parser.ended and read(parser, {"type": "message_stop"}) == [] and parser.ended
    assert read(parser, {"type": "error", "error": {"type": "api_error"}}) == [Failed("api_error")]
    assert [chat_reason(r) for r in ("refusal", "unheard_of")] == ["content_filter", "stop"]


def test_a_whole_error() -> None:
    assert parse_reply({"type": "error", "error": {"message": "no"}}).message == {}


@pytest.mark.parametrize(
    ("start", "delta", "prompt"),
    [
        ({"input_tokens": 120, "output_tokens": 1}, {"input_tokens": 0, "output_tokens": 9}, 120),
        (
            {"input_tokens": 120, "cache_read_input_tokens": 1000},
            {"input_tokens": 120, "output_tokens": 9},
            1120,
        ),
        ({"input_tokens": 9}, {"cache_read_input_tokens": 33000, "output_tokens": 9}, 33009),
        (
            {"input_tokens": 33009},
            {"input_tokens": 9, "cache_read_input_tokens": 33000, "output_tokens": 9},
            33009,
        ),
        ({"input_tokens": 5}, {"output_tokens": 9}, 5),
    ],
)
def test_the_end_of_a_stream_takes_no_counts_back(
    start: dict[str, int], delta: dict[str, int], prompt: int
) -> None:
    parser = MessagesStreamParser()
    frames = [
        {"type": "message_start", "message": {"id": "m", "model": "c", "usage": start}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": delta},
    ]
    events = [
        e for f in frames for e in parser.read(parse_frame(b"data: " + json.dumps(f).encode() + b"\n\n"))
    ]
    usage = assemble(events).usage
    assert usage is not None and (usage.prompt_tokens, usage.completion_tokens) == (prompt, 9)


def test_blocks_that_are_not_held_are_named() -> None:
    blocks = [
        {"type": "text", "text": "a"},
        {"type": "mcp_tool_use", "name": "x"},
        {"type": "redacted_thinking"},
    ]
    assert parse_reply({"content": blocks, "stop_reason": "end_turn"}).message["not_recorded"] == [
        "mcp_tool_use"
    ]
    parser = MessagesStreamParser()
    frame = {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}}
    assert parser.read(parse_frame(b"data: " + json.dumps(frame).encode() + b"\n\n")) == [
        NotRecorded("server_tool_use")
    ]


def test_counts_that_no_call_can_have_are_none() -> None:
    for tokens in (-1, 10**400):
        assert usage_event({"input_tokens": tokens, "output_tokens": tokens}) == UsageSeen()
