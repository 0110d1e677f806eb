"""The LLM that the client scripts next to this file talk to: it answers their questions in every protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.integration.gateway.upstream import Act, Seen, Stream, Whole

from deputize.core.records import Usage
from deputize.wire.dialect import Dialect, ReplyHead
from deputize.wire.events import Completion, Finished, replay
from deputize.wire.registry import CHAT, MESSAGES, RESPONSES

QUEUE, WEATHER, FORECAST, REFUSED, CUT = (
    "Which queue?",
    "Weather in Köln?",
    "Forecast for Köln",
    "Refuse this.",
    "Break off.",
)
PLACE = {"city": "Köln", "degrees": 21.5}
REFUSAL = "The model says no."
_USAGE = Usage(prompt_tokens=11, completion_tokens=3)


def llm(*spoken: Dialect) -> Callable[[Seen], Act]:
    """A script for a loopback upstream that has the endpoints of some protocols."""
    by_path = {dialect.path: dialect for dialect in spoken or (CHAT, MESSAGES, RESPONSES)}

    def answer(seen: Seen) -> Act:
        dialect = by_path.get(seen.path.partition("?")[0])
        if dialect is None:
            return Whole(b'{"detail":"Not Found"}', status=404)
        fields = seen.json
        chat = dialect.to_chat(fields)
        if asked(chat, REFUSED):
            return Whole(dialect.error_body(400, REFUSAL, "invalid_request_error", "refused"), status=400)
        reply = Completion(message=message_for(chat), usage=_USAGE, id=dialect.id_prefix + "up", model="big")
        reply = Completion(
            message=reply.message,
            finish_reason="tool_calls" if reply.message.get("tool_calls") else "stop",
            usage=_USAGE,
        )
        head = ReplyHead(dialect.id_prefix + "up", "big", 1_700_000_000, fields)
        if not fields.get("stream"):
            return Whole(dialect.encode_reply(reply, head))
        writer = dialect.stream_writer(head)
        events = [e for e in replay(reply, piece=5) if not (asked(chat, CUT) and isinstance(e, Finished))]
        frames = [frame for event in events if (frame := writer.write(event))]
        return Stream(frames, "cut") if asked(chat, CUT) else Stream([*frames, writer.end()])

    return answer


def asked(chat: dict[str, Any], question: str) -> bool:
    """True where a question is in a user's message of a chat request."""
    return any(
        question in json.dumps(m.get("content"), ensure_ascii=False)
        for m in chat["messages"]
        if m["role"] == "user"
    )


def message_for(chat: dict[str, Any]) -> dict[str, Any]:
    """The LLM's message."""
    if asked(chat, QUEUE):
        return {"role": "assistant", "content": "billing"}
    if asked(chat, CUT):
        return {"role": "assistant", "content": "This will not be finished."}
    if any(m["role"] == "tool" for m in chat["messages"]):
        return {"role": "assistant", "content": "It rains."}
    names = [t["function"]["name"] for t in chat.get("tools") or ()]
    if "weather" in names:
        return {"role": "assistant", "content": None, "tool_calls": [_call("weather", {"city": "Köln"})]}
    if names:  # a library's way of asking for an object
        return {"role": "assistant", "content": None, "tool_calls": [_call(names[0], PLACE)]}
    return {"role": "assistant", "content": json.dumps(PLACE, ensure_ascii=False)}


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    written = json.dumps(arguments, ensure_ascii=False)
    return {"id": "call_1", "type": "function", "function": {"name": name, "arguments": written}}
