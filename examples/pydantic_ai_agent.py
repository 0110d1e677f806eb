"""Language-model agency with pydantic-ai: the provider gets a client with another `base_url`."""

from __future__ import annotations

import asyncio
import os

import openai
from letters import MODEL, letter
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

URL = os.environ.get("DEPUTIZE_URL", "http://127.0.0.1:8790")


def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"{order_id}: packed, leaves today"


async def main() -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{URL}/v1",
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
        default_headers={"x-deputize-agent": "desk"},
    ) as client:
        model = OpenAIChatModel(MODEL, provider=OpenAIProvider(openai_client=client))
        desk = Agent(model, instructions="You help customers of a shop.", tools=[lookup_order])
        for number in range(3):
            print((await desk.run(letter(number))).output)


if __name__ == "__main__":
    asyncio.run(main())
