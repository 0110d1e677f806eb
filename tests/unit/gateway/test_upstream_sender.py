"""The choice of an upstream."""

from __future__ import annotations

import pytest
from tests.unit.gateway.stubs import (
    JSON,
    SSE,
    CannedResponse,
    CannedTransport,
    completion_body,
    exchange,
    sender,
    upstream,
)

from deputize.core.errors import BadInput, UpstreamError
from deputize.gateway.metrics import Metrics
from deputize.wire.registry import CHAT, MESSAGES, RESPONSES


async def test_the_clients_protocol_is_preferred() -> None:
    asked = exchange()
    upstream_exchange = await sender(
        upstream(CannedTransport(CannedResponse(200, JSON, completion_body())))
    ).send(asked)
    assert (
        upstream_exchange.same_protocol
        and upstream_exchange.dialect is CHAT
        and upstream_exchange.answer_id == ""
        and asked.upstream_exchange is upstream_exchange
    )


async def test_another_protocol_is_spoken_where_the_upstream_has_no_other() -> None:
    server = upstream(CannedTransport(CannedResponse(200)), protocol="anthropic")
    upstream_exchange = await sender(server).send(exchange())
    assert (
        not upstream_exchange.same_protocol
        and upstream_exchange.dialect is MESSAGES
        and upstream_exchange.answer_id == "chatcmpl-dpz-1"
    )


async def test_the_upstream_of_an_earlier_response_is_asked() -> None:
    first, second = (CannedTransport(CannedResponse(200)) for _ in range(2))
    send = sender(upstream(first, "a"), upstream(second, "b"))
    asked = exchange({"model": "m", "input": "q"}, RESPONSES)
    assert (await send.send(asked, pinned_upstream="b")).upstream.name == "b"
    assert (await send.send(asked, pinned_upstream="gone")).upstream.name == "a"


async def test_a_server_without_responses_is_remembered() -> None:
    transport = CannedTransport(CannedResponse(404, [], b"404 not found"), CannedResponse(200))
    server = upstream(transport)
    upstream_exchange = await sender(server).send(exchange({"model": "m", "input": "q"}, RESPONSES))
    assert upstream_exchange.dialect is CHAT and server.without_responses
    assert [url.rsplit("/", 1)[-1] for url, _, _ in transport.sent] == ["responses", "completions"]


async def test_a_missing_model_is_no_missing_endpoint() -> None:
    body = b'{"error":{"message":"x","code":"model_not_found"}}'
    server = upstream(CannedTransport(CannedResponse(404, [], body)))
    send = sender(server)
    upstream_exchange = await send.send(exchange({"model": "m", "input": "q"}, RESPONSES))
    assert not server.without_responses and await send.read(upstream_exchange) == body


async def test_an_answer_that_is_too_large_is_counted_and_closed() -> None:
    metrics = Metrics()
    response = CannedResponse(200, JSON, b"x" * 10_001)
    send = sender(upstream(CannedTransport(response)), metrics=metrics)
    with pytest.raises(UpstreamError, match="larger than"):
        await send.read(await send.send(exchange()))
    assert response.closed and metrics.value("deputize_aborted_total", by="upstream", tenant="default") == 1


async def test_an_upstream_that_speaks_nothing_known_is_refused() -> None:
    server = upstream(CannedTransport(CannedResponse(200)))
    server.speaks = lambda dialect: False  # type: ignore[method-assign]
    with pytest.raises(BadInput, match="speaks no protocol"):
        await sender(server).send(exchange())


async def test_a_missing_model_is_not_taken_for_a_missing_endpoint_whatever_is_said() -> None:
    """The chat protocol does not know the model either, so the first answer is the one to give back."""
    body = b"404 page not found"
    server = upstream(CannedTransport(CannedResponse(404, [], body), CannedResponse(404, JSON, b"{}")))
    upstream_exchange = await sender(server).send(exchange({"model": "m", "input": "q"}, RESPONSES))
    assert (
        not server.without_responses
        and upstream_exchange.dialect is RESPONSES
        and upstream_exchange.body == body
    )


async def test_what_refers_to_an_earlier_response_is_asked_nowhere_else() -> None:
    transport = CannedTransport(CannedResponse(404, [], b"404 page not found"))
    asked = exchange({"model": "m", "input": "q", "previous_response_id": "resp_1"}, RESPONSES)
    upstream_exchange = await sender(upstream(transport)).send(asked)
    assert (
        upstream_exchange.response is not None
        and upstream_exchange.response.status == 404
        and len(transport.sent) == 1
    )


async def test_a_field_of_the_gateways_own_is_left_out_once_it_is_refused() -> None:
    refusal = b'{"error":{"message":"Unrecognized request argument: stream_options"}}'
    transport = CannedTransport(CannedResponse(400, JSON, refusal), CannedResponse(200, SSE))
    server = upstream(transport)
    send = sender(server)
    fields = {"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": True}
    upstream_exchange = await send.send(exchange(fields))
    assert upstream_exchange.response is not None and upstream_exchange.response.status == 200
    assert [b"stream_options" in body for _, _, body in transport.sent] == [True, False]
    await send.send(exchange(fields))
    assert b"stream_options" not in transport.sent[-1][2], "remembered"


async def test_a_refusal_of_the_clients_own_request_is_asked_once() -> None:
    transport = CannedTransport(CannedResponse(400, JSON, b'{"error":{"message":"stream_options: no"}}'))
    fields = {
        "model": "m",
        "messages": [{"role": "user"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    await sender(upstream(transport)).send(exchange(fields))
    assert len(transport.sent) == 1


async def test_the_upstream_that_was_asked_is_known_even_where_it_fails() -> None:
    asked = exchange()
    with pytest.raises(UpstreamError):
        await sender(upstream(CannedTransport(UpstreamError("down")), "a")).send(asked)
    assert asked.asked == "a"
