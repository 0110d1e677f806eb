"""Bedrock's Converse in chat form."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.errors import BadInput
from deputize.wire.converse_body import is_converse, parse_reply, reply_of_stream, to_chat

USE = {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": "a"}}}
REQUEST: dict[str, Any] = {
    "system": [{"text": "Be short."}],
    "messages": [
        {"role": "user", "content": [{"text": "find a"}, {"cachePoint": {"type": "default"}}]},
        {"role": "assistant", "content": [USE]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"json": {"n": 1}}]}}]},
    ],
    "toolConfig": {
        "tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}}],
        "toolChoice": {"any": {}},
    },
    "inferenceConfig": {"maxTokens": 5},
}


def test_a_request_is_read() -> None:
    chat = to_chat(REQUEST)
    assert [m["role"] for m in chat["messages"]] == ["system", "user", "assistant", "tool"]
    assert chat["messages"][1]["content"] == "find a"
    assert chat["messages"][2]["tool_calls"][0]["function"] == {"name": "find", "arguments": '{"q":"a"}'}
    assert chat["messages"][3] == {"role": "tool", "tool_call_id": "t1", "content": '{"n":1}'}
    assert chat["tools"] == [
        {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
    ]
    assert chat["tool_choice"] == "required" and chat["max_tokens"] == 5
    assert is_converse(REQUEST["messages"]) and not is_converse(
        [{"content": [{"type": "text", "text": "x"}]}]
    )


def test_a_reply_and_a_stream_are_the_same() -> None:
    usage = {"inputTokens": 5, "outputTokens": 2, "cacheReadInputTokens": 10}
    whole = {
        "output": {"message": {"role": "assistant", "content": [{"text": "ab"}, USE]}},
        "stopReason": "tool_use",
        "usage": usage,
    }
    stream: list[dict[str, Any]] = [
        {"messageStart": {"role": "assistant"}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "a"}}},
        {"contentBlockDelta": {"contentBlockIndex": 0, "delta": {"text": "b"}}},
        {
            "contentBlockStart": {
                "contentBlockIndex": 1,
                "start": {"toolUse": {"toolUseId": "t1", "name": "find"}},
            }
        },
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '{"q":'}}}},
        {"contentBlockDelta": {"contentBlockIndex": 1, "delta": {"toolUse": {"input": '"a"}'}}}},
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": usage}},
    ]
    done = parse_reply(whole)
    assert reply_of_stream(stream) == done
    assert done.message["content"] == "ab" and done.finish_reason == "tool_calls"
    assert done.usage is not None and done.usage.prompt_tokens == 15 and done.usage.cached_tokens == 10


def test_no_message_is_refused() -> None:
    with pytest.raises(BadInput):
        parse_reply({"output": {}})
