"""LiteLLM with the protocol that the second argument names: chat, responses or messages."""

from __future__ import annotations

import json
from typing import Any

import client_steps as ask
import litellm

litellm.suppress_debug_info = True
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": ask.CITY}}]
PLACE = {"type": "json_schema", "json_schema": {"name": "place", "strict": True, "schema": ask.PLACE}}
ON_RESPONSES = ask.PROTOCOL == "responses"
AT: dict[str, Any] = (
    {"model": "anthropic/big", "api_base": ask.BASE, "api_key": "k"}
    if ask.PROTOCOL == "messages"
    # a name that it knows: it makes up a stream of responses for other models
    else {"model": "openai/gpt-4o", "api_base": f"{ask.BASE}/v1", "api_key": "k"}
)


def asked(prompt: str, **more: Any) -> Any:
    return litellm.completion(**AT, messages=ask.user(prompt), num_retries=0, **more)


def whole(prompt: str, **more: Any) -> Any:
    parts = [*asked(prompt, stream=True, **more)]
    assert parts[-1].choices[0].finish_reason or parts[-2].choices[0].finish_reason, "not finished"
    return litellm.stream_chunk_builder(parts)


def of_response(prompt: str, **more: Any) -> Any:
    return litellm.responses(**AT, input=prompt, **more)


def completed(prompt: str, **more: Any) -> Any:
    response = None
    for event in of_response(prompt, stream=True, **more):
        if event.type == "response.completed":
            response = event.response
    assert response is not None, "not completed"
    return response


def text_of(answer: Any) -> str:
    if not ON_RESPONSES:
        return str(answer.choices[0].message.content)
    return "".join(part.text for item in answer.output if item.type == "message" for part in item.content)


def calls(answer: Any) -> Any:
    if ON_RESPONSES:
        return [(i.name, json.loads(i.arguments)) for i in answer.output if i.type == "function_call"]
    made = answer.choices[0].message.tool_calls
    return [(c.function.name, json.loads(c.function.arguments)) for c in made]


tools: Any = [{"type": "function", "name": "weather", "parameters": ask.CITY}] if ON_RESPONSES else TOOLS
shape: Any = (
    {"text": {"format": {"type": "json_schema", "name": "place", "strict": True, "schema": ask.PLACE}}}
    if ON_RESPONSES
    else {"response_format": PLACE}
)
one, streamed = (of_response, completed) if ON_RESPONSES else (asked, whole)


def plain() -> Any:
    answer = one(ask.QUEUE)
    return text_of(answer), answer.usage.total_tokens > 0


ask.run(
    plain=plain,
    streamed=lambda: text_of(streamed(ask.QUEUE)),
    tool=lambda: calls(one(ask.WEATHER, tools=tools)),
    tool_streamed=lambda: calls(streamed(ask.WEATHER, tools=tools)),
    structured=lambda: json.loads(text_of(one(ask.FORECAST, **shape))),
    structured_streamed=lambda: json.loads(text_of(streamed(ask.FORECAST, **shape))),
    refused=lambda: text_of(one(ask.REFUSED)),
    refused_stream=lambda: text_of(streamed(ask.REFUSED)),
    cut=lambda: text_of(streamed(ask.CUT)),
)
