"""The OpenAI Agents SDK itself, in front of a scripted server: its calls are recorded by the tracing processor."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from tests.integration.gateway.frames import tool_frames
from tests.integration.gateway.upstream import (
    LoopbackUpstream,
    Seen,
    Stream,
    Whole,
    completion,
    loopback_upstream,
    text_stream,
)

from deputize.core.records import Call
from deputize.home import Home
from deputize.listen import Listener

agents = pytest.importorskip("agents", reason="openai-agents is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")  # the library's own deprecations are not ours to mend
CALL = [{"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bonn"}'}}]


@pytest.fixture
async def upstream() -> AsyncIterator[LoopbackUpstream]:
    async with loopback_upstream() as running:
        yield running


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    listener = Listener.open(agent="desk", home=tmp_path)
    agents.set_tracing_disabled(False)
    agents.set_trace_processors([listener.agents_processor(audience="code")])
    yield listener
    agents.set_trace_processors([])
    agents.set_tracing_disabled(True)


def calls_of(home: Path, listener: Listener) -> list[Call]:
    listener.close()
    with Home(home) as opened:
        return list(opened.store.calls())


def responses_script(seen: Seen) -> Whole:
    """A tool call first, words once its result is there; the request is repeated, as OpenAI's servers do."""
    body = seen.json
    answered = any(i.get("type") == "function_call_output" for i in body["input"] if isinstance(i, dict))
    said = {"type": "message", "id": "o1", "role": "assistant", "status": "completed"}
    output: dict[str, Any] = {
        **said,
        "content": [{"type": "output_text", "text": "It rains.", "annotations": []}],
    }
    if not answered:
        output = {
            "type": "function_call",
            "id": "f1",
            "call_id": "call_1",
            "name": "weather",
            "arguments": '{"city":"Bonn"}',
        }
    usage = {
        "input_tokens": 7,
        "output_tokens": 2,
        "total_tokens": 9,
        "input_tokens_details": {"cached_tokens": 3},
        "output_tokens_details": {"reasoning_tokens": 0},
    }
    repeated = {name: body.get(name) for name in ("model", "instructions", "tools", "tool_choice")}
    rest = {
        "id": "r1",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "parallel_tool_calls": False,
    }
    return Whole(
        json.dumps({**rest, **repeated, "tool_choice": "auto", "output": [output], "usage": usage}).encode()
    )


def agent_on(model: Any) -> Any:
    @agents.function_tool  # type: ignore[untyped-decorator]
    def weather(city: str) -> str:
        """The weather of a city."""
        return f"rain in {city}"

    return agents.Agent(name="a", instructions="Be brief.", tools=[weather], model=model)


async def test_a_run_on_responses(upstream: LoopbackUpstream, listener: Listener, tmp_path: Path) -> None:
    upstream.script = responses_script
    async with openai.AsyncOpenAI(base_url=f"{upstream.base_url}/v1", api_key="k", max_retries=0) as client:
        model = agents.OpenAIResponsesModel(model="big", openai_client=client)
        result = await agents.Runner.run(agent_on(model), "Weather?")
    assert result.final_output == "It rains."
    first, tool_call, last = calls_of(tmp_path, listener)
    assert first.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Weather?"},
    ]
    assert first.response["tool_calls"][0]["function"]["name"] == "weather" and first.model == "big"
    assert first.tools is not None and first.tools[0]["function"]["name"] == "weather"
    assert first.usage is not None and (first.usage.prompt_tokens, first.usage.cached_tokens) == (7, 3)
    assert (tool_call.site, tool_call.messages[0]["arguments"]) == ("weather", {"city": "Bonn"})
    assert tool_call.response["content"] == "rain in Bonn" and tool_call.audience == "code"
    assert last.response["content"] == "It rains." and last.messages[-1]["role"] == "tool"
    assert len({c.episode for c in (first, tool_call, last)}) == 1 and first.episode.startswith("trace_")


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_run_on_chat_completions_is_not_whole_where_tools_are_called(
    upstream: LoopbackUpstream, listener: Listener, tmp_path: Path, streamed: bool
) -> None:
    def script(seen: Seen) -> Whole | Stream:
        answered = any(m["role"] == "tool" for m in seen.json["messages"])
        if streamed:
            return Stream(text_stream("It ", "rains.") if answered else tool_frames('{"city":', '"Bonn"}'))
        return completion("It rains.") if answered else completion(None, tool_calls=CALL)

    upstream.script = script
    async with openai.AsyncOpenAI(base_url=f"{upstream.base_url}/v1", api_key="k", max_retries=0) as client:
        model = agents.OpenAIChatCompletionsModel(model="big", openai_client=client)
        if streamed:
            result = agents.Runner.run_streamed(agent_on(model), "Weather?")
            async for _ in result.stream_events():
                pass
        else:
            result = await agents.Runner.run(agent_on(model), "Weather?")
    first, _, last = calls_of(tmp_path, listener)
    assert first.messages[0]["content"] == "Be brief." and first.response["not_recorded"] == ["tools"]
    assert last.response["content"] == "It rains." and "not_recorded" not in last.response
    assert (first.finish_reason, last.protocol) == ("tool_calls", "chat")


async def test_a_failed_call_is_recorded_as_one(
    upstream: LoopbackUpstream, listener: Listener, tmp_path: Path
) -> None:
    upstream.answer_with(Whole(b'{"error":{"message":"No."}}', status=400))
    async with openai.AsyncOpenAI(base_url=f"{upstream.base_url}/v1", api_key="k", max_retries=0) as client:
        model = agents.OpenAIChatCompletionsModel(model="big", openai_client=client)
        with pytest.raises(openai.BadRequestError):
            await agents.Runner.run(agent_on(model), "Weather?")
    (call,) = calls_of(tmp_path, listener)
    assert (call.status, call.response, call.messages[-1]["content"]) == (500, {}, "Weather?")
