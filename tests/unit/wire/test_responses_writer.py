"""Replies of OpenAI's responses, written."""

from __future__ import annotations

import json
from typing import Any

from deputize.wire.dialect import ReplyHead
from deputize.wire.events import (
    Completion,
    Event,
    Failed,
    Finished,
    RefusalDelta,
    TextDelta,
    ThinkingDelta,
    ToolDelta,
    ToolStart,
    replay,
)
from deputize.wire.responses_writer import ResponsesStreamWriter, encode_reply, error_frame
from deputize.wire.sse import FrameSplitter

HEAD = ReplyHead("resp_1", "m", 1, {"metadata": {"a": "b"}})


def written(*events: Event) -> list[dict[str, Any]]:
    writer = ResponsesStreamWriter(HEAD)
    data = b"".join([writer.write(e) for e in events]) + writer.end()
    return [json.loads(frame.data) for frame in FrameSplitter().feed(data)]


def test_events_are_numbered_and_items_come_one_after_the_other() -> None:
    frames = written(
        ThinkingDelta("hm"), TextDelta("a"), ToolStart(0, "c", "f"), ToolDelta(0, "{}"), Finished("stop")
    )
    assert [f["sequence_number"] for f in frames] == list(range(len(frames)))
    ids = [f["item"]["id"] for f in frames if f["type"] == "response.output_item.done"]
    assert ids == ["rs_1_0", "msg_1_1", "fc_1_2"]
    assert [i["id"] for i in frames[-1]["response"]["output"]] == ids
    assert frames[-1]["response"]["metadata"] == {"a": "b"}


def test_a_stream_and_a_whole_reply_have_the_same_items() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    reply = Completion(message={"role": "assistant", "content": "a", "tool_calls": [call]})
    whole = json.loads(encode_reply(reply, HEAD))
    assert written(*replay(reply))[-1]["response"]["output"] == whole["output"]


def test_a_refusal_is_a_part_of_its_own() -> None:
    frames = written(RefusalDelta("no"), Finished("content_filter"))
    assert frames[-1]["type"] == "response.incomplete"
    assert frames[-1]["response"]["output"][0]["content"] == [{"type": "refusal", "refusal": "no"}]


def test_a_failure_ends_the_stream() -> None:
    frames = written(TextDelta("a"), Failed("down"), TextDelta("b"), Finished("stop"))
    assert [f["type"] for f in frames[-2:]] == ["error", "response.failed"]
    assert frames[-1]["response"]["error"]["message"] == "down"


def test_an_error_has_the_object_that_makes_clients_raise() -> None:
    (frame,) = written(Failed("down", "overloaded"))[-2:-1]
    inside = {"type": "overloaded", "code": "overloaded", "message": "down", "param": None}
    assert frame["message"] == "down" and frame["error"] == inside
    data = error_frame(502, "cut", "upstream_error", "stream_cut").partition(b"data: ")[2]
    assert json.loads(data)["error"] == {
        **inside,
        "type": "upstream_error",
        "code": "stream_cut",
        "message": "cut",
    }
