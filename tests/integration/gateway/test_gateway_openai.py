"""The real openai client in front of an OpenAI-compatible upstream: what comes back, what the store holds."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest
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

MESSAGES: list[Any] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Grüße 🙂"}]
Recorded = Callable[[int], list[Call]]


async def test_whole_answer_is_passed_and_recorded(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(completion("Hi."))
    raw = await chat_client.chat.completions.with_raw_response.create(
        model="big",
        messages=MESSAGES,
        temperature=0.5,
        extra_headers={
            "x-deputize-agent": "desk",
            "x-deputize-site": "greet",
            "x-deputize-episode": "run-1",
            "x-deputize-audience": "human",
            "x-deputize-origin": "bob@example.org",
        },
    )
    assert raw.parse().choices[0].message.content == "Hi."
    assert raw.headers["x-deputize-served-by"] == "llm"
    (call,) = recorded(1)
    assert call.id == raw.headers["x-deputize-request-id"]
    assert call.messages == MESSAGES
    assert call.response == {"role": "assistant", "content": "Hi."}
    assert (call.agent, call.site, call.episode, call.audience) == ("desk", "greet", "run-1", "human")
    assert call.origin.startswith("o_") and "bob" not in call.origin
    assert call.usage is not None and (call.usage.prompt_tokens, call.usage.completion_tokens) == (11, 3)
    assert call.params == {"temperature": 0.5}
    assert call.latency_ms is not None and call.latency_ms > 0
    assert (call.status, call.finish_reason, call.upstream, call.aborted) == (200, "stop", "default", False)
    assert call.decision is not None and call.decision.served_by == "llm"


async def test_bytes_pass_exactly_both_ways(gateway: str, upstream: LoopbackUpstream) -> None:
    body = b'{ "model":"big",\n "messages":[{"role":"user","content":"a\\u00e9b"}], "x_unknown": {"deep":[1,2.50]} }'
    answer = b'{\n  "choices" : [ ] , "odd" :  1.0 }'
    upstream.answer_with(Whole(answer, headers={"content-type": "application/json", "x-up": "1"}))
    headers = {
        "content-type": "application/json",
        "authorization": "Bearer k",
        "x-custom": "v",
        "x-deputize-agent": "a",
    }
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway}/v1/chat/completions?beta=true", data=body, headers=headers) as reply,
    ):
        assert await reply.read() == answer
        assert reply.headers["x-up"] == "1"
    seen = upstream.seen[0]
    assert seen.body == body
    assert seen.headers["authorization"] == "Bearer k" and seen.headers["x-custom"] == "v"
    assert not any(name.startswith("x-deputize") for name in seen.headers)


async def test_stream_is_assembled_from_a_copy(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(Stream(text_stream("Hel", "lo ", "wörld 🙂")))
    stream = await chat_client.chat.completions.create(model="big", messages=MESSAGES, stream=True)
    chunks = [c async for c in stream]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == "Hello wörld 🙂"
    assert all(c.choices for c in chunks), "the usage chunk was not asked for, so it must not arrive"
    assert upstream.seen[0].json["stream_options"] == {"include_usage": True}
    (call,) = recorded(1)
    assert call.response == {"role": "assistant", "content": "Hello wörld 🙂"}
    assert call.usage is not None and call.usage.prompt_tokens == 11 and not call.usage.estimated
    assert call.ttft_ms is not None and call.latency_ms is not None and call.ttft_ms <= call.latency_ms


async def test_usage_chunk_arrives_when_asked_for(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream
) -> None:
    upstream.answer_with(Stream(text_stream("x")))
    stream = await chat_client.chat.completions.create(
        model="big", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [c async for c in stream]
    assert chunks[-1].choices == [] and chunks[-1].usage is not None and chunks[-1].usage.total_tokens == 14


async def test_usage_is_estimated_where_the_upstream_sends_none(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(Stream(text_stream("some words", usage=False)))
    stream = await chat_client.chat.completions.create(model="big", messages=MESSAGES, stream=True)
    assert [c async for c in stream]
    (call,) = recorded(1)
    assert call.usage is not None and call.usage.estimated and call.usage.completion_tokens == 3


async def test_tool_calls_are_assembled(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    def part(index: int, arguments: str, **more: str) -> dict[str, object]:
        function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
        return {"tool_calls": [{"index": index, "function": function, **more}]}

    parts = [
        chunk({"role": "assistant", "content": None}),
        chunk(part(0, "", name="weather", id="call_1", type="function")),
        chunk(part(0, '{"city":')),
        chunk(part(0, '"Köln"}')),
        chunk(part(1, "", name="clock", id="call_2", type="function")),
        chunk(part(1, "{}")),
        chunk({}, "tool_calls"),
        usage_chunk(),
        DONE,
    ]
    upstream.answer_with(Stream(parts))
    tools: list[Any] = [
        {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
    ]
    async with chat_client.chat.completions.stream(model="big", messages=MESSAGES, tools=tools) as stream:
        final = await stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None and [c.function.name for c in calls] == ["weather", "clock"]
    (call,) = recorded(1)
    assert [c["function"] for c in call.response["tool_calls"]] == [
        {"name": "weather", "arguments": '{"city":"Köln"}'},
        {"name": "clock", "arguments": "{}"},
    ]
    assert call.tools == tools and call.finish_reason == "tool_calls"


async def test_response_format_travels(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(completion('{"ok": true}'))
    form: Any = {
        "type": "json_schema",
        "json_schema": {"name": "a", "schema": {"type": "object"}, "strict": True},
    }
    await chat_client.chat.completions.create(model="big", messages=MESSAGES, response_format=form)
    assert upstream.seen[0].json["response_format"] == form
    assert recorded(1)[0].response_format == form


async def test_models_and_embeddings_pass_through(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(
        Whole(b'{"object":"list","data":[{"id":"big","object":"model","created":1,"owned_by":"x"}]}')
    )
    assert [m.id async for m in await chat_client.models.list()] == ["big"]
    vectors = {
        "object": "list",
        "model": "e",
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 1.0]}],
        "usage": {"prompt_tokens": 4, "total_tokens": 4},
    }
    upstream.answer_with(Whole(json.dumps(vectors).encode()))
    answer = await chat_client.embeddings.create(model="e", input="words", encoding_format="float")
    assert answer.data[0].embedding == [0.5, 1.0]
    (call,) = recorded(1)
    assert call.protocol == "embeddings" and call.usage is not None and call.usage.prompt_tokens == 4


async def test_sync_client_and_its_stream(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(Stream(text_stream("a", "b")), completion("whole"))

    def use() -> tuple[str, str]:
        with openai.OpenAI(base_url=f"{gateway}/v1", api_key="k", max_retries=0) as client:
            stream = client.chat.completions.create(model="big", messages=MESSAGES, stream=True)
            streamed = "".join(c.choices[0].delta.content or "" for c in stream)
            whole = client.chat.completions.create(model="big", messages=MESSAGES)
            return streamed, whole.choices[0].message.content or ""

    assert await asyncio.to_thread(use) == ("ab", "whole")
    recorded(2)


async def test_upstream_refusals_pass_as_they_are(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    body = b'{"error":{"message":"no such model","type":"invalid_request_error","param":"model","code":"model_not_found"}}'
    upstream.answer_with(Whole(body, status=404))
    with pytest.raises(openai.NotFoundError, match="no such model"):
        await chat_client.chat.completions.create(model="nope", messages=MESSAGES)
    (call,) = recorded(1)
    assert (call.status, call.response) == (404, {})


async def test_unreachable_upstream_is_a_502_in_openai_form(home: Path, recorded: Recorded) -> None:
    from deputize.gateway.addresses import free_port
    from deputize.gateway.launch import running_gateway

    async with (
        running_gateway(home, f"http://127.0.0.1:{free_port()}/v1") as base_url,
        openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError) as caught:
            await client.chat.completions.create(model="big", messages=MESSAGES)
    assert caught.value.status_code == 502
    assert caught.value.code == "upstream_error" and "cannot be reached" in caught.value.message
    assert recorded(1)[0].status == 502


async def test_rate_limits_are_retried_then_passed_on(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    busy = Whole(
        b'{"error":{"message":"slow down"}}', status=429, headers={"content-type": "application/json"}
    )
    upstream.answer_with(busy, completion("after all"))
    answer = await chat_client.chat.completions.create(model="big", messages=MESSAGES)
    assert answer.choices[0].message.content == "after all" and len(upstream.seen) == 2
    upstream.answer_with(
        Whole(busy.body, status=429, headers={"content-type": "application/json", "retry-after": "77"})
    )
    with pytest.raises(openai.RateLimitError) as caught:
        await chat_client.chat.completions.create(model="big", messages=MESSAGES)
    assert caught.value.response.headers["retry-after"] == "77"
    assert len(upstream.seen) == 3, "a wait that long is left to the client"
    assert [c.status for c in recorded(2)] == [200, 429]


async def test_feedback_is_merged_into_the_outcome(
    chat_client: openai.AsyncOpenAI, gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(completion())
    raw = await chat_client.chat.completions.with_raw_response.create(
        model="big", messages=MESSAGES, extra_headers={"x-deputize-episode": "e9"}
    )
    async with aiohttp.ClientSession() as session:
        url = f"{gateway}/v1/deputize/feedback"
        async with session.post(url, json={"episode": "e9", "metric": "success", "value": True}) as reply:
            assert reply.status == 200
        for wrong in (
            {"metric": "x", "value": 1},
            {"episode": "e", "value": 1},
            {"episode": "e", "metric": "m", "value": "?"},
            {"episode": "e", "call_id": "c", "metric": "m", "value": 1},
        ):
            async with session.post(url, json=wrong) as reply:
                assert reply.status == 400 and "Feedback" in (await reply.json())["error"]["message"]
        id = raw.headers["x-deputize-request-id"]
        async with session.post(url, json={"call_id": id, "correction": "the right one"}) as reply:
            assert reply.status == 200, "a call is known as soon as its answer is there"
        async with session.post(url, json={"call_id": "nobody", "metric": "m", "value": 1}) as reply:
            assert reply.status == 404 and "nobody" in (await reply.json())["error"]["message"]
    (call,) = recorded(1)
    assert call.id == id
    assert call.correction == {"role": "assistant", "content": "the right one"}
    assert call.outcome is not None and call.outcome.success is True


async def test_health_metrics_and_unknown_paths(
    chat_client: openai.AsyncOpenAI, gateway: str, upstream: LoopbackUpstream
) -> None:
    upstream.answer_with(completion())
    await chat_client.chat.completions.create(model="big", messages=MESSAGES)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{gateway}/healthz") as reply:
            assert reply.status == 200
        async with session.get(f"{gateway}/metrics") as reply:
            text = await reply.text()
        (calls,) = [line for line in text.splitlines() if line.startswith("deputize_calls_total{")]
        labels = dict(re.findall(r'(\w+)="([^"]*)"', calls))
        assert labels == {
            "tenant": "default",
            "route": "",
            "task": "",
            "model": "big",
            "served_by": "llm",
            "reason": "no_route",
        }
        assert calls.endswith(" 1")
        assert "deputize_recorder_queued_total 1" in text and "deputize_recorder_refused_total 0" in text
        for path in ("/nothing", "/etc/passwd", "/v1/deputize/nothing"):
            async with session.get(f"{gateway}{path}") as reply:
                assert reply.status == 404 and "error" in await reply.json()
        async with session.get(f"{gateway}/v1/chat/completions") as reply:
            assert reply.status == 405 and reply.headers["allow"] == "POST"
    assert len(upstream.seen) == 1
