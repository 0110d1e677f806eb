"""What gateways break: each test is named after a breakage seen in some gateway, and uses the real client libraries."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import aiohttp
import openai
import pytest
from anthropic import AsyncAnthropic
from tests.integration.gateway.frames import event, response_frames, tool_frames
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

Recorded = Callable[[int], list[Call]]
MESSAGES: list[Any] = [{"role": "user", "content": "weather?"}]
TOOLS: list[Any] = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]
CLAUDE_TOOLS: list[Any] = [{"name": "weather", "input_schema": {"type": "object"}}]


def call_delta(index: Any, arguments: str = "", **more: Any) -> bytes:
    function = {"arguments": arguments} | ({"name": more.pop("name")} if "name" in more else {})
    return chunk({"tool_calls": [{"index": index, "function": function, **more}]})


async def test_streamed_tool_use_keeps_its_input(
    claude_on_openai: AsyncAnthropic, upstream: LoopbackUpstream
) -> None:
    """LiteLLM #25390: `input {}` in a streamed tool_use."""
    upstream.answer_with(Stream(tool_frames('{"city":"Köln","days":', "3}")))
    async with claude_on_openai.messages.stream(
        model="m", max_tokens=9, messages=MESSAGES, tools=CLAUDE_TOOLS
    ) as stream:
        final = await stream.get_final_message()
    assert final.content[0].input == {"city": "Köln", "days": 3}  # type: ignore[union-attr]


async def test_tool_use_is_not_lost_in_a_stream(
    claude_on_openai: AsyncAnthropic, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """LiteLLM #36262: text, then two tool calls, one of them without arguments."""
    frames = [
        chunk({"role": "assistant", "content": "Both."}),
        call_delta(0, name="a", id="c0"),
        call_delta(0, '{"x":1}'),
        call_delta(1, name="b", id="c1"),
        chunk({}, "tool_calls"),
        usage_chunk(),
        DONE,
    ]
    upstream.answer_with(Stream(frames))
    async with claude_on_openai.messages.stream(
        model="m", max_tokens=9, messages=MESSAGES, tools=CLAUDE_TOOLS
    ) as stream:
        final = await stream.get_final_message()
    assert [(b.type, getattr(b, "input", None)) for b in final.content] == [
        ("text", None),
        ("tool_use", {"x": 1}),
        ("tool_use", {}),
    ]
    assert len(recorded(1)[0].response["tool_calls"]) == 2


async def test_tool_deltas_without_index_or_id_are_put_together(
    chat_client: openai.AsyncOpenAI,
    claude_on_openai: AsyncAnthropic,
    upstream: LoopbackUpstream,
    recorded: Recorded,
) -> None:
    """LiteLLM #15884: an upstream that sends index -1 and no id on later fragments."""
    frames = [
        call_delta(-1, name="weather", id="c0"),
        call_delta(-1, '{"city":'),
        call_delta(-1, '"Ulm"}'),
        chunk({}, "tool_calls"),
        DONE,
    ]
    upstream.answer_with(Stream(frames))
    async with claude_on_openai.messages.stream(
        model="m", max_tokens=9, messages=MESSAGES, tools=CLAUDE_TOOLS
    ) as stream:
        final = await stream.get_final_message()
    assert final.content[0].input == {"city": "Ulm"}  # type: ignore[union-attr]
    assert recorded(1)[0].response["tool_calls"][0]["function"]["arguments"] == '{"city":"Ulm"}'


async def test_every_tool_delta_we_write_has_an_index(
    openai_on_claude: Any, upstream: LoopbackUpstream
) -> None:
    """LiteLLM #15884, the other way: what we translate has an int index, and id and name on the first fragment only."""
    frames = [
        event(
            "message_start",
            message={"id": "m", "model": "c", "usage": {"input_tokens": 1, "output_tokens": 1}},
        ),
        event(
            "content_block_start",
            index=0,
            content_block={"type": "tool_use", "id": "t", "name": "weather", "input": {}},
        ),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": '{"a"'}),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": ":1}"}),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "tool_use"}, usage={"output_tokens": 5}),
        event("message_stop"),
    ]
    upstream.answer_with(Stream(frames))
    stream = await openai_on_claude.chat.completions.create(
        model="m", messages=MESSAGES, tools=TOOLS, stream=True
    )
    chunks = [c async for c in stream]
    fragments = [t for c in chunks for t in (c.choices[0].delta.tool_calls or [])]
    assert [t.index for t in fragments] == [0, 0, 0]
    assert [t.id for t in fragments] == ["t", None, None] and fragments[0].function.name == "weather"
    assert chunks[0].choices[0].delta.role == "assistant" and len({c.id for c in chunks}) == 1
    assert {c.choices[0].finish_reason for c in chunks} == {None, "tool_calls"}


