"""Replies of Anthropic's messages, read."""

from __future__ import annotations

import json
from typing import Any

from deputize.wire.events import Event, Failed, Finished, ToolDelta, ToolStart, UsageSeen
from deputize.wire.messages_parser import MessagesStreamParser, chat_reason, parse_reply, usage_event
from deputize.wire.sse import parse_frame


def read(parser: MessagesStreamParser, *values: dict[str, Any]) -> list[Event]:
    frames = [b"data: " + json.dumps(v).encode() + b"\n\n" for v in values]
    return [event for frame in frames for event in parser.read(parse_frame(frame))]


def test_cached_tokens_count_as_prompt_tokens() -> None:
    counts = {"input_tokens": 1, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 300}
    assert usage_event(counts) == UsageSeen(321, None, 20)


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
