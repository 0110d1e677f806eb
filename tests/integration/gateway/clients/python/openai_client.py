"""OpenAI's client with the API that the second argument names: chat or responses."""

from __future__ import annotations

import json
from typing import Any

import client_steps as ask
import openai
from pydantic import BaseModel

client = openai.OpenAI(base_url=f"{ask.BASE}/v1", api_key="k", max_retries=0)
ON_CHAT = ask.PROTOCOL == "chat"


class Place(BaseModel):
    city: str
    degrees: float


def words(prompt: str) -> str:
    text = ""
    if ON_CHAT:
        for chunk in client.chat.completions.create(model="big", messages=ask.user(prompt), stream=True):
            text += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        return text
    completed = False
    for event in client.responses.create(model="big", input=prompt, stream=True):
        text += event.delta if event.type == "response.output_text.delta" else ""
        completed = completed or event.type == "response.completed"
    assert completed, "not completed"
    return text


def plain() -> Any:
    if ON_CHAT:
        chat = client.chat.completions.create(model="big", messages=ask.user(ask.QUEUE))
        return chat.choices[0].message.content, bool(chat.usage and chat.usage.total_tokens)
    response = client.responses.create(model="big", input=ask.QUEUE)
    return response.output_text, bool(response.usage and response.usage.total_tokens)


def tool(streamed: bool) -> Any:
    if ON_CHAT:
        tools: Any = [
            {"type": "function", "function": {"name": "weather", "strict": True, "parameters": ask.CITY}}
        ]
        asked: Any = {"model": "big", "messages": ask.user(ask.WEATHER), "tools": tools}
        if streamed:
            with client.chat.completions.stream(**asked) as stream:
                chat: Any = stream.get_final_completion()
        else:
            chat = client.chat.completions.create(**asked)
        return [
            (c.function.name, json.loads(c.function.arguments)) for c in chat.choices[0].message.tool_calls
        ]
    tools = [{"type": "function", "name": "weather", "strict": True, "parameters": ask.CITY}]
    if streamed:
        with client.responses.stream(model="big", input=ask.WEATHER, tools=tools) as events:
            response: Any = events.get_final_response()
    else:
        response = client.responses.create(model="big", input=ask.WEATHER, tools=tools)
    return [(i.name, json.loads(i.arguments)) for i in response.output if i.type == "function_call"]


def structured(streamed: bool) -> Any:
    parsed: Any
    if ON_CHAT and streamed:
        with client.chat.completions.stream(
            model="big", messages=ask.user(ask.FORECAST), response_format=Place
        ) as stream:
            parsed = stream.get_final_completion().choices[0].message.parsed
    elif ON_CHAT:
        chat = client.chat.completions.parse(
            model="big", messages=ask.user(ask.FORECAST), response_format=Place
        )
        parsed = chat.choices[0].message.parsed
    elif streamed:
        with client.responses.stream(model="big", input=ask.FORECAST, text_format=Place) as events:
            parsed = events.get_final_response().output_parsed
    else:
        parsed = client.responses.parse(model="big", input=ask.FORECAST, text_format=Place).output_parsed
    return parsed.model_dump()


def refused() -> Any:
    if ON_CHAT:
        return client.chat.completions.create(model="big", messages=ask.user(ask.REFUSED)).model_dump()
    return client.responses.create(model="big", input=ask.REFUSED).model_dump()


ask.run(
    plain=plain,
    streamed=lambda: words(ask.QUEUE),
    tool=lambda: tool(False),
    tool_streamed=lambda: tool(True),
    structured=lambda: structured(False),
    structured_streamed=lambda: structured(True),
    refused=refused,
    refused_stream=lambda: words(ask.REFUSED),
    cut=lambda: words(ask.CUT),
)