async def test_stop_reason_of_tool_calls_is_tool_use(
    claude_on_openai: AsyncAnthropic, upstream: LoopbackUpstream
) -> None:
    """LiteLLM #34692: end_turn in place of tool_use, where the upstream finished with "stop"."""
    upstream.answer_with(Stream(tool_frames("{}", finish="stop")))
    async with claude_on_openai.messages.stream(
        model="m", max_tokens=9, messages=MESSAGES, tools=CLAUDE_TOOLS
    ) as stream:
        assert (await stream.get_final_message()).stop_reason == "tool_use"


async def test_usage_chunk_has_no_choices(openai_on_claude: Any, upstream: LoopbackUpstream) -> None:
    """LiteLLM #8450: a usage chunk with choices in it."""
    frames = [
        event(
            "message_start",
            message={"id": "m", "model": "c", "usage": {"input_tokens": 7, "output_tokens": 1}},
        ),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "dry"}),
        event("content_block_stop", index=0),
        event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 2}),
        event("message_stop"),
    ]
    upstream.answer_with(Stream(frames))
    stream = await openai_on_claude.chat.completions.create(
        model="m", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
    )
    chunks = [c async for c in stream]
    with_usage = [c for c in chunks if c.usage is not None]
    assert len(with_usage) == 1 and with_usage[0] is chunks[-1] and with_usage[0].choices == []
    assert with_usage[0].usage.total_tokens == 9


async def test_one_message_start(claude_on_openai: AsyncAnthropic, upstream: LoopbackUpstream) -> None:
    """bifrost #4556: message_start twice, where the upstream repeats its role chunk."""
    upstream.answer_with(Stream([chunk({"role": "assistant"}), *text_stream("a", "b")]))
    stream = await claude_on_openai.messages.create(model="m", max_tokens=9, messages=MESSAGES, stream=True)
    kinds = [e.type async for e in stream]
    assert kinds.count("message_start") == 1 and kinds[0] == "message_start" and kinds[-1] == "message_stop"


async def test_empty_finish_reason_is_never_written(
    claude_on_openai: AsyncAnthropic,
    chat_client: openai.AsyncOpenAI,
    upstream: LoopbackUpstream,
    recorded: Recorded,
) -> None:
    """pydantic-ai #2844: finish_reason ""; an upstream that sends it is read as "not finished yet"."""
    frames = [
        chunk({"role": "assistant", "content": "x"}, ""),
        chunk({"content": "y"}, ""),
        chunk({}, "stop"),
        DONE,
    ]
    upstream.answer_with(Stream(frames))
    async with claude_on_openai.messages.stream(model="m", max_tokens=9, messages=MESSAGES) as stream:
        final = await stream.get_final_message()
    assert final.content[0].text == "xy" and final.stop_reason == "end_turn"  # type: ignore[union-attr]
    assert recorded(1)[0].finish_reason == "stop"


@pytest.mark.parametrize("end", ["close", "cut"])
async def test_an_end_without_finish_reason_is_an_error(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded, end: str
) -> None:
    """pydantic-ai #6610: EOF without a finish_reason taken for a complete answer."""
    upstream.answer_with(Stream([chunk({"role": "assistant", "content": "half an"})], end=end))
    stream = await chat_client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    got = []
    with pytest.raises(openai.APIError):
        async for part in stream:
            got.append(part.choices[0].delta.content)
    assert got == ["half an"]
    (call,) = recorded(1)
    assert call.aborted and call.response["content"] == "half an" and call.finish_reason == ""


@pytest.mark.parametrize(
    ("kind", "details"),
    [
        ("incomplete", {"incomplete_details": {"reason": "max_output_tokens"}}),
        ("failed", {"error": {"code": "server_error", "message": "out of luck"}}),
    ],
)
async def test_incomplete_and_failed_responses_arrive(
    chat_client: openai.AsyncOpenAI,
    upstream: LoopbackUpstream,
    recorded: Recorded,
    kind: str,
    details: dict[str, Any],
) -> None:
    """pydantic-ai #7911: response.incomplete and response.failed swallowed."""
    upstream.answer_with(Stream(response_frames("cut", end=kind, **details)))
    stream = await chat_client.responses.create(model="m", input="q", stream=True)
    events = [e async for e in stream]
    assert events[-1].type == f"response.{kind}"
    (call,) = recorded(1)
    assert call.protocol == "responses" and call.response["content"] == "cut"
    assert call.finish_reason == ("length" if kind == "incomplete" else "") and call.aborted == (
        kind == "failed"
    )


