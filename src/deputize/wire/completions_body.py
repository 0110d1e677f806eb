"""Answers of OpenAI's completions, the protocol before chat: whole or streamed, read into a message.

References:
    OpenAI API reference, "Completions (legacy)".
"""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.records import Message, Usage
from deputize.wire.chat_parser import usage_event
from deputize.wire.events import UsageSeen
from deputize.wire.json_fields import decode_answer
from deputize.wire.sse import FrameSplitter, frames_of


class CompletionsReply(msgspec.Struct):
    """An answer as far as a record holds it."""

    message: Message = {}
    """{} where there is none."""
    usage: Usage | None = None
    finish_reason: str = ""
    is_cut: bool = False
    """It ended without saying how."""


def reply_of(body: bytes, content_type: str) -> CompletionsReply:
    """The answer in a body: its first choice."""
    if content_type.startswith("text/event-stream"):
        splitter = FrameSplitter()
        frames = splitter.feed(body)
        rest = splitter.rest()
        frames += frames_of(rest) if rest else []
        values = [decode_answer(frame.data) for frame in frames if frame.data]
    else:
        values = [decode_answer(body)]
    texts: list[str] = []
    reason, usage = "", UsageSeen()
    for value in values:
        if not isinstance(value, dict):
            continue
        if isinstance(value.get("usage"), dict):
            usage = usage.updated(usage_event(value["usage"]))
        choice = _first_choice(value)
        if isinstance(choice.get("text"), str):
            texts.append(choice["text"])
        if isinstance(choice.get("finish_reason"), str):
            reason = choice["finish_reason"]
    if not texts and not reason:
        return CompletionsReply(usage=usage.usage())
    message: Message = {"role": "assistant", "content": "".join(texts)}
    return CompletionsReply(message, usage.usage(), reason, is_cut=not reason)


def _first_choice(value: dict[str, Any]) -> dict[str, Any]:
    choices = value.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index") in (0, None):
            return choice
    return {}
