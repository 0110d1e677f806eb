"""Replies of Anthropic's messages, written."""

from __future__ import annotations

import json

import pytest

from deputize.core.records import Usage
from deputize.wire.dialect import ReplyHead
from deputize.wire.events import (
    Completion,
    Event,
    Failed,
    Finished,
    TextDelta,
    ToolDelta,
    ToolStart,
    UsageSeen,
)
from deputize.wire.messages_writer import MessagesStreamWriter, encode_reply, error_body, stop_reason

HEAD = ReplyHead("msg_1", "m")


def test_an_answer_with_tool_calls_stopped_for_them() -> None:
    assert stop_reason("stop", has_tools=True) == "tool_use"
    assert stop_reason("length", has_tools=True) == "max_tokens"
    assert stop_reason("content_filter", has_tools=False) == "refusal"


def test_interleaved_tool_calls_are_written_one_after_the_other() -> None:
    writer = MessagesStreamWriter(HEAD)
    events: list[Event] = [
        ToolStart(0, "t0", "f"),
        ToolStart(1, "t1", "g"),
        ToolDelta(0, '{"x":'),
        ToolDelta(1, '{"y":2}'),
    ]
    written = (
        b"".join(writer.write(e) for e in [*events, ToolDelta(0, "1}"), Finished("tool_calls")])
        + writer.end()
    )
    kinds = [line[7:].decode() for line in written.splitlines() if line.startswith(b"event: ")]
    block = ["content_block_start", "content_block_delta", "content_block_delta", "content_block_stop"]
    assert kinds == ["message_start", *block, *block[:2], block[3], "message_delta", "message_stop"]


def test_after_a_failure_nothing_is_written() -> None:
    writer = MessagesStreamWriter(HEAD)
    assert b"It broke." in writer.write(Failed("It broke."))
    assert (
        writer.write(TextDelta("more")) == b""
        and writer.write(Finished("stop")) == b""
        and writer.end() == b""
    )


def test_the_start_estimates_the_prompt_until_a_server_has_counted_it() -> None:
    head = ReplyHead("msg_1", "m", fields={"messages": [{"role": "user", "content": "q" * 400}]})
    writer = MessagesStreamWriter(head)
    start = json.loads(writer.write(TextDelta("a")).split(b"data: ")[1].split(b"\n")[0])
    assert start["message"]["usage"]["input_tokens"] > 100
    writer.write(UsageSeen(7, 3))
    writer.write(Finished("stop"))
    assert b'"usage":{"input_tokens":7,"output_tokens":3}' in writer.end()


def test_counts_are_never_negative() -> None:
    reply = Completion(
        message={"role": "assistant", "content": "x"}, usage=Usage(prompt_tokens=5, cached_tokens=9)
    )
    assert json.loads(encode_reply(reply, HEAD))["usage"]["input_tokens"] == 0


def test_a_refusal_is_text() -> None:
    reply = Completion(message={"role": "assistant", "content": None, "refusal": "no"})
    assert json.loads(encode_reply(reply, HEAD))["content"] == [{"type": "text", "text": "no"}]


@pytest.mark.parametrize(
    ("status", "kind"), [(404, "not_found_error"), (529, "overloaded_error"), (418, "api_error")]
)
def test_the_kind_of_an_error_follows_its_status(status: int, kind: str) -> None:
    assert json.loads(error_body(status, "m", "ignored", None))["error"]["type"] == kind