async def test_text_deltas_carry_logprobs_and_numbers(gateway: str, upstream: LoopbackUpstream) -> None:
    """openai-agents #1227: a text delta without the `logprobs` list; every event must be numbered, too."""
    missing = Whole(b'{"detail":"Not Found"}', status=404)
    upstream.script = lambda seen: (
        missing if seen.path.endswith("/responses") else Stream(text_stream("a", "b"))
    )
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway}/v1/responses", json={"model": "m", "input": "q", "stream": True}) as reply,
    ):
        assert reply.status == 200 and reply.headers["x-accel-buffering"] == "no"
        frames = [json.loads(line[6:]) async for line in reply.content if line.startswith(b"data: ")]
    assert [f["sequence_number"] for f in frames] == list(range(len(frames)))
    deltas = [f for f in frames if f["type"] == "response.output_text.delta"]
    assert [d["delta"] for d in deltas] == ["a", "b"] and all(d["logprobs"] == [] for d in deltas)
    assert [f["type"] for f in frames] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]


async def test_responses_work_on_an_upstream_without_them(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """kgateway #11340: no /responses, so the Agents SDK fails. Conversations go on by previous_response_id, too."""
    missing = Whole(b'{"detail":"Not Found"}', status=404)
    answers = [completion("blue"), completion("because")]
    upstream.script = lambda seen: missing if seen.path.endswith("/responses") else answers.pop(0)
    first = await chat_client.responses.create(model="m", input="favourite colour?", instructions="Be brief.")
    assert first.output_text == "blue" and first.usage is not None and first.usage.total_tokens == 14
    second = await chat_client.responses.create(model="m", input="why?", previous_response_id=first.id)
    assert second.output_text == "because" and second.previous_response_id == first.id
    assert [s.path for s in upstream.seen] == [
        "/v1/responses",
        "/v1/chat/completions",
        "/v1/chat/completions",
    ]
    assert [m["content"] for m in upstream.seen[-1].json["messages"]] == ["favourite colour?", "blue", "why?"]
    assert [c.response["content"] for c in recorded(2)] == ["blue", "because"]
    with pytest.raises(openai.BadRequestError, match="not found"):
        await chat_client.responses.create(model="m", input="?", previous_response_id="resp_dpz-unknown")


async def test_foreign_response_ids_travel_untouched(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream
) -> None:
    """A response the upstream keeps is continued there, byte for byte."""
    upstream.answer_with(Stream(response_frames("ok")))
    stream = await chat_client.responses.create(
        model="m", input="q", previous_response_id="resp_up", stream=True
    )
    assert [e async for e in stream][-1].type == "response.completed"
    assert upstream.seen[0].json["previous_response_id"] == "resp_up"


async def test_count_tokens_exists(claude_on_openai: AsyncAnthropic) -> None:
    """envoy ai-gateway #1360: count_tokens answers 404."""
    assert (await claude_on_openai.messages.count_tokens(model="m", messages=MESSAGES)).input_tokens > 0


async def test_tool_arguments_arrive_as_they_are_made(
    claude_on_openai: AsyncAnthropic, chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream
) -> None:
    """bifrost #2048: tools delivered in one burst at the end."""
    frames: list[bytes | float] = [
        call_delta(0, name="weather", id="c"),
        0.15,
        call_delta(0, '{"a":'),
        0.15,
        call_delta(0, "1}"),
        0.15,
    ]
    upstream.answer_with(Stream([*frames, chunk({}, "tool_calls"), DONE]))
    began = time.monotonic()
    stream = await chat_client.chat.completions.create(model="m", messages=MESSAGES, tools=TOOLS, stream=True)
    times = [time.monotonic() - began async for c in stream if c.choices[0].delta.tool_calls]
    assert times[1] - times[0] > 0.1 and times[2] - times[1] > 0.1
    began = time.monotonic()
    claude = await claude_on_openai.messages.create(
        model="m", max_tokens=9, messages=MESSAGES, tools=CLAUDE_TOOLS, stream=True
    )
    times = [time.monotonic() - began async for e in claude if e.type == "content_block_delta"]
    assert len(times) == 2 and times[1] - times[0] > 0.1


async def test_abort_keeps_the_partial_record_and_stops_the_upstream(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """LiteLLM #35958: the log row is lost when a client goes away."""
    upstream.answer_with(
        Stream([chunk({"role": "assistant", "content": "one "}), chunk({"content": "two"})], end="stall")
    )
    stream = await chat_client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
    parts = []
    async for part in stream:
        parts.append(part.choices[0].delta.content)
        if len(parts) == 2:
            await stream.close()
            break
    (call,) = await asyncio.to_thread(recorded, 1)
    assert (
        call.aborted
        and call.response["content"] == "one two"
        and call.usage is not None
        and call.usage.estimated
    )
    async with asyncio.timeout(3):
        while not upstream.n_gone:
            await asyncio.sleep(0.01)


async def test_abort_before_the_first_byte_is_recorded(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """The same during time to first token: nobody may have to wait for the upstream to notice."""
    upstream.answer_with(Whole(b"{}", wait_s=30.0))
    async with openai.AsyncOpenAI(
        base_url=f"{gateway}/v1", api_key="k", max_retries=0, timeout=0.2
    ) as client:
        with pytest.raises(openai.APITimeoutError):
            await client.chat.completions.create(model="m", messages=MESSAGES)
    (call,) = await asyncio.to_thread(recorded, 1)
    assert call.aborted and call.status == 499 and call.response == {}
    async with asyncio.timeout(3):
        while not upstream.n_gone:
            await asyncio.sleep(0.01)


async def test_responses_on_the_bridge_are_recorded(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """LiteLLM #36426: no log row on the responses bridge."""
    missing = Whole(b"404 page not found", status=404, headers={"content-type": "text/plain"})
    upstream.script = lambda seen: (
        missing if seen.path.endswith("/responses") else Stream(tool_frames('{"a":1}'))
    )
    tools: list[Any] = [
        {"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}
    ]
    async with chat_client.responses.stream(model="m", input="q", tools=tools) as stream:
        final = await stream.get_final_response()
    assert final.output[0].type == "function_call" and final.output[0].arguments == '{"a":1}'
    (call,) = recorded(1)
    assert call.protocol == "responses" and call.response["tool_calls"][0]["function"]["name"] == "weather"
    assert call.tools == [
        {
            "type": "function",
            "function": {"name": "weather", "parameters": {"type": "object"}, "strict": False},
        }
    ]


async def test_every_tool_round_is_recorded(
    chat_client: openai.AsyncOpenAI, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """LiteLLM #37358: nothing is logged after the first tool round."""
    upstream.answer_with(Stream(tool_frames("{}")), Stream(tool_frames("{}")), Stream(text_stream("done")))
    messages = list(MESSAGES)
    for _ in range(3):
        async with chat_client.chat.completions.stream(
            model="m", messages=messages, tools=TOOLS, extra_headers={"x-deputize-episode": "e"}
        ) as stream:
            message = (await stream.get_final_completion()).choices[0].message
        messages.append(message.model_dump(exclude_none=True))
        messages += [
            {"role": "tool", "tool_call_id": t.id, "content": "{}"} for t in message.tool_calls or []
        ]
    calls = recorded(3)
    assert [len(c.messages) for c in calls] == [1, 3, 5] and {c.episode for c in calls} == {"e"}


async def test_heartbeats_and_odd_line_ends_pass(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """Comments, \\r\\n, events cut anywhere (in the middle of a character, too): the bytes stay the same."""
    whole = (
        b": keep-alive\r\n\r\n"
        + chunk({"role": "assistant", "content": "Gr"}).replace(b"\n", b"\r\n")
        + 'data: {"choices":[{"index":0,"delta":{"content":"üße 🙂"}}]}\n\n'.encode()
        + b": ping\n\n"
        + chunk({}, "stop")
        + DONE
    )
    upstream.answer_with(Stream([bytes([b]) for b in whole]))
    body = {"model": "m", "messages": MESSAGES, "stream": True, "stream_options": {"include_usage": True}}
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{gateway}/v1/chat/completions", json=body) as reply,
    ):
        assert await reply.read() == whole
        assert "content-length" not in reply.headers and "content-encoding" not in reply.headers
    assert recorded(1)[0].response["content"] == "Grüße 🙂"
