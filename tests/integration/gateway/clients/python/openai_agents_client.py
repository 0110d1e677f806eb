"""OpenAI's agents with the API that the second argument names: chat or responses."""

from __future__ import annotations

import asyncio
from typing import Any

import agents
import client_steps as ask
import openai
from pydantic import BaseModel

agents.set_tracing_disabled(True)


class Place(BaseModel):
    city: str
    degrees: float


async def asked(prompt: str, in_stream: bool = False, **more: Any) -> Any:
    async with openai.AsyncOpenAI(base_url=f"{ask.BASE}/v1", api_key="k", max_retries=0) as client:
        kind: Any = (
            agents.OpenAIResponsesModel if ask.PROTOCOL == "responses" else agents.OpenAIChatCompletionsModel
        )
        agent: Any = agents.Agent(name="a", model=kind(model="big", openai_client=client), **more)
        if not in_stream:
            return await agents.Runner.run(agent, prompt)
        result = agents.Runner.run_streamed(agent, prompt)
        async for _ in result.stream_events():
            pass
        return result


def answered(prompt: str, in_stream: bool = False, **more: Any) -> Any:
    return asyncio.run(asked(prompt, in_stream, **more)).final_output


def plain() -> Any:
    result = asyncio.run(asked(ask.QUEUE))
    return result.final_output, result.context_wrapper.usage.total_tokens > 0


def tool(in_stream: bool) -> Any:
    made: list[Any] = []

    @agents.function_tool
    def weather(city: str) -> str:
        """The weather of a city."""
        made.append(("weather", {"city": city}))
        return "rain"

    answered(ask.WEATHER, in_stream, tools=[weather])
    return made


ask.run(
    plain=plain,
    streamed=lambda: answered(ask.QUEUE, True),
    tool=lambda: tool(False),
    tool_streamed=lambda: tool(True),
    structured=lambda: answered(ask.FORECAST, output_type=Place).model_dump(),
    structured_streamed=lambda: answered(ask.FORECAST, True, output_type=Place).model_dump(),
    refused=lambda: answered(ask.REFUSED),
    refused_stream=lambda: answered(ask.REFUSED, True),
    cut=lambda: answered(ask.CUT, True),
)
