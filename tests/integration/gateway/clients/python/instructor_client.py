"""Instructor with the mode that the second argument names: TOOLS, JSON, JSON_SCHEMA, ... or messages for Anthropic's
tools."""

from __future__ import annotations

from typing import Any

import anthropic
import client_steps as ask
import instructor
import openai
from pydantic import BaseModel


class Place(BaseModel):
    """A place and how warm it is."""

    city: str
    degrees: float


def made() -> Any:
    if ask.PROTOCOL == "messages":
        claude = anthropic.Anthropic(base_url=ask.BASE, api_key="k", max_retries=0)
        return instructor.from_anthropic(claude)
    client = openai.OpenAI(base_url=f"{ask.BASE}/v1", api_key="k", max_retries=0)
    return instructor.from_openai(client, mode=instructor.Mode[ask.PROTOCOL])


client = made()


def asked(prompt: str) -> Any:
    return {
        "model": "big",
        "messages": ask.user(prompt),
        "response_model": Place,
        "max_retries": 1,
        **({"max_tokens": 100} if ask.PROTOCOL == "messages" else {}),
    }


ask.run(
    structured=lambda: client.create(**asked(ask.FORECAST)).model_dump(),
    structured_streamed=lambda: [*client.create_partial(**asked(ask.FORECAST))][-1].model_dump(),
    refused=lambda: client.create(**asked(ask.REFUSED)).model_dump(),
    refused_stream=lambda: [*client.create_partial(**asked(ask.REFUSED))][-1].model_dump(),
    cut=lambda: [*client.create_partial(**asked(ask.CUT))][-1].model_dump(),
)
