"""Chat replies and streams, read."""

from __future__ import annotations

import json
from typing import Any

from deputize.wire.chat_parser import ChatStreamParser, parse_reply, reply_events
from deputize.wire.events import Event, Failed, Finished, Started, TextDelta, ToolDelta, ToolStart
from deputize.wire.sse import parse_frame


def read(parser: ChatStreamParser, value: Any) -> list[Event]:
    return parser.read(parse_frame(b"data: " + json.dumps(value).encode() + b"\n\n"))


def test_tool_fragments_without_an_index_are_put_in_order() -> None:
    """Some servers send no index, or -1: an id opens a call, a fragment without one goes on with the last."""
    parser = ChatStreamParser()
    calls = [
        {"id": "a", "function": {"name": "f", "arguments": "{"}},
        {"index": -1, "function": {"arguments": "}"}},
        {"id": "b", "function": {"name": "g", "arguments": "{}"}},
    ]
    events = [e for c in calls for e in read(parser, {"choices": [{"delta": {"tool_calls": [c]}}]})][1:]
    assert events == [
        ToolStart(0, "a", "f"),
        ToolDelta(0, "{"),
        ToolDelta(0, "}"),
        ToolStart(1, "b", "g"),
        ToolDelta(1, "{}"),
    ]


def test_only_the_first_choice_is_read() -> None:
    choices = [{"index": 1, "delta": {"content": "no"}}, {"index": 0, "delta": {"content": "yes"}}]
    assert read(ChatStreamParser(), {"id": "c", "choices": choices}) == [Started("c"), TextDelta("yes")]


def test_a_chunk_of_counts_alone_is_marked() -> None:
    parser = ChatStreamParser()
    read(parser, {"choices": [], "usage": {"prompt_tokens": 1}})
    assert parser.usage_only
    read(parser, {"choices": [{"delta": {}}], "usage": {"prompt_tokens": 1}})
    assert not parser.usage_only


def test_errors_are_failures() -> None:
    assert reply_events({"error": {"code": "x"}}) == [Failed("x")]
    assert reply_events("text") == [Failed("The upstream's answer is not a JSON object.")]
    old = {
        "choices": [{"message": {"function_call": {"name": "f", "arguments": "{}"}}, "finish_reason": "stop"}]
    }
    assert reply_events(old)[1:] == [ToolStart(0, "", "f"), ToolDelta(0, "{}"), Finished("stop")]
    assert parse_reply(old).message["tool_calls"][0]["function"]["name"] == "f"
