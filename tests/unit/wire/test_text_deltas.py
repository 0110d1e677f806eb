"""Pieces of text in the events of each protocol: where they are, which text they continue, and when that has ended."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.wire.text_deltas import ends_of, text_deltas


def chat(delta: dict[str, Any], finish: str | None = None, index: int = 0) -> dict[str, Any]:
    return {"id": "c", "usage": None, "choices": [{"index": index, "delta": delta, "finish_reason": finish}]}


def call(arguments: str, index: int = 0) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, "function": {"arguments": arguments}}]}


EVENTS = {
    "content": chat({"content": "ab"}),
    "parts": chat({"content": [{"type": "text", "text": "ab"}]}),
    "refusal": chat({"refusal": "ab"}),
    "function": chat({"function_call": {"arguments": "ab"}}),
    "tool": chat(call("ab", 3)),
    "freeform": chat({"tool_calls": [{"index": 0, "custom": {"input": "ab"}}]}),
    "audio": chat({"audio": {"id": "a", "transcript": "ab"}}),
    "reasoning": chat({"reasoning_details": [{"type": "reasoning.text", "index": 1, "text": "ab"}]}),
    "summary": chat({"reasoning_details": [{"type": "reasoning.summary", "index": 0, "summary": "ab"}]}),
    "completions": {"choices": [{"index": 0, "text": "ab"}]},
    "messages": {"type": "content_block_delta", "index": 2, "delta": {"type": "text_delta", "text": "ab"}},
    "input": {
        "type": "content_block_delta",
        "index": 2,
        "delta": {"type": "input_json_delta", "partial_json": "ab"},
    },
    "responses": {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "ab"},
    "arguments": {
        "type": "response.function_call_arguments.delta",
        "item_id": "i",
        "output_index": 1,
        "delta": "ab",
    },
}


@pytest.mark.parametrize("name", EVENTS)
def test_a_piece_is_found_and_an_added_event_continues_the_same_text(name: str) -> None:
    (piece,) = text_deltas(EVENTS[name])
    assert piece.text == "ab" and not piece.is_last
    assert piece.in_json is (True if name in ("function", "tool", "input", "arguments") else None)
    (added,) = text_deltas(piece.event_with("cd"))
    assert (added.key[:3], added.text) == (piece.key[:3], "cd")


@pytest.mark.parametrize(
    "event",
    [
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "x"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "x"}},
        {"type": "response.completed", "response": {"output": []}},
        {"choices": []},
        {"choices": [None, {"delta": None}]},
        {"type": 5, "delta": "x"},
    ],
    ids=str,
)
def test_other_events_have_none(event: dict[str, Any]) -> None:
    assert text_deltas(event) == []


def ended(event: dict[str, Any], *open_events: dict[str, Any]) -> list[int]:
    keys = [text_deltas(one)[0].key for one in open_events]
    return [keys.index(key) for key in ends_of(event, text_deltas(event), keys)]


def test_a_choice_ends_its_texts_when_it_finishes_or_goes_on_elsewhere() -> None:
    text, first, second, other = (
        EVENTS["content"],
        chat(call("a")),
        chat(call("a", 1)),
        chat({"content": "x"}, index=1),
    )
    assert ended(text, text, first, other) == []
    assert ended(second, text, first, other) == [0]
    assert ended(chat({}, "stop"), text, first, other) == [0, 1]
    assert ended(chat({"role": "assistant"}), text, first) == []
    assert ended({"choices": [], "usage": {}}, text) == []
    assert text_deltas(chat({"content": "x"}, "stop"))[0].is_last


def test_blocks_and_items_end_by_their_own_event_or_with_the_answer() -> None:
    block, item, other = EVENTS["messages"], EVENTS["responses"], EVENTS["arguments"]
    assert ended({"type": "content_block_stop", "index": 2}, block, item) == [0]
    assert ended({"type": "content_block_stop", "index": 1}, block) == []
    assert ended({"type": "message_delta", "delta": {"stop_reason": "end_turn"}}, block) == [0]
    done = {"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "ab"}
    assert ended(done, item, other) == [0]
    assert ended({**done, "output_index": 2}, item) == []
    assert ended({"type": "response.output_item.done", "output_index": 1}, item, other) == [0, 1]
    assert ended({"type": "response.completed"}, item, other) == [0, 1]
