"""Language-model agency with the OpenAI Agents SDK: the client gets another `base_url`, the agent stays as it is."""

from __future__ import annotations

import asyncio
import os

import agents
import openai
from letters import MODEL, letter

URL = os.environ.get("DEPUTIZE_URL", "http://127.0.0.1:8790")
agents.set_tracing_disabled(True)  # it would report to OpenAI


@agents.function_tool
def lookup_order(order_id: str) -> str:
    """Where an order is."""
    return f"{order_id}: packed, leaves today"


async def main() -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{URL}/v1",
        api_key=os.environ.get("OPENAI_API_KEY", "none"),
        default_headers={"x-deputize-agent": "desk"},
    ) as client:
        desk = agents.Agent(
            name="desk",
            instructions="You help customers of a shop.",
            tools=[lookup_order],
            model=agents.OpenAIChatCompletionsModel(model=MODEL, openai_client=client),
        )
        for number in range(3):
            result = await agents.Runner.run(desk, letter(number))
            print(result.final_output)


if __name__ == "__main__":
    asyncio.run(main())
