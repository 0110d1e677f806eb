"""Clients of every protocol on upstreams of every protocol: what is said arrives, what cannot be carried is refused."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from anthropic import AsyncAnthropic
from tests.integration.gateway.frames import CITY, SAID, look
from tests.integration.gateway.specialists import InMemorySpecialists, publish, route_for, saying
from tests.integration.gateway.upstream import (
    DONE,
    LoopbackUpstream,
    Stream,
    Whole,
    chunk,
    completion,
    text_stream,
)

from deputize.core.records import Call, Contract, Request
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import GatewaySettings
from deputize.upstreams.failover import RetryConfig
from deputize.upstreams.upstream_config import UpstreamConfig
from deputize.wire.sse import PING

Recorded = Callable[[int], list[Call]]
PROTOCOLS = ("chat", "responses", "messages")
PATHS = {"chat": "/v1/chat/completions", "responses": "/v1/responses", "messages": "/v1/messages"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
ASKED: dict[str, dict[str, Any]] = {
    "chat": {"model": "m", "messages": [{"role": "user", "content": "q"}]},
    "responses": {"model": "m", "input": "q"},
    "messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "q"}]},
}


@asynccontextmanager
async def gateway_to(
    home: Path, upstream: LoopbackUpstream, speaks: str, **changed: Any
) -> AsyncIterator[str]:
    """A gateway whose upstream can be asked in one protocol only."""
    protocol = "anthropic" if speaks == "messages" else "openai"
    config = UpstreamConfig.model_validate(
        {
            "base_url": upstream.base_url,
            "protocol": protocol,
            "speaks": (speaks,),
            **changed.pop("config", {}),
        }
    )
    settings = GatewaySettings(upstreams=(config,), retry=RetryConfig(attempts=1), **changed)
    async with running_gateway(home, settings=settings) as base_url:
        yield base_url


def use(base_url: str, protocol: str, stream: bool) -> tuple[str, dict[str, Any], str, str, tuple[int, int]]:
    """Asks with the real (synchronous) client: text, tool arguments, call id, how it ended, tokens."""
    if protocol == "messages":
        tools: list[Any] = [{"name": "weather", "description": "d", "input_schema": SCHEMA}]
        with anthropic.Anthropic(base_url=base_url, api_key="k", max_retries=0) as claude:
            asked: dict[str, Any] = {**ASKED["messages"], "tools": tools}
            if stream:
                with claude.messages.stream(**asked) as streamed:
                    message = streamed.get_final_message()
            else:
                message = claude.messages.create(**asked)
        text, call = message.content
        tokens = message.usage.input_tokens, message.usage.output_tokens
        return text.text, call.input, call.id, message.stop_reason or "", tokens  # type: ignore[union-attr]
    with openai.OpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client:
        function = {"name": "weather", "description": "d", "parameters": SCHEMA, "strict": False}
        if protocol == "chat":
            asked = {**ASKED["chat"], "tools": [{"type": "function", "function": function}]}
            if stream:
                with client.chat.completions.stream(
                    **asked, stream_options={"include_usage": True}
                ) as chunks:
                    answer: Any = chunks.get_final_completion()
            else:
                answer = client.chat.completions.create(**asked)
            message_, usage = answer.choices[0].message, answer.usage
            (tool,) = message_.tool_calls
            ended, tokens = answer.choices[0].finish_reason, (usage.prompt_tokens, usage.completion_tokens)
            return message_.content, json.loads(tool.function.arguments), tool.id, ended, tokens
        asked = {**ASKED["responses"], "tools": [{"type": "function", **function}]}
        if stream:
            with client.responses.stream(**asked) as events:
                answer = events.get_final_response()
        else:
            answer = client.responses.create(**asked)
        (item,) = [i for i in answer.output if i.type == "function_call"]
        tokens = answer.usage.input_tokens, answer.usage.output_tokens
        return answer.output_text, json.loads(item.arguments), item.call_id, answer.status, tokens


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("speaks", PROTOCOLS)
@pytest.mark.parametrize("client", PROTOCOLS)
async def test_every_client_on_every_upstream(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, client: str, speaks: str, stream: bool
) -> None:
    upstream.script = lambda seen: look(speaks, stream=stream)
    async with gateway_to(home, upstream, speaks) as base_url:
        text, arguments, call_id, ended, tokens = await asyncio.to_thread(use, base_url, client, stream)
    assert (text, arguments, call_id, tokens) == (SAID, json.loads(CITY), "call_1", (11, 3))
    assert ended == {"chat": "tool_calls", "responses": "completed", "messages": "tool_use"}[client]
    (seen,) = upstream.seen
    assert (
        seen.path == PATHS[speaks] and seen.json["model"] == "m" and bool(seen.json.get("stream")) == stream
    )
    (tool,) = seen.json["tools"]
    described = tool.get("function", tool)
    assert described["name"] == "weather" and SCHEMA in (
        described.get("parameters"),
        described.get("input_schema"),
    )
    (call,) = recorded(1)
    assert (call.protocol, call.finish_reason, call.status, call.aborted) == (
        client,
        "tool_calls",
        200,
        False,
    )
    assert (
        call.response["content"] == SAID and call.response["tool_calls"][0]["function"]["name"] == "weather"
    )
    assert json.loads(call.response["tool_calls"][0]["function"]["arguments"]) == json.loads(CITY)
    assert call.usage is not None and (call.usage.prompt_tokens, call.usage.completion_tokens) == (11, 3)
    assert call.tools is not None and call.tools[0]["function"]["name"] == "weather"
    assert call.latency_ms and call.ttft_ms and call.ttft_ms <= call.latency_ms


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("client", PROTOCOLS)
async def test_a_specialists_tool_call_in_every_protocol(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, client: str, stream: bool
) -> None:
    function = {"name": "weather", "description": "d", "parameters": SCHEMA}
    request = Request(messages=ASKED["chat"]["messages"], tools=[{"type": "function", "function": function}])
    publish(home, route_for(request, Contract(kind="tool_call", tools=["weather"])))
    specialists = InMemorySpecialists(saying([{"name": "weather", "arguments": {"city": "Köln"}}]))
    settings = GatewaySettings(upstreams=(UpstreamConfig(base_url=upstream.base_url),), audit_share=0.0)

    def ask(base_url: str) -> Any:
        with openai.OpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as gpt:
            if client == "chat":
                tools: Any = [{"type": "function", "function": function}]
                if not stream:
                    whole: Any = gpt.chat.completions.create(**ASKED["chat"], tools=tools)
                else:
                    with gpt.chat.completions.stream(**ASKED["chat"], tools=tools) as chunks:
                        whole = chunks.get_final_completion()
                assert whole.choices[0].logprobs is None
                return json.loads(whole.choices[0].message.tool_calls[0].function.arguments)
            if client == "responses":
                tools = [{"type": "function", **function, "strict": None}]
                if not stream:
                    response: Any = gpt.responses.create(**ASKED["responses"], tools=tools)
                else:
                    with gpt.responses.stream(**ASKED["responses"], tools=tools) as events:
                        response = events.get_final_response()
                return json.loads(response.output[0].arguments)
        with anthropic.Anthropic(base_url=base_url, api_key="k", max_retries=0) as claude:
            tools = [{"name": "weather", "description": "d", "input_schema": SCHEMA}]
            if not stream:
                message = claude.messages.create(**ASKED["messages"], tools=tools)
            else:
                with claude.messages.stream(**ASKED["messages"], tools=tools) as streamed:
                    message = streamed.get_final_message()
            assert message.stop_reason == "tool_use"
            return message.content[0].input

    async with running_gateway(home, settings=settings, specialists=specialists) as base_url:
        assert await asyncio.to_thread(ask, base_url) == {"city": "Köln"}
    assert not upstream.seen and recorded(1)[0].decision.served_by == "slm"  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_same_protocol_passes_byte_for_byte(
    home: Path, upstream: LoopbackUpstream, protocol: str, stream: bool
) -> None:
    """Unknown fields, odd spacing, unknown frames, the query: all as they came, both ways."""
    odd = b'data:  {"odd" : [1, 2.50], "type":"vendor.event"}\n\n: note\n\n'
    act = look(protocol, stream=stream)
    if isinstance(act, Whole):
        act = Whole(act.body.replace(b"{", b'{ "x_odd" :\t1.50, ', 1))
        answer = act.body
    else:
        act = Stream([odd, *act.parts])
        answer = b"".join(p for p in act.parts if isinstance(p, bytes))
    upstream.answer_with(act)
    body = json.dumps(
        {**ASKED[protocol], "x_odd": {"é": 1.0}, "stream": stream, "stream_options": {"include_usage": True}},
        indent=3,
    ).encode()
    async with (
        gateway_to(home, upstream, protocol) as base_url,
        aiohttp.ClientSession() as session,
        session.post(
            f"{base_url}{PATHS[protocol]}?beta=true&x=%20y",
            data=body,
            headers={"content-type": "application/json"},
        ) as reply,
    ):
        got, headers = await reply.read(), reply.headers
    assert upstream.seen[0].body == body and upstream.seen[0].path == f"{PATHS[protocol]}?beta=true&x=%20y"
    assert got == answer
    if stream:
        assert headers["x-accel-buffering"] == "no" and "content-length" not in headers
        assert "content-encoding" not in headers


# --- ends
# --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["close", "cut", "half"])
@pytest.mark.parametrize("speaks", PROTOCOLS)
@pytest.mark.parametrize("client", PROTOCOLS)
async def test_an_upstream_that_dies_in_the_middle_is_an_error_to_every_client(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, client: str, speaks: str, end: str
) -> None:
    act = look(speaks, stream=True)
    assert isinstance(act, Stream)
    upstream.answer_with(Stream(act.parts[:5], end=end))
    if end == "half":  # in the middle of a frame
        last = act.parts[5]
        assert isinstance(last, bytes)
        upstream.answer_with(Stream([*act.parts[:5], last[: len(last) // 2]], end="cut"))
    got: list[str] = []

    async def read(base_url: str) -> None:
        if client == "messages":
            async with (
                AsyncAnthropic(base_url=base_url, api_key="k", max_retries=0) as claude,
                claude.messages.stream(**ASKED["messages"]) as streamed,
            ):
                async for piece in streamed.text_stream:
                    got.append(piece)
            return
        async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as gpt:
            if client == "chat":
                async for part in await gpt.chat.completions.create(**ASKED["chat"], stream=True):
                    got.extend(c.delta.content for c in part.choices if c.delta.content)
                return
            async for one in await gpt.responses.create(**ASKED["responses"], stream=True):
                if one.type == "response.output_text.delta":
                    got.append(one.delta)
                if one.type == "error":
                    raise openai.APIError(one.message, request=None, body=None)  # type: ignore[arg-type]

    async with gateway_to(home, upstream, speaks) as base_url:
        with pytest.raises((openai.APIError, anthropic.APIError)):
            await read(base_url)
    assert "".join(got) == SAID, "what had come before the end has arrived"
    (call,) = recorded(1)
    assert call.aborted and call.response["content"] == SAID and call.finish_reason == ""


@pytest.mark.parametrize("client", ["chat", "messages"])
async def test_a_client_that_goes_away_before_the_first_frame_stops_the_upstream(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, client: str
) -> None:
    """The upstream's head has come, its first frame has not: translated or not, nobody waits for it any more."""
    upstream.answer_with(Stream([], end="stall"))
    async with gateway_to(home, upstream, "chat") as base_url, aiohttp.ClientSession() as session:
        asked = asyncio.ensure_future(
            session.post(base_url + PATHS[client], json={**ASKED[client], "stream": True})
        )
        while not upstream.seen:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        asked.cancel()  # the head of its answer waits for the first frame, which may still be an error
        async with asyncio.timeout(5):
            while not upstream.n_gone:
                await asyncio.sleep(0.01)
    (call,) = recorded(1)
    assert call.aborted and call.response == {}


