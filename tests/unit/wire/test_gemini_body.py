"""Gemini's requests and replies in chat form."""

from __future__ import annotations

import pytest

from deputize.core.errors import BadInput
from deputize.wire.gemini_body import params, parse_reply, to_chat

CALL = {"functionCall": {"name": "find", "args": {"q": "a"}}}
REQUEST = {
    "contents": [
        {"role": "user", "parts": [{"text": "find a"}]},
        {"role": "model", "parts": [{"thought": True, "text": "hm"}, CALL, CALL]},
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "find", "response": {"result": "one"}}},
                {"functionResponse": {"name": "find", "response": {"n": 2}}},
            ],
        },
    ],
    "system_instruction": {"parts": [{"text": "Be short."}]},
    "tools": [{"functionDeclarations": [{"name": "find", "parameters": {"type": "OBJECT"}}]}],
    "toolConfig": {"functionCallingConfig": {"mode": "ANY"}},
    "generationConfig": {"temperature": 0, "responseMimeType": "application/json", "maxOutputTokens": 5},
}


def test_calls_without_ids_are_numbered_and_answered_in_order() -> None:
    chat = to_chat(REQUEST)
    system, user, model, first, second = chat["messages"]
    assert system == {"role": "system", "content": "Be short."} and user["content"] == "find a"
    assert [c["id"] for c in model["tool_calls"]] == ["call_1", "call_2"] and model[
        "reasoning_content"
    ] == "hm"
    assert model["tool_calls"][0]["function"] == {"name": "find", "arguments": '{"q":"a"}'}
    assert first == {"role": "tool", "tool_call_id": "call_1", "name": "find", "content": "one"}
    assert second["tool_call_id"] == "call_2" and second["content"] == '{"n":2}'
    assert chat["tools"] == [
        {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    ]
    assert chat["tool_choice"] == "required" and chat["response_format"] == {"type": "json_object"}
    assert params(REQUEST) == {"temperature": 0, "max_tokens": 5}


def test_a_reply_and_a_streamed_one_are_the_same() -> None:
    end = {
        "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 2, "thoughtsTokenCount": 3},
        "modelVersion": "g",
    }
    pieces = [
        {"candidates": [{"content": {"role": "model", "parts": [{"text": "a"}]}}]},
        {"candidates": [{"content": {"parts": [{"text": "b"}]}, "finishReason": "STOP"}], **end},
    ]
    whole = {"candidates": [{"content": {"parts": [{"text": "ab"}]}, "finishReason": "STOP"}], **end}
    assert parse_reply(pieces) == parse_reply(whole)
    done = parse_reply(whole)
    assert done.message == {"role": "assistant", "content": "ab"} and done.finish_reason == "stop"
    assert done.usage is not None and (done.usage.prompt_tokens, done.usage.completion_tokens) == (7, 5)
    assert (
        parse_reply({"candidates": [{"content": {"parts": [CALL]}, "finishReason": "STOP"}]}).finish_reason
        == "tool_calls"
    )


def test_nothing_is_refused() -> None:
    with pytest.raises(BadInput):
        parse_reply({"candidates": []})
    with pytest.raises(BadInput):
        to_chat({"contents": []})
