"""Replies of OpenAI's responses, read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deputize.wire.events import (
    Event,
    Failed,
    Finished,
    TextDelta,
    ToolDelta,
    ToolStart,
    UsageSeen,
    assemble,
)
from deputize.wire.responses_parser import ResponsesStreamParser, parse_reply, reply_events, usage_event
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


ARGUMENTS = '{"city":"Ulm"}'


def item(arguments: str = "", call_id: str = "c") -> dict[str, Any]:
    return {"type": "function_call", "call_id": call_id, "name": "f", "arguments": arguments}


def added(given: dict[str, Any], index: int = 0, kind: str = "added") -> dict[str, Any]:
    return {"type": f"response.output_item.{kind}", "output_index": index, "item": given}


def completed(*output: dict[str, Any]) -> dict[str, Any]:
    return {"type": "response.completed", "response": {"status": "completed", "output": list(output)}}


SAID = {"type": "message", "content": [{"type": "output_text", "text": "Hi"}]}
DELTA = {"type": "response.output_text.delta", "output_index": 0, "delta": "Hi"}


@pytest.mark.parametrize(
    "frames",
    [
        [added(item()), added(item(ARGUMENTS), kind="done"), completed(item(ARGUMENTS))],
        [added(item(ARGUMENTS)), added(item(ARGUMENTS), kind="done"), completed(item(ARGUMENTS))],
        [added(item()), completed(item(ARGUMENTS))],
        [added(item(ARGUMENTS, "other"), kind="done"), completed(item(ARGUMENTS))],
        [completed(item(ARGUMENTS))],
        [DELTA, completed(SAID, item(ARGUMENTS))],
        [DELTA, added(item(), 1), added(item(ARGUMENTS), 1, "done"), completed(SAID, item(ARGUMENTS))],
        [DELTA, added(item()), added(item(ARGUMENTS), kind="done"), completed(SAID, item(ARGUMENTS))],
    ],
)
def test_arguments_are_taken_from_wherever_they_come_and_once(frames: list[dict[str, Any]]) -> None:
    made = assemble(read(ResponsesStreamParser(), *frames))
    (call,) = made.message["tool_calls"]
    assert call["function"]["arguments"] == ARGUMENTS and made.finish_reason == "tool_calls"


def test_calls_with_one_place_and_ids_of_their_own_are_several() -> None:
    frames = [f for i in "ab" for f in (added(item(call_id=i)), added(item(ARGUMENTS, i), kind="done"))]
    made = assemble(
        read(ResponsesStreamParser(), *frames, completed(item(ARGUMENTS, "a"), item(ARGUMENTS, "b")))
    )
    assert [(c["id"], c["function"]["arguments"]) for c in made.message["tool_calls"]] == [
        ("a", ARGUMENTS),
        ("b", ARGUMENTS),
    ]


def test_freeform_calls_and_items_that_are_not_held() -> None:
    custom = {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "*** Begin"}
    whole = parse_reply({"status": "completed", "output": [custom, {"type": "mcp_approval_request"}]})
    assert whole.message["tool_calls"][0]["custom"] == {"name": "patch", "input": "*** Begin"}
    assert whole.message["not_recorded"] == ["mcp_approval_request"]
    delta = {"type": "response.custom_tool_call_input.delta", "output_index": 0, "delta": "*** Begin"}
    streamed = assemble(
        read(ResponsesStreamParser(), added({**custom, "input": ""}), delta, completed(custom))
    )
    assert streamed.message["tool_calls"] == whole.message["tool_calls"]


def test_counts_of_caches_and_reasoning() -> None:
    counts = {
        "input_tokens": 10,
        "output_tokens": 7,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2},
        "output_tokens_details": {"reasoning_tokens": 5},
    }
    assert usage_event(counts) == UsageSeen(10, 7, 4, 2, 5)


def test_counts_that_no_call_can_have_are_none() -> None:
    for tokens in (-1, 10**400):
        assert usage_event({"input_tokens": tokens, "output_tokens": tokens}) == UsageSeen()