async def test_one_deadline_for_a_whole_stream(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """Heartbeats keep a stream alive as long as its deadline; there is no limit on the time between reads."""
    heartbeats: list[bytes | float] = [b": ping\n\n", 0.1]
    upstream.answer_with(Stream([chunk({"content": "x"}), *heartbeats * 100]))
    async with (
        gateway_to(home, upstream, "chat", config={"deadline_s": 0.7}) as base_url,
        aiohttp.ClientSession() as session,
        session.post(base_url + PATHS["chat"], json={**ASKED["chat"], "stream": True}) as reply,
    ):
        text = (await reply.read()).decode()
    assert text.count(": ping") >= 3 and "did not finish its answer in time" in text
    assert recorded(1)[0].aborted


async def test_heartbeats_pass_through_a_translation(home: Path, upstream: LoopbackUpstream) -> None:
    for client, speaks in (("messages", "chat"), ("chat", "messages")):
        act = look(speaks, stream=True)
        assert isinstance(act, Stream)
        upstream.answer_with(Stream([b": thinking\n\n", *act.parts[:3], b": thinking\n\n", *act.parts[3:]]))
        async with (
            gateway_to(home, upstream, speaks) as base_url,
            aiohttp.ClientSession() as session,
            session.post(base_url + PATHS[client], json={**ASKED[client], "stream": True}) as reply,
        ):
            body = await reply.read()
        assert body.count(PING) >= 2 and body.startswith(PING)
    assert home.exists()


@pytest.mark.parametrize(
    ("client", "stream"), [("chat", True), ("messages", True), ("chat", False), ("messages", False)]
)
async def test_an_answer_without_end_is_cut(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, client: str, stream: bool
) -> None:
    big = chunk({"content": "y" * 50_000})
    upstream.answer_with(Stream([big] * 200) if stream else Whole(completion("y" * 2_000_000).body))
    async with (
        gateway_to(home, upstream, "chat", max_answer_mb=1.0) as base_url,
        aiohttp.ClientSession() as session,
        session.post(base_url + PATHS[client], json={**ASKED[client], "stream": stream}) as reply,
    ):
        body = await reply.read()
        assert reply.status == (200 if stream else 502)
    assert b"larger than 1 MB" in body and len(body) < 3_000_000
    (call,) = recorded(1)
    assert call.aborted if stream else call.status == 502


@pytest.mark.parametrize("client", ["chat", "messages"])
async def test_a_stream_that_is_compressed_all_the_same(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, client: str
) -> None:
    """The upstream was asked not to; the client gets it as it came or translated, the record holds what was said."""
    parts = [p for p in text_stream("packed ", "words") if isinstance(p, bytes)]
    packed = gzip.compress(b"".join(parts))
    headers = {"content-type": "text/event-stream", "content-encoding": "gzip"}
    upstream.answer_with(Stream([packed[:40], packed[40:]], headers=headers))
    async with (
        gateway_to(home, upstream, "chat") as base_url,
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.post(base_url + PATHS[client], json={**ASKED[client], "stream": True}) as reply,
    ):
        body = await reply.read()
    assert upstream.seen[0].headers["accept-encoding"] == "identity"
    assert body == packed if client == "chat" else b"packed " in body and b"message_stop" in body
    (call,) = recorded(1)
    assert call.response["content"] == "packed words" and not call.aborted and call.usage is not None


async def test_tool_calls_that_interleave_come_one_after_the_other(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    def delta(index: int, arguments: str, **more: Any) -> bytes:
        return chunk(
            {
                "tool_calls": [
                    {
                        "index": index,
                        "function": {"arguments": arguments, **more},
                        **({"id": f"{more['name']}-1"} if more else {}),
                    }
                ]
            }
        )

    frames = [
        delta(0, "", name="a"),
        delta(1, "", name="b"),
        delta(0, "{}"),
        delta(1, "{}"),
        chunk({}, "tool_calls"),
        DONE,
    ]
    for client, last in (("messages", "message_stop"), ("responses", "response.completed")):
        upstream.answer_with(Stream(frames))
        async with (
            gateway_to(home, upstream, "chat") as base_url,
            aiohttp.ClientSession() as session,
            session.post(base_url + PATHS[client], json={**ASKED[client], "stream": True}) as reply,
        ):
            kinds = [line[7:].strip().decode() async for line in reply.content if line.startswith(b"event: ")]
        assert kinds[-1] == last and "error" not in kinds
    for call in recorded(2):
        assert not call.aborted and [c["id"] for c in call.response["tool_calls"]] == ["a-1", "b-1"]


# --- what cannot be carried ------------------------------------------------------------------------------------------

PDF: dict[str, Any] = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
}
AT_PROVIDER: dict[str, Any] = {"type": "document", "source": {"type": "file", "file_id": "f"}}
PNG = "data:image/png;base64,AAAA"


def said(content: Any, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": content}], **more}


@pytest.mark.parametrize(
    ("client", "speaks", "fields", "named"),
    [
        ("messages", "chat", said([AT_PROVIDER]), "document"),
        ("messages", "chat", said([{"type": "image", "source": {"type": "file", "file_id": "f"}}]), "image"),
        (
            "messages",
            "chat",
            said([{"type": "tool_result", "tool_use_id": "t", "content": [AT_PROVIDER]}]),
            "document",
        ),
        (
            "messages",
            "responses",
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": [
                            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
                        ],
                    }
                ]
            },
            "server_tool_use",
        ),
        (
            "messages",
            "chat",
            said("q", tools=[{"type": "web_search_20250305", "name": "web_search"}]),
            "web_search_20250305",
        ),
        ("messages", "chat", said("q", mcp_servers=[{"url": "https://x"}]), "mcp_servers"),
        (
            "chat",
            "messages",
            said([{"type": "input_audio", "input_audio": {"data": "A", "format": "wav"}}]),
            "input_audio",
        ),
        ("chat", "responses", said([{"type": "file", "file": {"file_id": "f"}}]), "file"),
        ("chat", "messages", said("q", n=2), "n"),
        ("chat", "messages", said("q", logprobs=True), "logprobs"),
        ("chat", "messages", said("q", functions=[{"name": "f"}]), "functions"),
        ("chat", "messages", said("q", modalities=["text", "audio"], audio={"voice": "a"}), "modalities"),
        ("responses", "chat", {"input": [{"type": "item_reference", "id": "i"}]}, "item_reference"),
        (
            "responses",
            "chat",
            {"input": [{"role": "user", "content": [{"type": "input_file", "file_id": "f"}]}]},
            "input_file",
        ),
        (
            "responses",
            "messages",
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input_image",
        ),
        (
            "responses",
            "messages",
            {"input": "q", "tools": [{"type": "file_search", "vector_store_ids": ["v"]}]},
            "file_search",
        ),
        ("responses", "chat", {"input": "q", "background": True}, "background"),
        ("responses", "messages", {"input": "q", "prompt": {"id": "pmpt_1"}}, "prompt"),
    ],
)
async def test_what_another_protocol_cannot_hold_is_refused_in_words(
    home: Path, upstream: LoopbackUpstream, client: str, speaks: str, fields: dict[str, Any], named: str
) -> None:
    base = {k: v for k, v in ASKED[client].items() if k not in ("messages", "input")}
    async with (
        gateway_to(home, upstream, speaks) as base_url,
        aiohttp.ClientSession() as session,
        session.post(base_url + PATHS[client], json={**base, **fields}) as reply,
    ):
        error = (await reply.json())["error"]
    assert reply.status == 400 and named in error["message"] and error["message"].endswith(".")
    assert not upstream.seen, "nothing is sent that would mean something else"


