"""The real anthropic client, in front of an Anthropic upstream and of an OpenAI one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from tests.integration.gateway.upstream import (
    DONE,
    LoopbackUpstream,
    Stream,
    Whole,
    chunk,
    completion,
    text_stream,
    usage_chunk,
)

from deputize.core.records import Call

MESSAGES: list[Any] = [{"role": "user", "content": "What is the weather in Köln?"}]
TOOLS: list[Any] = [
    {
        "name": "weather",
        "description": "d",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
]
Recorded = Callable[[int], list[Call]]


def event(kind: str, **body: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **body})}\n\n".encode()


def start(**usage: int) -> bytes:
    message: dict[str, Any] = {
        "id": "msg_up",
        "type": "message",
        "role": "assistant",
        "model": "claude",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 9, "output_tokens": 1, **usage},
    }
    return event("message_start", message=message)


def end(stop_reason: str, output_tokens: int = 5) -> list[bytes | float]:
    delta = {"stop_reason": stop_reason, "stop_sequence": None}
    return [
        event("message_delta", delta=delta, usage={"output_tokens": output_tokens}),
        event("message_stop"),
    ]


def block(index: int, opening: dict[str, Any], *deltas: dict[str, Any]) -> list[bytes | float]:
    return [
        event("content_block_start", index=index, content_block=opening),
        *(event("content_block_delta", index=index, delta=d) for d in deltas),
        event("content_block_stop", index=index),
    ]


THINKING = [
    {"type": "thinking_delta", "thinking": "hmm "},
    {"type": "thinking_delta", "thinking": "ok"},
    {"type": "signature_delta", "signature": "c2ln+/=="},
]
TOOL_STREAM: list[bytes | float] = [
    start(cache_read_input_tokens=4),
    event("ping"),
    *block(0, {"type": "thinking", "thinking": "", "signature": ""}, *THINKING),
    *block(1, {"type": "text", "text": ""}, {"type": "text_delta", "text": "Let me look."}),
    *block(
        2,
        {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
        {"type": "input_json_delta", "partial_json": ""},
        {"type": "input_json_delta", "partial_json": '{"city": "K'},
        {"type": "input_json_delta", "partial_json": 'öln"}'},
    ),
    *end("tool_use"),
]


async def test_stream_passes_byte_exact_and_is_recorded(
    claude_client: AsyncAnthropic, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(Stream(TOOL_STREAM))
    async with claude_client.messages.stream(
        model="claude",
        max_tokens=100,
        messages=MESSAGES,
        tools=TOOLS,
        system="Be brief.",
        extra_headers={"anthropic-beta": "x-1"},
    ) as stream:
        final = await stream.get_final_message()
    assert [b.type for b in final.content] == ["thinking", "text", "tool_use"]
    assert final.content[0].signature == "c2ln+/=="  # type: ignore[union-attr]
    assert final.content[2].input == {"city": "Köln"}  # type: ignore[union-attr]
    assert final.stop_reason == "tool_use" and final.usage.output_tokens == 5
    seen = upstream.seen[0]
    assert seen.path == "/v1/messages" and seen.headers["anthropic-beta"] == "x-1"
    assert seen.headers["anthropic-version"] and seen.headers["authorization"] == "Bearer sk-ant"
    (call,) = recorded(1)
    assert call.protocol == "messages" and call.finish_reason == "tool_calls"
    assert call.messages[0] == {"role": "system", "content": "Be brief."}
    assert call.response["content"] == "Let me look."
    assert call.response["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Köln"}'}
    assert call.response["reasoning_signature"] == "c2ln+/=="
    assert call.usage is not None and (call.usage.prompt_tokens, call.usage.completion_tokens) == (13, 5)
    assert call.tools is not None and call.tools[0]["function"]["name"] == "weather"


async def test_request_bytes_with_cache_control_and_signatures_are_untouched(
    anthropic_gateway: str, upstream: LoopbackUpstream
) -> None:
    import aiohttp

    body = (
        b'{"model":"claude","max_tokens":5,"system":[{"type":"text","text":"s","cache_control":{"type":"ephemeral"}}],'
        b'"messages":[{"role":"assistant","content":[{"type":"thinking","thinking":"t","signature":"a+/b=="}]},'
        b'{"role":"user","content":"x"}]}'
    )
    upstream.answer_with(Whole(b'{"type":"message","content":[]}'))
    async with (
        aiohttp.ClientSession() as session,
        session.post(
            f"{anthropic_gateway}/v1/messages", data=body, headers={"content-type": "application/json"}
        ) as reply,
    ):
        assert await reply.read() == b'{"type":"message","content":[]}'
    assert upstream.seen[0].body == body


async def test_count_tokens_is_asked_of_an_anthropic_upstream(
    claude_client: AsyncAnthropic, upstream: LoopbackUpstream
) -> None:
    upstream.answer_with(Whole(b'{"input_tokens": 42}'))
    counted = await claude_client.messages.count_tokens(model="claude", messages=MESSAGES)
    assert counted.input_tokens == 42 and upstream.seen[0].path == "/v1/messages/count_tokens"


async def test_count_tokens_is_estimated_where_no_upstream_counts(
    claude_on_openai: AsyncAnthropic, claude_client: AsyncAnthropic, upstream: LoopbackUpstream
) -> None:
    assert (await claude_on_openai.messages.count_tokens(model="claude", messages=MESSAGES)).input_tokens > 5
    assert not upstream.seen
    upstream.answer_with(Whole(b"not found", status=404, headers={"content-type": "text/plain"}))
    raw = await claude_client.messages.with_raw_response.count_tokens(model="claude", messages=MESSAGES)
    assert raw.headers["x-deputize-estimated"] == "true"


async def test_claude_client_on_an_openai_upstream(
    claude_on_openai: AsyncAnthropic, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    calls = [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
    ]
    upstream.answer_with(completion("Looking.", tool_calls=calls))
    answer = await claude_on_openai.messages.create(
        model="claude",
        max_tokens=50,
        messages=MESSAGES,
        tools=TOOLS,
        tool_choice={"type": "any"},
        system="S.",
        stop_sequences=["END"],
    )
    assert answer.stop_reason == "tool_use"
    assert answer.content[1].input == {"city": "Köln"}  # type: ignore[union-attr]
    assert (answer.usage.input_tokens, answer.usage.output_tokens) == (11, 3)
    sent = upstream.seen[0]
    assert sent.path == "/v1/chat/completions" and sent.headers["authorization"] == "Bearer sk-ant"
    assert sent.json["messages"] == [
        {"role": "system", "content": "S."},
        {"role": "user", "content": MESSAGES[0]["content"]},
    ]
    assert (
        sent.json["tool_choice"] == "required"
        and sent.json["stop"] == ["END"]
        and sent.json["max_tokens"] == 50
    )
    assert "anthropic-version" not in sent.headers
    assert recorded(1)[0].response["tool_calls"] == calls


async def test_claude_tool_round_on_an_openai_upstream(
    claude_on_openai: AsyncAnthropic, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    parts = [
        chunk({"role": "assistant", "content": ""}),
        chunk({"content": "Loo"}),
        chunk({"content": "king."}),
        chunk(
            {
                "tool_calls": [
                    {
                        "index": 0,
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": ""},
                    }
                ]
            }
        ),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"city": '}}]}),
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": '"Köln"}'}}]}),
        chunk({}, "stop"),
        usage_chunk(),
        DONE,
    ]
    upstream.answer_with(Stream(parts), Stream(text_stream("It ", "rains.")))
    messages = list(MESSAGES)
    async with claude_on_openai.messages.stream(
        model="claude", max_tokens=50, messages=messages, tools=TOOLS
    ) as stream:
        kinds = [e.type async for e in stream]
        first = await stream.get_final_message()
    assert kinds.count("message_start") == 1 and kinds[-1] == "message_stop"
    assert first.stop_reason == "tool_use", "tool calls end with tool_use, whatever the upstream called it"
    assert first.content[1].input == {"city": "Köln"}  # type: ignore[union-attr]
    assert (first.usage.input_tokens, first.usage.output_tokens) == (11, 3)
    messages.append(
        {"role": "assistant", "content": [b.model_dump(exclude_none=True) for b in first.content]}
    )
    result = {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "rain"}]}
    messages.append({"role": "user", "content": [result]})
    async with claude_on_openai.messages.stream(
        model="claude", max_tokens=50, messages=messages, tools=TOOLS
    ) as stream:
        assert await stream.get_final_text() == "It rains."
    sent = upstream.seen[1].json["messages"]
    assert sent[-1] == {"role": "tool", "tool_call_id": "call_1", "content": "rain"}
    assert sent[-2]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Köln"}'}
    assert [c.finish_reason for c in recorded(2)] == ["stop", "stop"]


async def test_openai_client_on_an_anthropic_upstream(
    openai_on_claude: Any, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(Stream(TOOL_STREAM))
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
    messages = [
        {"role": "system", "content": "S."},
        {"role": "user", "content": "q"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "a",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city":"Bonn"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "dry"},
        {"role": "user", "content": "and Köln?"},
    ]
    async with openai_on_claude.chat.completions.stream(
        model="claude", messages=messages, tools=tools, stream_options={"include_usage": True}
    ) as stream:
        final = await stream.get_final_completion()
    choice = final.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content == "Let me look."
    assert choice.message.tool_calls[0].function.arguments == '{"city": "Köln"}'
    assert (final.usage.prompt_tokens, final.usage.completion_tokens) == (13, 5)
    sent = upstream.seen[0]
    assert (
        sent.path == "/v1/messages"
        and sent.headers["x-api-key"] == "sk-c"
        and sent.headers["anthropic-version"]
    )
    assert sent.json["system"] == "S." and sent.json["max_tokens"] > 0
    assert [m["role"] for m in sent.json["messages"]] == ["user", "assistant", "user"]
    assert [b["type"] for b in sent.json["messages"][2]["content"]] == ["tool_result", "text"]
    assert recorded(1)[0].finish_reason == "tool_calls"


async def test_errors_come_in_anthropics_form(
    claude_on_openai: AsyncAnthropic, claude_client: AsyncAnthropic, upstream: LoopbackUpstream
) -> None:
    upstream.answer_with(
        Whole(b'{"error":{"message":"bad key","type":"x","code":null,"param":null}}', status=401)
    )
    with pytest.raises(anthropic.AuthenticationError, match="bad key"):
        await claude_on_openai.messages.create(model="m", max_tokens=5, messages=MESSAGES)
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        await claude_client.messages.create(model="m", max_tokens=5, messages=[])
    search: Any = {"type": "web_search_20250305", "name": "web_search"}
    with pytest.raises(anthropic.BadRequestError, match="web_search_20250305"):
        await claude_on_openai.messages.create(model="m", max_tokens=5, messages=MESSAGES, tools=[search])


async def test_error_inside_a_stream(
    claude_on_openai: AsyncAnthropic, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(Stream([chunk({"role": "assistant", "content": "half"})], end="cut"))
    with pytest.raises(anthropic.APIError, match="broke off"):
        async with claude_on_openai.messages.stream(model="m", max_tokens=5, messages=MESSAGES) as stream:
            await stream.get_final_message()
    (call,) = recorded(1)
    assert call.aborted and call.response["content"] == "half"
