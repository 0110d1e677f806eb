"""Requests of OpenAI's responses."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.errors import BadInput
from deputize.wire.responses_request import chat_to_items, from_chat, items_to_chat, params, to_chat


def call(id_: str) -> dict[str, Any]:
    return {"type": "function_call", "call_id": id_, "name": "f", "arguments": "{}"}


def test_tool_calls_in_a_row_make_one_message_after_their_reasoning() -> None:
    reasoning = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "why"}]}
    (message,) = items_to_chat([reasoning, call("a"), call("b")])
    assert [c["id"] for c in message["tool_calls"]] == ["a", "b"] and message["content"] is None
    assert message["reasoning_content"] == "why"


def test_unknown_items_are_kept_as_they_are() -> None:
    item = {"type": "web_search_call", "id": "ws"}
    assert items_to_chat([item]) == [{"role": "assistant", "content": [item]}]


@pytest.mark.parametrize("wrong", [None, [], 3, ["text"], {"a": 1}])
def test_input_that_makes_no_sense_is_refused(wrong: Any) -> None:
    with pytest.raises(BadInput, match="'input'"):
        to_chat({"input": wrong})


@pytest.mark.parametrize(
    "fields", [{"prompt": {"id": "p"}}, {"input": [], "previous_response_id": "r"}, {"conversation": "c"}]
)
def test_what_is_asked_may_stand_elsewhere_than_in_the_input(fields: dict[str, Any]) -> None:
    assert to_chat(fields)["messages"] == []


def test_freeform_tools_their_calls_and_results_go_both_ways() -> None:
    items = [
        {"type": "custom_tool_call", "call_id": "c", "name": "patch", "input": "*** Begin"},
        {"type": "custom_tool_call_output", "call_id": "c", "output": "done"},
        call("d"),
        {"type": "function_call_output", "call_id": "d", "output": "ok"},
    ]
    tool = {"type": "custom", "name": "patch", "description": "Edits files."}
    choice = {"type": "custom", "name": "patch"}
    chat = to_chat({"model": "m", "input": items, "tools": [tool], "tool_choice": choice})
    assert chat["messages"][0]["tool_calls"][0]["custom"] == {"name": "patch", "input": "*** Begin"}
    assert chat["tools"] == [{"type": "custom", "custom": {"name": "patch", "description": "Edits files."}}]
    assert chat["tool_choice"] == {"type": "custom", "custom": {"name": "patch"}}
    assert chat_to_items(chat["messages"]) == items


def test_answer_formats_go_both_ways() -> None:
    for answer_format in ({"type": "json_object"}, {"type": "json_schema", "name": "n", "schema": {}}):
        chat = to_chat({"model": "m", "input": "q", "text": {"format": answer_format}})
        assert from_chat(chat)["text"] == {"format": answer_format}
    assert "response_format" not in to_chat({"input": "q", "text": {"format": {"type": "text"}}})


def test_items_of_a_conversation() -> None:
    items = chat_to_items(
        [{"role": "assistant", "content": "a"}, {"role": "tool", "content": [{"type": "text", "text": "t"}]}]
    )
    assert items[0]["content"] == [{"type": "output_text", "text": "a"}]
    assert items[1]["output"] == [{"type": "input_text", "text": "t"}]
    assert params({"input": "q", "top_p": 1}) == {"top_p": 1}