@pytest.mark.parametrize("speaks", PROTOCOLS)
@pytest.mark.parametrize("client", PROTOCOLS)
async def test_images_are_carried(home: Path, upstream: LoopbackUpstream, client: str, speaks: str) -> None:
    content: dict[str, Any] = {
        "chat": said([{"type": "text", "text": "what?"}, {"type": "image_url", "image_url": {"url": PNG}}]),
        "messages": said(
            [
                {"type": "text", "text": "what?"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ]
        ),
        "responses": {
            "input": [
                {
                    "role": "user",
                    "content": [
                        {"type": "input_text", "text": "what?"},
                        {"type": "input_image", "image_url": PNG, "detail": "auto"},
                    ],
                }
            ]
        },
    }[client]
    upstream.script = lambda seen: look(speaks, stream=False)
    base = {k: v for k, v in ASKED[client].items() if k not in ("messages", "input")}
    async with (
        gateway_to(home, upstream, speaks) as base_url,
        aiohttp.ClientSession() as session,
        session.post(base_url + PATHS[client], json={**base, **content}) as reply,
    ):
        assert reply.status == 200
    sent = upstream.seen[0].json
    text, image = (sent.get("messages") or sent["input"])[0]["content"]
    assert text["text"] == "what?"
    if speaks == "messages":
        assert image["source"] == {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    else:
        assert PNG in (image["image_url"], image["image_url"].get("url") if speaks == "chat" else None)


@pytest.mark.parametrize(
    ("client", "speaks"), [("messages", "chat"), ("chat", "messages"), ("responses", "messages")]
)
async def test_documents_are_carried(
    home: Path, upstream: LoopbackUpstream, client: str, speaks: str
) -> None:
    data = "data:application/pdf;base64,AAAA"
    parts: dict[str, dict[str, Any]] = {
        "messages": PDF,
        "chat": {"type": "file", "file": {"filename": "a.pdf", "file_data": data}},
        "responses": {"type": "input_file", "filename": "a.pdf", "file_data": data},
    }
    part = parts[client]
    asked = {"input": [{"role": "user", "content": [part]}]} if client == "responses" else said([part])
    upstream.script = lambda seen: look(speaks, stream=False)
    base = {k: v for k, v in ASKED[client].items() if k not in ("messages", "input")}
    async with (
        gateway_to(home, upstream, speaks) as base_url,
        aiohttp.ClientSession() as session,
        session.post(base_url + PATHS[client], json={**base, **asked}) as reply,
    ):
        assert reply.status == 200
    (sent,) = upstream.seen[0].json["messages"][0]["content"]
    assert (sent["source"] == PDF["source"]) if speaks == "messages" else (sent["file"]["file_data"] == data)


async def test_an_image_in_a_tool_result_goes_into_a_users_message_where_only_users_may_send_some(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    shot = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    results = [
        {"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "seen"}, shot]},
        {"type": "tool_result", "tool_use_id": "b", "content": "plain"},
    ]
    use = [{"type": "tool_use", "id": i, "name": "shot", "input": {}} for i in "ab"]
    messages = [
        {"role": "user", "content": "look"},
        {"role": "assistant", "content": use},
        {"role": "user", "content": results},
    ]
    upstream.answer_with(completion())
    async with (
        gateway_to(home, upstream, "chat") as base_url,
        aiohttp.ClientSession() as session,
        session.post(base_url + PATHS["messages"], json={**ASKED["messages"], "messages": messages}) as reply,
    ):
        assert reply.status == 200
    sent = upstream.seen[0].json["messages"]
    assert [m["role"] for m in sent] == ["user", "assistant", "tool", "tool", "user"]
    assert [m["content"] for m in sent[2:4]] == ["seen", "plain"]
    assert PNG in json.dumps(sent[4])
    (call,) = recorded(1)
    assert PNG in json.dumps(call.messages[2]), "the record keeps it where it stood"


async def test_an_image_in_a_tool_result_is_kept_where_it_can_be(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    item = {
        "type": "function_call_output",
        "call_id": "c",
        "output": [{"type": "input_image", "image_url": PNG}],
    }
    upstream.script = lambda seen: look("messages", stream=False)
    asked = {
        "model": "m",
        "input": [
            {"role": "user", "content": "q"},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
            item,
        ],
    }
    async with (
        gateway_to(home, upstream, "messages") as base_url,
        aiohttp.ClientSession() as session,
        session.post(base_url + PATHS["responses"], json=asked) as reply,
    ):
        assert reply.status == 200
    (result,) = upstream.seen[0].json["messages"][-1]["content"]
    assert result["type"] == "tool_result" and result["content"][0]["source"]["data"] == "AAAA"
    assert recorded(1)[0].messages[-1]["content"][0]["image_url"]["url"] == PNG


async def test_a_fallback_that_cannot_take_a_request_is_passed_over(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """A request that only the third upstream can be asked: the second is neither asked nor the end of it."""
    upstream.script = lambda seen: (
        Whole(b"{}", status=503) if "/first/" in seen.path else look("messages", stream=False)
    )
    root = upstream.base_url.removesuffix("/v1")
    names = {"first": "anthropic", "second": "openai", "third": "anthropic"}
    settings = GatewaySettings(
        upstreams=tuple(
            UpstreamConfig.model_validate({"name": n, "base_url": f"{root}/{n}/v1", "protocol": p})
            for n, p in names.items()
        ),
        retry=RetryConfig(attempts=1),
    )
    async with running_gateway(home, settings=settings) as base_url, aiohttp.ClientSession() as session:
        asked = {**ASKED["messages"], "messages": [{"role": "user", "content": [AT_PROVIDER]}]}
        async with session.post(base_url + PATHS["messages"], json=asked) as reply:
            assert reply.status == 200
    assert [s.path for s in upstream.seen] == ["/first/v1/messages", "/third/v1/messages"]
    assert (
        upstream.seen[1].json["messages"][0]["content"] == [AT_PROVIDER]
        and recorded(1)[0].upstream == "third"
    )


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_a_conversation_goes_on_after_a_specialists_answer(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, stream: bool
) -> None:
    """No other server knows a response that a specialist wrote, so the gateway writes it out for the LLM."""
    request = Request(messages=ASKED["chat"]["messages"])
    publish(home, route_for(request, Contract(kind="label", labels=["sun", "rain"])))
    upstream.answer_with(completion("because"))
    settings = GatewaySettings(
        upstreams=(UpstreamConfig(base_url=upstream.base_url, speaks=("chat",)),), audit_share=0.0
    )

    def ask(base_url: str) -> None:
        with openai.OpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as gpt:
            if stream:
                with gpt.responses.stream(**ASKED["responses"]) as events:
                    first: Any = events.get_final_response()
            else:
                first = gpt.responses.create(**ASKED["responses"])
            assert first.output_text == "rain"
            second = gpt.responses.create(model="m", input="why?", previous_response_id=first.id)
            assert second.output_text == "because"

    async with running_gateway(
        home, settings=settings, specialists=InMemorySpecialists(saying("rain"))
    ) as url:
        await asyncio.to_thread(ask, url)
    said = [m["content"] for m in upstream.seen[0].json["messages"]]
    assert said[-2:] == ["rain", "why?"]
    assert {c.decision.served_by for c in recorded(2) if c.decision} == {"slm", "llm"}
