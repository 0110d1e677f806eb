"""HTTP replies to model calls."""

from __future__ import annotations

import gzip
import json

import pytest
from tests.unit.gateway.stubs import (
    JSON,
    SSE,
    CannedResponse,
    CannedTransport,
    chunk,
    completion_body,
    exchange,
    upstream,
)

from deputize.core.records import Decision
from deputize.gateway.auth import Caller
from deputize.gateway.exchange import RoutingResult, UpstreamExchange
from deputize.gateway.model_replies import (
    collected_reply,
    decision_headers,
    is_event_stream,
    parse_body,
    relay_for,
    specialist_reply,
    stream_headers,
    whole_reply,
)
from deputize.gateway.relay import CompressedRelay, SameProtocolRelay, TranslatingRelay
from deputize.store.access.api_keys import ApiKey
from deputize.wire.events import Completion
from deputize.wire.registry import CHAT, DECISIONS, MESSAGES

ANSWER = Completion(message={"role": "assistant", "content": "rain"})
MESSAGE = {"model": "m", "messages": [{"role": "user", "content": "q"}]}


def upstream_exchange(response: CannedResponse, *, same: bool = True) -> UpstreamExchange:
    return UpstreamExchange(
        upstream(CannedTransport()), CHAT, same, "" if same else "msg_dpz-1", False, response=response
    )


async def test_a_specialists_answer_whole_and_streamed() -> None:
    whole = specialist_reply(exchange(), ANSWER)
    assert isinstance(whole.body, bytes) and json.loads(whole.body)["id"] == "chatcmpl-dpz-1"
    streamed = specialist_reply(exchange({**MESSAGE, "stream": True}), ANSWER)
    assert not isinstance(streamed.body, bytes)
    frames = b"".join([piece async for piece in streamed.body])
    assert b"rain" in frames and frames.endswith(b"data: [DONE]\n\n")


def test_the_probabilities_of_a_decision_are_no_finer_than_the_header_says() -> None:
    fields = {"model": "m", "input": "q", "questions": [{"type": "predicate", "name": "late"}]}
    answer = Completion(message={"role": "assistant", "content": '{"late":true}'})
    key = ApiKey(id="k", digest=b"", role="ingest")
    for caller, probability in ((Caller(), 0.9137), (Caller(key=key), 0.9)):
        asked = exchange(fields, DECISIONS, caller=caller)
        asked.routing = RoutingResult(Decision(served_by="slm", reason="live", confidence=0.9137))
        body = specialist_reply(asked, answer).body
        assert isinstance(body, bytes)
        assert json.loads(body)["answers"][0]["probability"] == probability


def test_an_answer_in_the_same_protocol_keeps_its_bytes() -> None:
    body = completion_body()
    reply, outcome = whole_reply(
        exchange(), upstream_exchange(CannedResponse(200, [*JSON, ("x-y", "1")])), body
    )
    assert reply.body is body and ("x-y", "1") in reply.headers
    assert outcome.completion is not None and outcome.response_id == "chatcmpl-up"


def test_a_refusal_has_no_completion() -> None:
    body = b'{"error":{"message":"No."}}'
    reply, outcome = whole_reply(exchange(), upstream_exchange(CannedResponse(429, JSON)), body)
    assert (reply.status, reply.body, outcome.status) == (429, body, 429)
    assert outcome.completion is None and outcome.response_id == ""


def test_an_answer_of_another_protocol_is_encoded_again() -> None:
    asked = exchange(MESSAGE, MESSAGES)
    response = CannedResponse(200, [("x-ratelimit-left", "1"), ("x-y", "1")])
    reply, outcome = whole_reply(asked, upstream_exchange(response, same=False), completion_body())
    assert isinstance(reply.body, bytes) and json.loads(reply.body)["content"][0]["text"] == "Hello."
    assert ("x-ratelimit-left", "1") in reply.headers and ("x-y", "1") not in reply.headers
    assert outcome.response_id == "msg_dpz-1"
    reply, outcome = whole_reply(asked, upstream_exchange(response, same=False), completion_body(finish=""))
    assert reply.status == outcome.status == 200, "an answer without a reason is an answer"
    reply, outcome = whole_reply(asked, upstream_exchange(response, same=False), b"{}")
    assert reply.status == outcome.status == 502 and outcome.response_id == ""


async def test_an_answer_of_another_protocol_comes_in_the_form_that_was_asked_for() -> None:
    asked = exchange({**MESSAGE, "stream": True}, MESSAGES)
    reply, _ = whole_reply(asked, upstream_exchange(CannedResponse(200, JSON), same=False), completion_body())
    assert (
        not isinstance(reply.body, bytes)
        and ("content-type", "text/event-stream; charset=utf-8") in reply.headers
    )
    assert b"message_stop" in b"".join([piece async for piece in reply.body])
    frames = chunk({"content": "Hi."}) + chunk({}, "stop") + b"data: [DONE]\n\n"
    reply, outcome = collected_reply(
        exchange(MESSAGE, MESSAGES), upstream_exchange(CannedResponse(200, SSE), same=False), frames
    )
    assert isinstance(reply.body, bytes) and json.loads(reply.body)["content"][0]["text"] == "Hi."
    assert outcome.response_id == "msg_dpz-1" and not outcome.cut_by


