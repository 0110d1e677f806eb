"""Chat replies and streams, read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deputize.wire.chat_parser import ChatStreamParser, parse_reply, reply_events, usage_event
from deputize.wire.events import (
    Event,
    Failed,
    Finished,
    Started,
    TextDelta,
    ToolDelta,
    ToolStart,
    UsageSeen,
    assemble,
)
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


def fragment(index: int | None, id_: str = "", name: str = "", arguments: str = "") -> dict[str, Any]:
    call: dict[str, Any] = {"function": {"name": name, "arguments": arguments}}
    call |= {"index": index} if index is not None else {}
    return {"choices": [{"delta": {"tool_calls": [call | ({"id": id_} if id_ else {})]}}]}


def calls_of(*fragments: dict[str, Any]) -> list[tuple[str, str, str]]:
    parser = ChatStreamParser()
    made = assemble(e for f in fragments for e in read(parser, f)).message["tool_calls"]
    return [(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in made]


@pytest.mark.parametrize(
    ("fragments", "calls"),
    [
        (
            [fragment(0, "a", "f", '{"x":1}'), fragment(0, "b", "g", '{"y":2}')],
            [("a", "f", '{"x":1}'), ("b", "g", '{"y":2}')],
        ),
        ([fragment(0, "a", "f", ""), fragment(0, "b", "g", "{}")], [("a", "f", ""), ("b", "g", "{}")]),
        ([fragment(0, "", "f", "{}"), fragment(0, "", "g", "{}")], [("", "f", "{}"), ("", "g", "{}")]),
        ([fragment(0, "a", "f", '{"x'), fragment(0, "a", "f", '":1}')], [("a", "f", '{"x":1}')]),
        ([fragment(0, "a", "f", '{"x'), fragment(0, "b", "f", '":1}')], [("a", "f", '{"x":1}')]),
        ([fragment(0, "a", "f", "{}"), fragment(0, "a", "f", "")], [("a", "f", "{}")]),
        (
            [fragment(0, "a", "f", '{"x'), fragment(0, "", "", '":1}'), fragment(0, "a", "f", '{"x":1}')],
            [("a", "f", '{"x":1}')],
        ),
        (
            [
                fragment(0, "a", "f"),
                fragment(1, "b", "g"),
                fragment(0, "", "", "{}"),
                fragment(1, "", "", "{}"),
            ],
            [("a", "f", "{}"), ("b", "g", "{}")],
        ),
        ([fragment(0, "", "f"), fragment(0, "a", "", "{}")], [("a", "f", "{}")]),
    ],
)
def test_fragments_are_told_apart_by_what_marks_them(
    fragments: list[dict[str, Any]], calls: list[tuple[str, str, str]]
) -> None:
    """Whole calls with one index; ids in every fragment, or another one in each; the whole call again at the end."""
    assert calls_of(*fragments) == calls


def test_tool_calls_of_another_choice_belong_to_one_that_ended_for_some() -> None:
    call = {"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    first = {"index": 0, "message": {"content": "I will look."}, "finish_reason": "tool_calls"}
    second = {"index": 1, "message": {"content": None, "tool_calls": [call]}, "finish_reason": "tool_calls"}
    made = parse_reply({"choices": [first, second]}).message
    assert made["content"] == "I will look." and made["tool_calls"] == [call]
    other = parse_reply({"choices": [{**first, "finish_reason": "stop"}, second]}).message
    assert "tool_calls" not in other, "one of several answers that were asked for"
    parser = ChatStreamParser()
    frames = [
        {"choices": [{"index": 1, "delta": {"tool_calls": [{**call, "index": 0}]}}]},
        {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": "tool_calls"}]},
    ]
    events = [e for f in frames for e in read(parser, f)] + parser.read(parse_frame(b"data: [DONE]\n\n"))
    assert ToolStart(0, "t", "f") in events and ToolDelta(0, "{}") in events


@pytest.mark.parametrize(
    "frame",
    [
        b'data: {"text":"NETWORK ERROR","error_code":50001}\n\n',
        b'data: {"object":"error","message":"died","code":500}\n\n',
        b'data: {"error":"died"}\n\n',
        b'{"error":{"message":"died"}}',
    ],
)
def test_errors_in_a_stream_in_every_form(frame: bytes) -> None:
    assert isinstance(ChatStreamParser().read(parse_frame(frame))[0], Failed)


def test_numbers_that_json_does_not_have_do_not_cost_the_answer() -> None:
    frame = b'data: {"choices":[{"delta":{"content":"No"},"logprobs":{"x":-Infinity},"finish_reason":"null"}]}\n\n'
    assert ChatStreamParser().read(parse_frame(frame))[1:] == [TextDelta("No")]


def test_what_is_not_held_is_named() -> None:
    message = {"content": "x", "audio": {"data": "AAAA"}, "images": [{}]}
    made = parse_reply({"choices": [{"message": message, "finish_reason": "stop"}]}).message
    assert made["not_recorded"] == ["audio", "images"]


def test_freeform_calls_and_thinking_parts() -> None:
    call = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": "*** Begin"}}
    assert parse_reply({"choices": [{"message": {"content": None, "tool_calls": [call]}}]}).message[
        "tool_calls"
    ] == [call]
    parts = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "4"},
    ]
    made = parse_reply({"choices": [{"message": {"content": parts}}]}).message
    assert (made["reasoning_content"], made["content"]) == ("hm", "4")


def test_counts_of_caches_and_reasoning() -> None:
    counts = {
        "prompt_tokens": 10,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 5},
    }
    assert usage_event(counts) == UsageSeen(10, 7, 4, 2, 5)
    apart = {"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 20}}
    assert usage_event(apart).prompt_tokens == 30, "a prompt is at least what was read of it"


def test_a_last_chunk_with_more_than_counts_is_not_left_out() -> None:
    parser = ChatStreamParser()
    read(parser, {"choices": [], "usage": {"prompt_tokens": 1}, "citations": ["a"]})
    assert not parser.usage_only


def test_counts_that_no_call_can_have_are_none() -> None:
    for tokens in (-1, 10**400):
        assert usage_event({"prompt_tokens": tokens, "completion_tokens": tokens}) == UsageSeen()
