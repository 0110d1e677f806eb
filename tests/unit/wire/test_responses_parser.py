"""Replies of OpenAI's responses, read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deputize.wire.events import Event, Failed, Finished, TextDelta, ToolDelta, ToolStart
from deputize.wire.responses_parser import ResponsesStreamParser, parse_reply, reply_events
from deputize.wire.sse import parse_frame


def read(parser: ResponsesStreamParser, *values: dict[str, Any]) -> list[Event]:
    frames = [b"data: " + json.dumps(v).encode() + b"\n\n" for v in values]
    return [event for frame in frames for event in parser.read(parse_frame(frame))]


def test_arguments_that_come_only_at_the_end_count_once() -> None:
    added = {"type": "function_call", "call_id": "c", "name": "f"}
    done = {"type": "response.function_call_arguments.done", "output_index": 0, "arguments": "{}"}
    events = read(
        ResponsesStreamParser(),
        {"type": "response.output_item.added", "output_index": 0, "item": added},
        done,
        done,
    )
    assert events == [ToolStart(0, "c", "f"), ToolDelta(0, "{}")]


def test_output_that_comes_only_at_the_end_is_read() -> None:
    item = {"type": "message", "content": [{"type": "output_text", "text": "hi"}]}
    parser = ResponsesStreamParser()
    response = {"status": "completed", "output": [item]}
    assert read(parser, {"type": "response.completed", "response": response}) == [
        TextDelta("hi"),
        Finished("stop"),
    ]
    assert parser.ended


@pytest.mark.parametrize(
    ("response", "end"),
    [
        (
            {"status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
            Finished("content_filter"),
        ),
        ({"status": "incomplete"}, Finished("length")),
        ({"status": "failed", "error": {"message": "no"}}, Failed("no")),
        ({"status": "cancelled"}, Failed("The response was cancelled.")),
    ],
)
def test_ends(response: dict[str, Any], end: Event) -> None:
    assert reply_events({"object": "response", **response})[-1] == end


def test_an_error_body_is_a_failure() -> None:
    assert reply_events({"error": {"message": "no"}}) == [Failed("no")]
    assert parse_reply([]).message == {}
