"""Streams on their way to the client."""

from __future__ import annotations

import zlib
from typing import Any

import pytest
from tests.unit.gateway.stubs import CannedTransport, chunk, exchange, upstream

from deputize.core.errors import UpstreamError
from deputize.gateway.exchange import UpstreamExchange
from deputize.gateway.relay import CompressedRelay, FrameRelay, SameProtocolRelay, TranslatingRelay
from deputize.wire.registry import CHAT, MESSAGES, RESPONSES
from deputize.wire.sse import DONE, PING

TEXT = [chunk({"role": "assistant", "content": ""}), chunk({"content": "Hel"}), chunk({"content": "lo"})]
END = [chunk({}, "stop"), DONE]


def upstream_exchange(*, same: bool = True, adds_usage: bool = False) -> UpstreamExchange:
    return UpstreamExchange(
        upstream(CannedTransport()), CHAT, same, "" if same else "msg_1", False, adds_usage
    )


def same() -> SameProtocolRelay:
    return SameProtocolRelay(upstream_exchange(), lambda: 7.0)


def translating() -> TranslatingRelay:
    asked = exchange({"model": "m", "messages": [{"role": "user", "content": "q"}]}, MESSAGES)
    return TranslatingRelay(
        upstream_exchange(same=False), lambda: 7.0, MESSAGES.stream_writer(asked.reply_head)
    )


def test_frames_pass_and_the_end_is_held_back() -> None:
    relay = same()
    assert b"".join(relay.feed(part) for part in TEXT) == b"".join(TEXT)
    assert relay.feed(b"".join(END)) == b"" and relay.ended
    outcome = relay.finish(None)
    assert relay.tail == b"".join(END)
    assert outcome.completion is not None and outcome.completion.message["content"] == "Hello"
    assert (outcome.cut_by, outcome.response_id, outcome.first_token_s) == ("", "c", 7.0)


def test_usage_that_only_the_gateway_asked_for_is_left_out() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
    relay = SameProtocolRelay(upstream_exchange(adds_usage=True), lambda: 0.0)
    relay.feed(b"".join(TEXT) + END[0] + usage + DONE)
    outcome = relay.finish(None)
    assert relay.tail == b"".join(END)
    assert outcome.completion is not None and outcome.completion.usage is not None


@pytest.mark.parametrize("make", [same, translating])
@pytest.mark.parametrize("why", [None, UpstreamError("It broke.")])
def test_a_cut_stream_says_so(make: Any, why: UpstreamError | None) -> None:
    relay: FrameRelay = make()
    relay.feed(b"".join(TEXT) + b"data: {")
    outcome = relay.finish(why)
    assert outcome.cut_by == "upstream" and outcome.response_id == ""
    assert (b"It broke." if why else b"ended its stream before") in relay.tail and b"error" in relay.tail


def test_a_last_frame_without_its_blank_line_counts() -> None:
    relay = same()
    relay.feed(b"".join(TEXT))
    relay.feed(chunk({}, "stop").rstrip())
    assert relay.finish(None).cut_by == ""


def test_translation_writes_the_clients_protocol() -> None:
    relay = translating()
    out = b"".join(relay.feed(part) for part in [*TEXT, b": wait\n\n", *END])
    assert out.startswith(b"event: message_start") and PING in out and b"message_stop" not in out
    assert relay.finish(None).response_id == "msg_1" and b"message_stop" in relay.tail


def test_a_compressed_stream_passes_and_is_read_from_a_copy() -> None:
    packer = zlib.compressobj(wbits=31)
    packed = [packer.compress(b"".join([*TEXT, *END])), packer.flush()]
    relay = CompressedRelay(upstream_exchange(), lambda: 0.0, "gzip")
    sent = b"".join(relay.feed(piece) for piece in packed)
    outcome = relay.finish(None)
    assert sent + relay.tail == b"".join(packed) and not relay.reports_failure
    assert outcome.completion is not None and outcome.completion.message["content"] == "Hello"
    assert relay.finish(UpstreamError("x")).cut_by == "upstream" and relay.tail == b""


def test_what_comes_after_an_early_end_passes_as_it_comes() -> None:
    relay = same()
    early = chunk({"content": ""}, "stop")
    assert relay.feed(early) == b""
    assert relay.feed(TEXT[1]) == early + TEXT[1] and relay.feed(TEXT[2]) == TEXT[2]
    assert (
        relay.feed(b"".join(END)) == b"" and relay.finish(None).cut_by == "" and relay.tail == b"".join(END)
    )


def test_another_choice_passes_after_the_first_has_ended() -> None:
    relay = same()
    relay.feed(b"".join(TEXT) + END[0])
    other = b'data: {"choices":[{"index":1,"delta":{"content":"b"}}]}\n\n'
    assert relay.feed(other) == END[0] + other and relay.feed(other) == other
    last = b'data: {"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}\n\n'
    assert relay.feed(last + DONE) == b""
    assert relay.finish(None).cut_by == "" and relay.tail == last + DONE


def test_an_end_mark_without_a_reason_passes_and_is_not_recorded_as_whole() -> None:
    relay = same()
    relay.feed(b"".join(TEXT) + DONE)
    outcome = relay.finish(None)
    assert relay.tail == DONE and outcome.cut_by == "upstream"


@pytest.mark.parametrize("make", [same, translating])
def test_an_error_in_place_of_a_stream_is_passed_on(make: Any) -> None:
    relay: FrameRelay = make()
    relay.feed(b'{"error":{"message":"limit 8192"}}')
    assert relay.finish(None).cut_by == "upstream" and b"limit 8192" in relay.tail


def test_freeform_calls_come_back_as_text_in_answer_and_record() -> None:
    way = upstream_exchange(same=False)
    way.freeform = frozenset({"patch"})
    asked = exchange({"model": "m", "input": "q"}, RESPONSES)
    relay = TranslatingRelay(way, lambda: 7.0, RESPONSES.stream_writer(asked.reply_head))
    call = {"index": 0, "id": "c", "function": {"name": "patch", "arguments": '{"input":"*** Begin"}'}}
    out = relay.feed(chunk({"tool_calls": [call]}) + chunk({}, "tool_calls") + DONE)
    outcome = relay.finish(None)
    assert b"response.custom_tool_call_input.delta" in out and b'"delta":"*** Begin"' in out
    assert outcome.completion is not None
    assert outcome.completion.message["tool_calls"][0]["custom"] == {"name": "patch", "input": "*** Begin"}
