"""Replies in whatever a function returned."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from anthropic.types import Message
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from deputize.listen.returned_replies import RecordedStream, StreamEnd, is_stream, reply_of, reply_of_stream

CHAT = {
    "id": "c",
    "object": "chat.completion",
    "created": 0,
    "model": "m",
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "rain"}},
    ],
}
MESSAGES = {
    "id": "m",
    "type": "message",
    "role": "assistant",
    "model": "m",
    "content": [{"type": "text", "text": "rain"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 1, "output_tokens": 1},
}
RESPONSES = {
    "id": "r",
    "object": "response",
    "created_at": 0,
    "model": "m",
    "status": "completed",
    "output": [
        {
            "id": "o",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "rain", "annotations": []}],
        }
    ],
    "parallel_tool_calls": False,
    "tool_choice": "auto",
    "tools": [],
}


@pytest.mark.parametrize(
    "result",
    [
        "rain",
        {"role": "assistant", "content": "rain"},
        CHAT,
        ChatCompletion.model_validate(CHAT),
        Message.model_validate(MESSAGES),
        Response.model_validate(RESPONSES),
    ],
)
def test_objects_of_each_client_dicts_and_text(result: Any) -> None:
    assert reply_of(result).message["content"] == "rain"


@pytest.mark.parametrize("result", [None, 3, {}, {"x": 1}, {"choices": []}])
def test_what_holds_no_reply_gives_none(result: Any) -> None:
    assert reply_of(result).message == {} and reply_of_stream([result]).message == {}


def test_a_stream_is_itself_and_reports_its_end_once() -> None:
    ends: list[StreamEnd] = []

    class Source:
        kind = "source"

        def __init__(self) -> None:
            self.left = ["a", "b"]

        def __next__(self) -> str:
            if not self.left:
                raise StopIteration
            return self.left.pop(0)

        def close(self) -> str:
            return "closed"

    stream = RecordedStream(Source(), ends.append)
    assert is_stream(stream) and not is_stream("text") and not is_stream([1])
    assert list(stream) == ["a", "b"] and stream.kind == "source" and stream.close() == "closed"
    assert [(e.chunks, e.failed, e.abandoned) for e in ends] == [(["a", "b"], False, False)]
    with RecordedStream(Source(), ends.append) as other:
        next(other)
    assert ends[1].abandoned
    dropped = RecordedStream(Source(), ends.append)
    del dropped
    gc.collect()
    assert len(ends) == 3 and ends[2].abandoned
