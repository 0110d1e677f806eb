"""Chat replies and streams, written."""

from __future__ import annotations

import json

from deputize.wire.chat_writer import ChatStreamWriter, encode_reply, finish_reason
from deputize.wire.dialect import ReplyHead
from deputize.wire.events import Completion, Failed, Finished, RefusalDelta, ThinkingDelta, UsageSeen

HEAD = ReplyHead("chatcmpl-1", "m", 1)


def test_a_signature_of_another_protocol_is_left_out() -> None:
    message = {"role": "assistant", "content": "x", "reasoning_content": "why", "reasoning_signature": "s"}
    written = json.loads(encode_reply(Completion(message=message), HEAD))["choices"][0]["message"]
    assert written["reasoning_content"] == "why" and "reasoning_signature" not in written


def test_reasons_that_clients_do_not_know_count_as_stop() -> None:
    assert [finish_reason(r) for r in ("length", "odd", "")] == ["length", "stop", "stop"]


def test_counts_are_sent_only_where_they_were_asked_for() -> None:
    writer = ChatStreamWriter(HEAD)
    assert writer.write(UsageSeen(1, 2)) == b""
    assert b'"reasoning_content":"hm"' in writer.write(ThinkingDelta("hm"))
    assert b'"refusal":"no"' in writer.write(RefusalDelta("no"))
    writer.write(Finished("stop"))
    assert writer.end() == b"data: [DONE]\n\n"


def test_a_stream_that_failed_has_no_end() -> None:
    writer = ChatStreamWriter(HEAD)
    assert b'"message":"down"' in writer.write(Failed("down")) and writer.end() == b""
