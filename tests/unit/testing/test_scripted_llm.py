"""The scripted upstream, asked by the real client."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam

from deputize.testing import always, calling, failing
from deputize.testing.scripted_llm import (
    Latency,
    Script,
    ScriptedUpstream,
    ScriptError,
    count_tokens,
    in_thread,
    running,
)

Start = Callable[..., Awaitable[tuple[ScriptedUpstream, openai.AsyncOpenAI]]]
ASKED: list[ChatCompletionMessageParam] = [{"role": "user", "content": "how are you"}]


@pytest.fixture
async def asking() -> AsyncIterator[Start]:
    """Starts an upstream for a script and gives the real client of it."""
    async with asyncio.TaskGroup() as group:
        ended = asyncio.Event()

        async def start(script: Script, **settings: Any) -> tuple[ScriptedUpstream, openai.AsyncOpenAI]:
            upstream = ScriptedUpstream(script, **settings)
            ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

            async def live() -> None:
                async with running(upstream):
                    ready.set_result(None)
                    await ended.wait()

            group.create_task(live())
            await ready
            return upstream, openai.AsyncOpenAI(base_url=upstream.url + "/v1", api_key="x", max_retries=0)

        yield start
        ended.set()


async def test_a_text_and_its_usage(asking: Start) -> None:
    upstream, client = await asking(always("fine, and you"))
    async with client:
        got = await client.chat.completions.create(model="m", messages=ASKED)
        again = await client.chat.completions.create(model="m", messages=ASKED)
    assert got.choices[0].message.content == "fine, and you"
    assert got.choices[0].finish_reason == "stop"
    assert got.usage is not None and got.usage.completion_tokens == count_tokens("fine, and you")
    assert got == again
    assert upstream.n_requests == 2
    assert upstream.requests[0]["messages"] == ASKED


async def test_a_tool_call(asking: Start) -> None:
    _, client = await asking(calling("look", order_id="A-1", n=2))
    async with client:
        got = (await client.chat.completions.create(model="m", messages=ASKED)).choices[0]
    assert got.finish_reason == "tool_calls"
    assert got.message.content is None
    (tool_call,) = got.message.tool_calls or []
    assert tool_call.type == "function"
    assert json.loads(tool_call.function.arguments) == {"order_id": "A-1", "n": 2}


async def test_a_stream_is_the_same_text_in_pieces(asking: Start) -> None:
    _, client = await asking(always("one  two\nthree äöü ✓"))
    async with client:
        stream = await client.chat.completions.create(
            model="m", messages=ASKED, stream=True, stream_options={"include_usage": True}
        )
        chunks = [chunk async for chunk in stream]
    text = "".join(c.delta.content or "" for chunk in chunks for c in chunk.choices)
    assert text == "one  two\nthree äöü ✓"
    assert len(chunks) > 4
    assert [c.finish_reason for chunk in chunks for c in chunk.choices][-1] == "stop"
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert len({chunk.id for chunk in chunks}) == 1


async def test_a_streamed_tool_call_comes_in_fragments(asking: Start) -> None:
    _, client = await asking(calling("look", order_id="A 1"))
    async with client:
        stream = await client.chat.completions.create(model="m", messages=ASKED, stream=True)
        parts = [d for c in [c async for c in stream] for ch in c.choices for d in ch.delta.tool_calls or []]
    assert [p.id for p in parts if p.id] == ["call_0"]
    assert {p.index for p in parts} == {0}
    assert json.loads("".join(p.function.arguments or "" for p in parts if p.function)) == {"order_id": "A 1"}


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, openai.BadRequestError), (429, openai.RateLimitError), (503, openai.InternalServerError)],
)
async def test_errors_have_the_form_the_client_knows(
    asking: Start, status: int, kind: type[openai.APIStatusError]
) -> None:
    _, client = await asking(failing(status, "as told"))
    async with client:
        with pytest.raises(kind, match="as told"):
            await client.chat.completions.create(model="m", messages=ASKED)


async def test_what_is_no_request_is_a_400(asking: Start) -> None:
    upstream, client = await asking(always("x"))
    async with client, aiohttp.ClientSession() as session:
        for body in (b"", b"{", b"[]", b'{"messages": 1}'):
            async with session.post(upstream.url + "/v1/chat/completions", data=body) as response:
                assert response.status == 400
                assert "error" in await response.json()
        assert [m.id async for m in client.models.list()] == ["scripted"]


async def test_latency_is_kept(asking: Start) -> None:
    _, client = await asking(always("a b c d"), latency=Latency(60, 10))
    async with client:
        began = time.perf_counter()
        await client.chat.completions.create(model="m", messages=ASKED)
        assert time.perf_counter() - began >= 0.07


def test_it_runs_in_a_thread_too() -> None:
    def script(body: dict[str, Any]) -> dict[str, Any]:
        if body["model"] != "right":
            raise ScriptError(404, "wrong model")
        return {"role": "assistant", "content": "yes"}

    with (
        in_thread(ScriptedUpstream(script)) as upstream,
        openai.OpenAI(base_url=upstream.url + "/v1", api_key="x", max_retries=0) as client,
    ):
        got = client.chat.completions.create(model="right", messages=ASKED)
        assert got.choices[0].message.content == "yes"
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="wrong", messages=ASKED)


def test_a_port_in_use_is_an_os_error() -> None:
    with (
        in_thread(ScriptedUpstream(always("x"))) as one,
        pytest.raises(OSError),
        in_thread(ScriptedUpstream(always("y"), port=one.port)),
    ):
        pass
