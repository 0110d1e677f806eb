"""Language-model agency with OpenAI's client: the LLM chooses the tool, a loop runs it. Only `base_url` and the headers are new."""

from __future__ import annotations

import json
import os

import openai
from letters import MODEL, letter
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

URL = os.environ.get("DEPUTIZE_URL", "http://127.0.0.1:8790")
LOOKUP: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "lookup_order",
        "description": "Where an order is.",
        "parameters": {
            "type": "object",
            "properties": {"order_id": {"type": "string"}},
            "required": ["order_id"],
        },
    },
}


def lookup_order(order_id: str) -> str:
    return f"{order_id}: packed, leaves today"


def answer(client: openai.OpenAI, text: str, episode: str) -> str:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": "You help customers of a shop."},
        {"role": "user", "content": text},
    ]
    headers = {"x-deputize-agent": "desk", "x-deputize-episode": episode}  # optional: they make better sites
    while True:
        reply = client.chat.completions.create(
            model=MODEL, messages=messages, tools=[LOOKUP], extra_headers=headers
        )
        message = reply.choices[0].message
        if not message.tool_calls:
            return message.content or ""
        messages.append(message.to_dict())  # type: ignore[arg-type]  # an answer is a message of the next request
        for call in message.tool_calls:
            assert call.type == "function"
            result = lookup_order(**json.loads(call.function.arguments))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": result})


if __name__ == "__main__":
    with openai.OpenAI(base_url=f"{URL}/v1", api_key=os.environ.get("OPENAI_API_KEY", "none")) as client:
        for number in range(3):
            print(answer(client, letter(number), episode=f"letter-{number}"))
