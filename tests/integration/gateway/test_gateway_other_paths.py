"""Paths beside the model calls, Azure's clients and servers, and requests that clients of other gateways make."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import aiohttp
import openai
import pytest
from tests.integration.gateway.upstream import LoopbackUpstream, Stream, Whole, chunk, completion, text_stream

from deputize.core.records import Call
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for

Recorded = Callable[[int], list[Call]]


def whole(value: object, status: int = 200) -> Whole:
    return Whole(json.dumps(value).encode(), status)


async def test_the_openai_client_finds_everything_where_it_is(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    answers = {
        ("POST", "/v1/completions"): {"choices": [{"text": " world", "finish_reason": "stop", "index": 0}]},
        ("POST", "/v1/moderations"): {"results": [{"flagged": False}]},
        ("POST", "/v1/files"): {"id": "file-1", "object": "file"},
        ("GET", "/v1/responses/resp_1"): {"id": "resp_1", "object": "response", "output": []},
        ("DELETE", "/v1/responses/resp_1"): {},
    }
    upstream.script = lambda seen: whole(answers[seen.method, seen.path])
    made = await chat_client.completions.create(model="m", prompt="Hello")
    assert made.choices[0].text == " world"
    assert not (await chat_client.moderations.create(input="q")).results[0].flagged
    assert (await chat_client.files.create(file=b"lines", purpose="batch")).id == "file-1"
    assert (await chat_client.responses.retrieve("resp_1")).id == "resp_1"
    await chat_client.responses.delete("resp_1")
    assert [(s.method, s.path) for s in upstream.seen] == list(answers)
    assert b"lines" in upstream.seen[2].body and upstream.seen[2].headers["content-type"].startswith(
        "multipart/"
    )
    calls = {call.protocol: call for call in recorded(2)}
    assert calls["completions"].response["content"] == " world" and calls["moderations"].status == 200


async def test_azures_client_and_azures_server(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its client names the deployment in the path and the key in a header of its own; so does its server want them. The
    first chunk of a stream has no choices."""
    monkeypatch.setenv("AZURE_KEY", "azure-key")
    first = b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n'
    upstream.answer_with(Stream([first, *text_stream("Hel", "lo")]))
    base = upstream.base_url.removesuffix("/v1") + "/openai/deployments/{model}?api-version=2024-10-21"
    settings = settings_for(home, base, "AZURE_KEY")
    async with (
        running_gateway(home, settings=settings) as gateway,
        openai.AsyncAzureOpenAI(
            azure_endpoint=gateway, api_key="k", api_version="2024-06-01", max_retries=0
        ) as client,
    ):
        stream = await client.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "q"}], stream=True
        )
        text = "".join([c.choices[0].delta.content or "" async for c in stream if c.choices])
    assert text == "Hello"
    (seen,) = upstream.seen
    assert seen.path == "/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21"
    assert seen.headers["api-key"] == "azure-key" and "authorization" not in seen.headers
    (call,) = recorded(1)
    assert (call.model, call.response["content"], call.aborted) == ("gpt-4o", "Hello", False)


async def test_azures_client_on_another_server(gateway: str, upstream: LoopbackUpstream) -> None:
    upstream.answer_with(completion())
    async with openai.AsyncAzureOpenAI(
        azure_endpoint=gateway, api_key="sk-mine", api_version="2024-06-01", max_retries=0
    ) as client:
        await client.chat.completions.create(model="m", messages=[{"role": "user", "content": "q"}])
    assert upstream.seen[0].path.startswith("/v1/chat/completions")
    assert upstream.seen[0].headers["authorization"] == "Bearer sk-mine"


async def test_a_websocket_is_told_to_come_over_http(gateway: str) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect(f"{gateway}/v1/responses")
    assert refused.value.status == 426


async def test_a_stream_under_another_name_comes_as_it_is_made(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    parts = text_stream("a", "b", wait_s=0.3)
    upstream.answer_with(Stream(parts, headers={"content-type": "text/plain"}))
    body = {"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": True}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway}/v1/chat/completions", json=body) as reply,
    ):
        first = await asyncio.wait_for(reply.content.readany(), 5)
        rest = await reply.content.read()
    assert b"[DONE]" not in first and rest.endswith(b"[DONE]\n\n")
    (call,) = recorded(1)
    assert call.response["content"] == "ab" and call.usage is not None


async def test_a_request_keeps_its_id_all_the_way(gateway: str, upstream: LoopbackUpstream) -> None:
    upstream.answer_with(
        Whole(completion().body, headers={"content-type": "application/json", "x-request-id": "req_up"})
    )
    url = f"{gateway}/v1/messages"
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}]}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, json=body, headers={"x-request-id": "mine"}) as reply,
    ):
        assert reply.headers["x-request-id"] == "req_up"
    assert upstream.seen[0].headers["x-request-id"] == "mine"


async def test_a_freeform_tool_reaches_a_server_of_functions_and_comes_back(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    call = {"index": 0, "id": "c", "function": {"name": "apply_patch", "arguments": '{"input":"*** Begin"}'}}

    def script(seen: object) -> Whole | Stream:
        if getattr(seen, "path", "").endswith("/responses"):
            return Whole(b"404 page not found", 404)
        return Stream([chunk({"tool_calls": [call]}), chunk({}, "tool_calls"), b"data: [DONE]\n\n"])

    upstream.script = script
    async with (
        openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="k", max_retries=0) as client,
        client.responses.stream(
            model="m", input="q", tools=[{"type": "custom", "name": "apply_patch", "description": "d"}]
        ) as events,
    ):
        made = await events.get_final_response()
    (item,) = made.output
    assert (item.type, item.name, item.input) == ("custom_tool_call", "apply_patch", "*** Begin")  # type: ignore[union-attr]
    (sent,) = upstream.seen[-1].json["tools"]
    assert sent["function"]["parameters"]["required"] == ["input"]
    (kept,) = recorded(1)
    assert kept.response["tool_calls"][0]["custom"] == {"name": "apply_patch", "input": "*** Begin"}
