"""Our readers and translations against those of llm-rosetta, which somebody else wrote: the same streams and
requests, read by both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from llm_rosetta import AnthropicConverter, OpenAIChatConverter, OpenAIResponsesConverter, convert

from deputize.wire.dialect import Dialect
from deputize.wire.events import Assembler, Completion
from deputize.wire.registry import CHAT, MESSAGES, RESPONSES
from deputize.wire.sse import FrameSplitter

GOLDEN = Path(__file__).parent / "golden"
DIALECTS = {dialect.name: dialect for dialect in (CHAT, MESSAGES, RESPONSES)}
CONVERTERS: dict[str, Any] = {
    "chat": OpenAIChatConverter,
    "messages": AnthropicConverter,
    "responses": OpenAIResponsesConverter,
}
PROVIDERS = {"chat": "openai_chat", "messages": "anthropic", "responses": "openai_responses"}
Said = tuple[str, list[tuple[str, str, Any]]]
"""Text, and tool calls with parsed arguments."""


def read(dialect: Dialect, data: bytes, cut: int) -> Completion:
    """Our reading of a stream that comes in two pieces."""
    splitter, parser, assembler = FrameSplitter(), dialect.stream_parser(), Assembler()
    for piece in (data[:cut], data[cut:]):
        for frame in splitter.feed(piece):
            for event in parser.read(frame):
                assembler.add(event)
    return assembler.completion()


def ours(reply: Completion) -> Said:
    calls = [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"] or "{}"))
        for c in reply.message.get("tool_calls") or []
    ]
    return str(reply.message.get("content") or ""), calls


def theirs(name: str, data: bytes) -> Said:
    """The other library's reading of the same stream; of its tokens nothing, since it lets later zeros overwrite them."""
    converter = CONVERTERS[name]()
    context = converter.create_stream_context()
    text, calls = "", dict[str, list[str]]()
    for frame in data.decode().split("\n\n"):
        payload = next(
            (line[5:].strip() for line in frame.splitlines() if line.startswith("data:")), "[DONE]"
        )
        if payload == "[DONE]":
            continue
        for event in converter.stream_response_from_provider(json.loads(payload), context=context):
            if event["type"] == "text_delta":
                text += event["text"]
            elif event["type"] == "tool_call_start":
                calls[event["tool_call_id"]] = [event["tool_name"], ""]
            elif event["type"] == "tool_call_delta":
                calls[event["tool_call_id"]][1] += event["arguments_delta"]
    return text, [(id_, name, json.loads(given or "{}")) for id_, (name, given) in calls.items()]


@pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.sse")), ids=lambda path: path.stem)
def test_both_read_the_same_wherever_a_stream_is_cut(path: Path) -> None:
    name, data = path.name.partition("_")[0], path.read_bytes()
    whole = read(DIALECTS[name], data, len(data))
    assert ours(whole) == theirs(name, data)
    for cut in range(1, len(data)):
        assert read(DIALECTS[name], data, cut) == whole, cut


def meaning(chat: dict[str, Any]) -> Any:
    """Roles, texts, tool calls and results of a chat request, and its tools."""
    messages = []
    for message in chat["messages"]:
        content = message.get("content")
        parts = content if isinstance(content, list) else [{"text": content or ""}]
        calls = [
            (c["function"]["name"], json.loads(c["function"]["arguments"] or "{}"))
            for c in message.get("tool_calls") or []
        ]
        images = sum(part.get("type") == "image_url" for part in parts)
        text = "".join(part.get("text", "") for part in parts)
        messages.append((message["role"], text, images, calls, message.get("tool_call_id")))
    tools = [(t["function"]["name"], t["function"].get("parameters")) for t in chat.get("tools") or []]
    return messages, tools, chat.get("tool_choice")


@pytest.mark.filterwarnings("ignore::UserWarning")  # about options that the other protocol does not have
@pytest.mark.parametrize(("client", "native"), [(a, b) for a in DIALECTS for b in DIALECTS if a != b])
def test_both_translate_a_request_to_the_same(client: str, native: str) -> None:
    given = json.loads((GOLDEN / f"{client}_request_tools.json").read_text())["given"]
    mine = DIALECTS[native].from_chat(DIALECTS[client].to_chat(given))
    other = convert(given, PROVIDERS[native], source_provider=PROVIDERS[client])
    assert meaning(DIALECTS[native].to_chat(mine)) == meaning(DIALECTS[native].to_chat(other))
