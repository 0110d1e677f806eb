"""Replies of Anthropic's messages, written."""

from __future__ import annotations

import json

import pytest

from deputize.wire.dialect import ReplyHead
from deputize.wire.events import Completion, Finished, TextDelta, ToolDelta, ToolStart
from deputize.wire.messages_writer import MessagesStreamWriter, encode_reply, error_body, stop_reason

HEAD = ReplyHead("msg_1", "m")


def test_an_answer_with_tool_calls_stopped_for_them() -> None:
    assert stop_reason("stop", has_tools=True) == "tool_use"
    assert stop_reason("length", has_tools=True) == "max_tokens"
    assert stop_reason("content_filter", has_tools=False) == "refusal"


def test_interleaved_tool_calls_cannot_be_written() -> None:
    writer = MessagesStreamWriter(HEAD)
    for index in (0, 1):
        writer.write(ToolStart(index, f"t{index}", "f"))
    assert b"interleaved" in writer.write(ToolDelta(0, "{}"))
    assert (
        writer.write(TextDelta("more")) == b""
        and writer.write(Finished("stop")) == b""
        and writer.end() == b""
    )


def test_a_refusal_is_text() -> None:
    reply = Completion(message={"role": "assistant", "content": None, "refusal": "no"})
    assert json.loads(encode_reply(reply, HEAD))["content"] == [{"type": "text", "text": "no"}]


@pytest.mark.parametrize(
    ("status", "kind"), [(404, "not_found_error"), (529, "overloaded_error"), (418, "api_error")]
)
def test_the_kind_of_an_error_follows_its_status(status: int, kind: str) -> None:
    assert json.loads(error_body(status, "m", "ignored", None))["error"]["type"] == kind
