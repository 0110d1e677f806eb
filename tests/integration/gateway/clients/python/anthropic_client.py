"""Anthropic's client."""

from __future__ import annotations

from typing import Any

import anthropic
import client_steps as ask
from pydantic import BaseModel

messages = anthropic.Anthropic(base_url=ask.BASE, api_key="k", max_retries=0).messages
TOOLS: Any = [{"name": "weather", "description": "The weather of a city.", "input_schema": ask.CITY}]


class Place(BaseModel):
    city: str
    degrees: float


def asked(prompt: str, **more: Any) -> Any:
    return {"model": "big", "max_tokens": 100, "messages": ask.user(prompt), **more}


def plain() -> Any:
    message = messages.create(**asked(ask.QUEUE))
    return "".join(b.text for b in message.content), message.usage.input_tokens > 0


def words(prompt: str) -> str:
    text, stopped = "", False
    for event in messages.create(**asked(prompt), stream=True):
        text += event.delta.text if event.type == "content_block_delta" else ""
        stopped = stopped or event.type == "message_stop"
    assert stopped, "not stopped"
    return text


def tool(streamed: bool) -> Any:
    if streamed:
        with messages.stream(**asked(ask.WEATHER, tools=TOOLS)) as stream:
            message: Any = stream.get_final_message()
    else:
        message = messages.create(**asked(ask.WEATHER, tools=TOOLS))
    return [(b.name, b.input) for b in message.content if b.type == "tool_use"]


def structured(streamed: bool) -> Any:
    if streamed:
        with messages.stream(**asked(ask.FORECAST, output_format=Place)) as stream:
            parsed: Any = stream.get_final_message().parsed_output
    else:
        parsed = messages.parse(**asked(ask.FORECAST, output_format=Place)).parsed_output
    return parsed.model_dump()


ask.run(
    plain=plain,
    streamed=lambda: words(ask.QUEUE),
    tool=lambda: tool(False),
    tool_streamed=lambda: tool(True),
    structured=lambda: structured(False),
    structured_streamed=lambda: structured(True),
    refused=lambda: messages.create(**asked(ask.REFUSED)).model_dump(),
    refused_stream=lambda: words(ask.REFUSED),
    cut=lambda: words(ask.CUT),
)
