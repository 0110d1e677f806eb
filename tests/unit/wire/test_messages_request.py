"""Requests of Anthropic's messages."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.errors import BadInput
from deputize.wire.messages_request import DEFAULT_MAX_TOKENS, estimate_tokens, from_chat, params, to_chat


def asked(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": list(messages), **more}


def test_tool_results_come_before_what_the_user_says() -> None:
    result = {"type": "tool_result", "tool_use_id": "t", "is_error": True, "content": "no such city"}
    chat = to_chat(asked({"role": "user", "content": [{"type": "text", "text": "and?"}, result]}))
    assert chat["messages"] == [
        {"role": "tool", "tool_call_id": "t", "content": "Error: no such city"},
        {"role": "user", "content": "and?"},
    ]


def test_roles_alternate_and_system_texts_are_joined() -> None:
    fields = from_chat(
        asked(
            {"role": "system", "content": "a"},
            {"role": "user", "content": "b"},
            {"role": "developer", "content": "c"},
            {"role": "user", "content": "d"},
        )
    )
    assert fields["system"] == "a\n\nc" and fields["max_tokens"] == DEFAULT_MAX_TOKENS
    assert [t["role"] for t in fields["messages"]] == ["user"]
    assert [b["text"] for b in fields["messages"][0]["content"]] == ["b", "d"]


def test_reasoning_is_sent_back_only_with_its_signature() -> None:
    said = {"role": "assistant", "content": "x", "reasoning_content": "why"}
    assert [b["type"] for b in from_chat(asked(said))["messages"][0]["content"]] == ["text"]
    signed = {**said, "reasoning_signature": "s"}
    assert from_chat(asked(signed))["messages"][0]["content"][0]["signature"] == "s"


def test_arguments_that_are_no_json_object_are_kept() -> None:
    call = {"id": "c", "function": {"name": "f", "arguments": "oops"}}
    turn = from_chat(asked({"role": "assistant", "content": None, "tool_calls": [call]}))["messages"][0]
    assert turn["content"][0]["input"] == {"arguments": "oops"}


def test_parallel_tool_calls_can_be_switched_off_both_ways() -> None:
    tool = {"name": "f", "input_schema": {}}
    choice = {"type": "auto", "disable_parallel_tool_use": True}
    chat = to_chat(asked({"role": "user", "content": "q"}, tools=[tool], tool_choice=choice))
    assert chat["parallel_tool_calls"] is False and from_chat(chat)["tool_choice"] == choice


def test_requests_without_messages_are_refused() -> None:
    with pytest.raises(BadInput, match="'messages'"):
        to_chat({"messages": []})
    assert params({"model": "m", "max_tokens": 3}) == {"max_tokens": 3}
    assert estimate_tokens({"system": "x" * 400}) > 99


def test_a_cache_mark_of_a_whole_message_goes_to_its_last_block() -> None:
    mark = {"type": "ephemeral"}
    fields = from_chat(
        asked(
            {"role": "system", "content": "a", "cache_control": mark},
            {"role": "user", "content": "b", "cache_control": mark},
        )
    )
    assert fields["system"] == [{"type": "text", "text": "a", "cache_control": mark}]
    assert fields["messages"][0]["content"] == [{"type": "text", "text": "b", "cache_control": mark}]
