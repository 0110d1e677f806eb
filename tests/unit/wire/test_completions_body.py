"""Answers of the protocol before chat."""

from __future__ import annotations

import json

from deputize.core.records import Usage
from deputize.wire.completions_body import reply_of

USAGE = {"prompt_tokens": 3, "completion_tokens": 2}


def test_a_whole_answer() -> None:
    body = {"choices": [{"index": 0, "text": " world", "finish_reason": "stop"}], "usage": USAGE}
    reply = reply_of(json.dumps(body).encode(), "application/json")
    assert reply.message == {"role": "assistant", "content": " world"} and not reply.is_cut
    assert reply.usage == Usage(prompt_tokens=3, completion_tokens=2) and reply.finish_reason == "stop"


def test_a_stream() -> None:
    chunks = [
        {"choices": [{"index": 0, "text": " wor", "finish_reason": None}]},
        {"choices": [{"index": 1, "text": "other"}]},
        {"choices": [{"index": 0, "text": "ld", "finish_reason": "length"}], "usage": USAGE},
    ]
    body = b"".join(b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks) + b"data: [DONE]"
    reply = reply_of(body, "text/event-stream; charset=utf-8")
    assert (
        reply.message["content"] == " world" and reply.finish_reason == "length" and reply.usage is not None
    )
    assert reply_of(body[: len(body) // 3], "text/event-stream").is_cut


def test_what_is_no_answer() -> None:
    assert reply_of(b"not json", "text/plain").message == {}