def test_a_collected_answer_that_was_cut_is_an_error() -> None:
    asked = exchange(MESSAGE, MESSAGES)
    reply, outcome = collected_reply(
        asked, upstream_exchange(CannedResponse(200, SSE), same=False), chunk({"content": "Hi."})
    )
    assert reply.status == 502 and outcome.cut_by == "upstream"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"detail":"limit 8192"}', "limit 8192"),
        (b'{"object":"error","message":"limit 8192","code":400}', "limit 8192"),
        (b'[{"error":{"code":400,"message":"limit 8192"}}]', "limit 8192"),
        (b'{"detail":[{"loc":["body"],"msg":"limit 8192"}]}', "limit 8192"),
        (b"limit 8192", "limit 8192"),
    ],
)
def test_refusals_of_another_protocol_keep_their_words(body: bytes, why: str) -> None:
    asked = exchange(MESSAGE, MESSAGES)
    reply, _ = whole_reply(asked, upstream_exchange(CannedResponse(400, JSON), same=False), body)
    assert (
        reply.status == 400
        and isinstance(reply.body, bytes)
        and json.loads(reply.body)["error"]["message"] == why
    )


def test_an_error_with_a_good_status_is_not_recorded_as_an_answer() -> None:
    _, outcome = whole_reply(
        exchange(), upstream_exchange(CannedResponse(200, JSON)), b'{"error":"Unexpected endpoint"}'
    )
    assert outcome.cut_by == "upstream"


async def test_a_stream_under_another_name_is_one_where_it_was_asked_for() -> None:
    text = [("content-type", "text/plain")]
    asked = exchange({**MESSAGE, "stream": True})
    way = upstream_exchange(CannedResponse(201, text, b"data: {}\n\n", b"data: [DONE]\n\n"))
    assert await is_event_stream(asked, way) and way.response is not None
    assert await way.response.read() == b"data: {}\n\ndata: [DONE]\n\n", "what was looked at is still there"
    assert not await is_event_stream(asked, upstream_exchange(CannedResponse(200, JSON, b'{"a":1}')))
    assert not await is_event_stream(
        exchange(), upstream_exchange(CannedResponse(200, text, b"data: {}\n\n"))
    )


async def test_streams_get_the_relay_they_need() -> None:
    plain, packed = CannedResponse(200, SSE), CannedResponse(200, [*SSE, ("content-encoding", "gzip")])
    assert await is_event_stream(exchange(), upstream_exchange(plain))
    assert not await is_event_stream(exchange(), upstream_exchange(CannedResponse(200, JSON)))
    assert isinstance(relay_for(exchange(), upstream_exchange(plain), float), SameProtocolRelay)
    assert isinstance(relay_for(exchange(), upstream_exchange(packed), float), CompressedRelay)
    other = exchange(MESSAGE, MESSAGES)
    assert isinstance(relay_for(other, upstream_exchange(packed, same=False), float), TranslatingRelay)
    assert ("x-accel-buffering", "no") in stream_headers(upstream_exchange(plain))


def test_headers_tell_who_answered() -> None:
    asked = exchange()
    decision = Decision(served_by="slm", reason="live", route_id="r\n", confidence=0.5, certificate_id="c")
    asked.routing = RoutingResult(decision)
    assert dict(decision_headers(asked)) == {
        "x-deputize-served-by": "slm",
        "x-deputize-request-id": "dpz-1",
        "x-deputize-route": "r?",
        "x-deputize-confidence": "0.5000",
        "x-deputize-certificate": "c",
    }


@pytest.mark.parametrize(("confidence", "shown"), [(0.987654, "1.00"), (0.91, "0.90"), (0.934, "0.95")])
def test_callers_with_a_key_get_confidence_in_steps(confidence: float, shown: str) -> None:
    asked = exchange(caller=Caller(key=ApiKey(id="k", digest=b"", role="ingest")))
    asked.routing = RoutingResult(Decision(served_by="slm", reason="live", confidence=confidence))
    assert dict(decision_headers(asked))["x-deputize-confidence"] == shown


def test_a_whole_answer_that_unpacks_to_too_much_is_passed_on_unread() -> None:
    body = gzip.compress(b" " * 50_000_000 + completion_body())
    response = CannedResponse(200, [*JSON, ("content-encoding", "gzip")], body)
    assert parse_body(CHAT, response, body) is None
