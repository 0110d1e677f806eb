"""Parts of messages."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.stages.collect.importers.base import Unreadable
from deputize.stages.collect.importers.message_parts import (
    answered_call,
    part_kind,
    part_text,
    read_content,
    read_tool_call,
)


@pytest.mark.parametrize(
    "raw",
    [
        {"id": "t", "function": {"name": "f", "arguments": '{"a":1}'}},
        {"id": "t", "name": "f", "args": {"a": 1}},
        {"function": "f", "args": {"a": 1}, "id": "t"},
        {"toolCallId": "t", "toolName": "f", "input": {"a": 1}},
        {"tool_id": "t", "name": "f", "arguments": {"a": 1}},
        {"tool_call": {"id": "t", "function": {"name": "f", "arguments": {"a": 1}}}},
    ],
)
def test_calls_of_tools(raw: dict[str, Any]) -> None:
    assert read_tool_call(raw, 0) == {
        "id": "t",
        "type": "function",
        "function": {"name": "f", "arguments": '{"a":1}'},
    }
    assert (
        read_tool_call({**raw, "id": None, "tool_call": None, "name": "f", "function": None}, 2)["function"][
            "name"
        ]
        == "f"
    )


def test_what_stands_among_the_parts_goes_where_it_belongs() -> None:
    calls: list[Any] = []
    results: list[Any] = []
    thoughts: list[str] = []
    parts = [
        {"type": "reasoning", "text": "hm"},
        {"type": "text", "text": "a"},
        {"type": "tool-call", "toolCallId": "t", "toolName": "f", "args": {}},
        {"type": "tool-result", "toolCallId": "t", "result": [{"type": "text", "text": "1"}]},
        "b",
    ]
    assert read_content({"content": parts}, "assistant", calls, results, thoughts) == "ab"
    assert [c["id"] for c in calls] == ["t"] and thoughts == ["hm"]
    assert results == [{"role": "tool", "content": "1", "tool_call_id": "t"}]


def test_small_things() -> None:
    assert answered_call({"tool_use_id": "x", "function": "f"}) == {"tool_call_id": "x", "name": "f"}
    assert part_kind({"block_type": "text"}) == "text" and part_kind({"type": 3}) is None
    assert part_text({"text": {"value": "x"}}) == "x" and part_text({}) == ""
    with pytest.raises(Unreadable, match="name of its tool"):
        read_tool_call({"id": "t"}, 0)
