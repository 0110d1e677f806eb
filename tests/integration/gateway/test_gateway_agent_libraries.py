"""Agent libraries, unchanged but for the base URL: one tool round each, streamed where the library can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import openai
import pytest
from anthropic import AsyncAnthropic
from tests.integration.gateway.frames import tool_frames
from tests.integration.gateway.upstream import LoopbackUpstream, Seen, Stream, Whole, completion, text_stream

from deputize.core.records import Call

Recorded = Callable[[int], list[Call]]
CALL = [
    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
]

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own deprecations are not ours to mend


def two_rounds(seen: Seen) -> Whole | Stream:
    """A tool call first, words once a tool result is there; whole or streamed as asked; chat completions only."""
    if seen.path.endswith("/responses"):
        return Whole(b'{"detail":"Not Found"}', status=404)
    body = seen.json
    answered = any(m["role"] == "tool" for m in body["messages"])
    if body.get("stream"):
        return Stream(text_stream("It ", "rains.") if answered else tool_frames('{"city": ', '"Köln"}'))
    return completion("It rains.") if answered else completion(None, tool_calls=CALL)


@pytest.mark.parametrize("streamed", [False, True])
async def test_openai_agents_on_responses(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded, streamed: bool
) -> None:
    agents = pytest.importorskip("agents", reason="openai-agents is not installed")
    agents.set_tracing_disabled(True)
    upstream.script = two_rounds
    asked: list[str] = []

    @agents.function_tool  # type: ignore[untyped-decorator]
    def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(city)
        return "rain"

    async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="k", max_retries=0) as client:
        model = agents.OpenAIResponsesModel(model="big", openai_client=client)
        agent = agents.Agent(name="a", instructions="Be brief.", tools=[weather], model=model)
        if streamed:
            result = agents.Runner.run_streamed(agent, "Weather in Köln?")
            async for _ in result.stream_events():
                pass
        else:
            result = await agents.Runner.run(agent, "Weather in Köln?")
    assert result.final_output == "It rains." and asked == ["Köln"]
    assert [c.protocol for c in recorded(2)] == ["responses", "responses"]


@pytest.mark.parametrize("streamed", [False, True])
async def test_langchain_openai(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded, streamed: bool
) -> None:
    chat = pytest.importorskip("langchain_openai", reason="langchain-openai is not installed")
    upstream.script = two_rounds

    def weather(city: str) -> str:
        """The weather of a city."""
        return "rain"

    messages: list[Any] = [("user", "Weather in Köln?")]
    # a client of our own, since the library never closes its
    async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="k", max_retries=0) as client:
        model = chat.ChatOpenAI(
            model="big",
            api_key="k",
            async_client=client.chat.completions,
            root_async_client=client,
            client=object(),
            root_client=object(),
        ).bind_tools([weather])
        if streamed:
            answer = None
            async for part in model.astream(messages):
                answer = part if answer is None else answer + part
        else:
            answer = await model.ainvoke(messages)
    assert answer is not None and answer.tool_calls[0]["args"] == {"city": "Köln"}
    assert recorded(1)[0].response["tool_calls"][0]["function"]["name"] == "weather"


@pytest.mark.parametrize("protocol", ["chat", "messages"])
async def test_pydantic_ai(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded, protocol: str
) -> None:
    ai = pytest.importorskip("pydantic_ai", reason="pydantic-ai is not installed")
    upstream.script = two_rounds
    async with (
        openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="k", max_retries=0) as gpt,
        AsyncAnthropic(base_url=gateway, api_key="k", max_retries=0) as claude,
    ):
        model: Any
        if protocol == "chat":
            from pydantic_ai.models.openai import OpenAIChatModel
            from pydantic_ai.providers.openai import OpenAIProvider

            model = OpenAIChatModel("big", provider=OpenAIProvider(openai_client=gpt))
        else:
            from pydantic_ai.models.anthropic import AnthropicModel
            from pydantic_ai.providers.anthropic import AnthropicProvider

            model = AnthropicModel("claude", provider=AnthropicProvider(anthropic_client=claude))
        agent = ai.Agent(model, instructions="Be brief.")

        @agent.tool_plain  # type: ignore[untyped-decorator]
        def weather(city: str) -> str:
            """The weather of a city."""
            return "rain"

        async with agent.run_stream("Weather in Köln?") as result:
            assert await result.get_output() == "It rains."
    assert [c.protocol for c in recorded(2)] == [protocol, protocol]
