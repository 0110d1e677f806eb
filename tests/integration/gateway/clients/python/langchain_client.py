"""LangChain with the protocol that the second argument names: chat, responses or messages."""

from __future__ import annotations

from typing import Any

import client_steps as ask
from pydantic import BaseModel


class Place(BaseModel):
    """A place and how warm it is."""

    city: str
    degrees: float


def made() -> Any:
    if ask.PROTOCOL == "messages":
        from langchain_anthropic import ChatAnthropic

        return ChatAnthropic(model="big", api_key="k", max_tokens=100, max_retries=0, base_url=ask.BASE)
    from langchain_openai import ChatOpenAI

    on_responses = ask.PROTOCOL == "responses"
    return ChatOpenAI(
        model="big", api_key="k", max_retries=0, base_url=f"{ask.BASE}/v1", use_responses_api=on_responses
    )


model = made()


def weather(city: str) -> str:
    """The weather of a city."""
    return "rain"


def whole(runnable: Any, prompt: str) -> Any:
    message = None
    for part in runnable.stream(prompt):
        message = part if message is None else message + part
    return message


def plain() -> Any:
    message = model.invoke(ask.QUEUE)
    return message.text, message.usage_metadata["total_tokens"] > 0


def calls(message: Any) -> Any:
    return [(c["name"], c["args"]) for c in message.tool_calls]


def structured(streamed: bool) -> Any:
    runnable = model.with_structured_output(Place)
    place = [*runnable.stream(ask.FORECAST)][-1] if streamed else runnable.invoke(ask.FORECAST)
    return place.model_dump()


ask.run(
    plain=plain,
    streamed=lambda: whole(model, ask.QUEUE).text,
    tool=lambda: calls(model.bind_tools([weather]).invoke(ask.WEATHER)),
    tool_streamed=lambda: calls(whole(model.bind_tools([weather]), ask.WEATHER)),
    structured=lambda: structured(False),
    structured_streamed=lambda: structured(True),
    refused=lambda: model.invoke(ask.REFUSED).text,
    refused_stream=lambda: whole(model, ask.REFUSED).text,
    cut=lambda: whole(model, ask.CUT).text,
)
