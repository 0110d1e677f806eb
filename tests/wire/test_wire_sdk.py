"""Our parsers against the vendors' own clients: the same recorded streams, read by both, cut at every byte for ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from deputize.core.records import Usage
from deputize.wire.dialect import Dialect
from deputize.wire.events import Assembler, Completion
from deputize.wire.registry import CHAT, MESSAGES, RESPONSES
from deputize.wire.sse import FrameSplitter

GOLDEN = Path(__file__).parent / "golden"
STREAMS = ("text", "parallel")
Read = tuple[str, list[tuple[str, str, Any]], int, int]
"""Text, tool calls with parsed arguments, tokens in and out."""


def read(dialect: Dialect, data: bytes, cut: int) -> Completion:
    """Our reading of a stream that comes in two pieces."""
    splitter, parser, assembler = FrameSplitter(), dialect.stream_parser(), Assembler()
    for piece in (data[:cut], data[cut:]):
        for frame in splitter.feed(piece):
            for event in parser.read(frame):
                assembler.add(event)
    assert splitter.rest() == b""
    return assembler.completion()


def ours(reply: Completion) -> Read:
    calls = [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"] or "{}"))
        for c in reply.message.get("tool_calls") or []
    ]
    usage = reply.usage or Usage()
    return str(reply.message.get("content") or ""), calls, usage.prompt_tokens, usage.completion_tokens


def theirs(name: str, data: bytes) -> Read:
    """The vendor's client's reading of the same stream."""
    return {"chat": _openai_chat, "responses": _openai_responses, "messages": _anthropic}[name](data)


def _http(data: bytes) -> httpx2.Client:
    """An HTTP client that answers everything with a stream."""
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=data)
    return httpx2.Client(transport=httpx2.MockTransport(lambda request: answer))


def _openai(data: bytes) -> openai.OpenAI:
    return openai.OpenAI(api_key="k", max_retries=0, http_client=_http(data))


def _openai_chat(data: bytes) -> Read:
    with _openai(data).chat.completions.stream(
        model="m", messages=[{"role": "user", "content": "q"}], stream_options={"include_usage": True}
    ) as stream:
        made = stream.get_final_completion()
    message, usage = made.choices[0].message, made.usage
    calls = [
        (c.id, c.function.name, json.loads(c.function.arguments or "{}")) for c in message.tool_calls or []
    ]
    return (
        message.content or "",
        calls,
        usage.prompt_tokens if usage else 0,
        usage.completion_tokens if usage else 0,
    )


def _openai_responses(data: bytes) -> Read:
    with _openai(data).responses.stream(model="m", input="q") as stream:
        made = stream.get_final_response()
    assert made.usage is not None
    calls = [
        (i.call_id, i.name, json.loads(i.arguments or "{}")) for i in made.output if i.type == "function_call"
    ]
    return made.output_text, calls, made.usage.input_tokens, made.usage.output_tokens


def _anthropic(data: bytes) -> Read:
    client = anthropic.Anthropic(api_key="k", max_retries=0, http_client=_http(data))
    with client.messages.stream(
        model="m", max_tokens=9, messages=[{"role": "user", "content": "q"}]
    ) as stream:
        made = stream.get_final_message()
    calls = [(b.id, b.name, b.input) for b in made.content if b.type == "tool_use"]
    usage = made.usage
    prompt = (
        usage.input_tokens + (usage.cache_read_input_tokens or 0) + (usage.cache_creation_input_tokens or 0)
    )
    return "".join(b.text for b in made.content if b.type == "text"), calls, prompt, usage.output_tokens


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, MESSAGES], ids=lambda d: d.name)
def test_both_read_the_same_wherever_the_stream_is_cut(dialect: Dialect, kind: str) -> None:
    data = (GOLDEN / f"{dialect.name}_stream_{kind}.sse").read_bytes()
    whole = read(dialect, data, len(data))
    assert ours(whole) == theirs(dialect.name, data)
    for cut in range(1, len(data)):
        assert read(dialect, data, cut) == whole, cut
