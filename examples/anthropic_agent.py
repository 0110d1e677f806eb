"""Language-model agency with Anthropic's client. The gateway speaks its protocol whichever LLM is behind it; the address has no /v1."""

from __future__ import annotations

import os

import anthropic
from anthropic.types import MessageParam, ToolParam, ToolResultBlockParam
from letters import MODEL, letter

URL = os.environ.get("DEPUTIZE_URL", "http://127.0.0.1:8790")
LOOKUP: ToolParam = {
    "name": "lookup_order",
    "description": "Where an order is.",
    "input_schema": {
        "type": "object",
        "properties": {"order_id": {"type": "string"}},
        "required": ["order_id"],
    },
}


def lookup_order(order_id: str) -> str:
    return f"{order_id}: packed, leaves today"


def answer(client: anthropic.Anthropic, text: str) -> str:
    messages: list[MessageParam] = [{"role": "user", "content": text}]
    while True:
        reply = client.messages.create(
            model=MODEL,
            max_tokens=300,
            system="You help customers of a shop.",
            messages=messages,
            tools=[LOOKUP],
        )
        calls = [block for block in reply.content if block.type == "tool_use"]
        if not calls:
            return "".join(block.text for block in reply.content if block.type == "text")
        messages.append({"role": "assistant", "content": reply.content})
        results: list[ToolResultBlockParam] = [
            {
                "type": "tool_result",
                "tool_use_id": call.id,
                "content": lookup_order(str(call.input["order_id"])),
            }
            for call in calls
        ]
        messages.append({"role": "user", "content": results})


if __name__ == "__main__":
    with anthropic.Anthropic(
        base_url=URL,
        api_key=os.environ.get("ANTHROPIC_API_KEY", "none"),
        default_headers={"x-deputize-agent": "desk"},
    ) as client:
        for number in range(3):
            print(answer(client, letter(number)))
