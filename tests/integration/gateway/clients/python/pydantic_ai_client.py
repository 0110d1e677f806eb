"""pydantic-ai with the protocol that the second argument names: chat, responses or messages."""

from __future__ import annotations

import asyncio
from typing import Any

import client_steps as ask
from pydantic import BaseModel
from pydantic_ai import Agent


class Place(BaseModel):
    """A place and how warm it is."""

    city: str
    degrees: float


def made() -> Any:
    if ask.PROTOCOL == "messages":
        from pydantic_ai.models.anthropic import AnthropicModel
        from pydantic_ai.providers.anthropic import AnthropicProvider

        return AnthropicModel("big", provider=AnthropicProvider(base_url=ask.BASE, api_key="k"))
    from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
    from pydantic_ai.providers.openai import OpenAIProvider

    kind: Any = OpenAIResponsesModel if ask.PROTOCOL == "responses" else OpenAIChatModel
    return kind("big", provider=OpenAIProvider(base_url=f"{ask.BASE}/v1", api_key="k"))


def agent(**more: Any) -> Any:
    return Agent(made(), **more)


async def streamed(asking: Any, prompt: str) -> Any:
    async with asking.run_stream(prompt) as result:
        return await result.get_output()


def plain() -> Any:
    result = agent().run_sync(ask.QUEUE)
    usage: Any = result.usage() if callable(result.usage) else result.usage
    return result.output, usage.total_tokens > 0


def tool(in_stream: bool) -> Any:
    asking, asked = agent(), []

    @asking.tool_plain
    def weather(city: str) -> str:
        """The weather of a city."""
        asked.append(("weather", {"city": city}))
        return "rain"

    if in_stream:
        asyncio.run(streamed(asking, ask.WEATHER))
    else:
        asking.run_sync(ask.WEATHER)
    return asked


ask.run(
    plain=plain,
    streamed=lambda: asyncio.run(streamed(agent(), ask.QUEUE)),
    tool=lambda: tool(False),
    tool_streamed=lambda: tool(True),
    structured=lambda: agent(output_type=Place).run_sync(ask.FORECAST).output.model_dump(),
    structured_streamed=lambda: asyncio.run(streamed(agent(output_type=Place), ask.FORECAST)).model_dump(),
    refused=lambda: agent().run_sync(ask.REFUSED).output,
    refused_stream=lambda: asyncio.run(streamed(agent(), ask.REFUSED)),
    cut=lambda: asyncio.run(streamed(agent(), ask.CUT)),
)
