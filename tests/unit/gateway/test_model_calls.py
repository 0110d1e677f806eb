"""One model call from arrival to record."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

import pytest
from tests.unit.gateway.stubs import (
    JSON,
    SSE,
    CannedResponse,
    CannedTransport,
    ListObserver,
    Settled,
    chunk,
    completion_body,
    exchange,
    sender,
    upstream,
)

from deputize.core.errors import BadInput, UpstreamError
from deputize.gateway.audits import Auditor
from deputize.gateway.model_calls import ModelCallHandler
from deputize.gateway.routing import RoutingDecider
from deputize.http.handler import HttpReply
from deputize.wire.sse import DONE

STREAMED = {"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": True}
TEXT = [chunk({"content": "Hel"}), chunk({"content": "lo"})]
END = [chunk({}, "stop"), DONE]


def live(parts: Settled, answer: Any) -> ModelCallHandler:
    send = sender(upstream(CannedTransport(answer)), metrics=parts.metrics, ask_for_usage=False)
    settled = parts.settlement
    auditor = Auditor(
        sender=send,
        settlement=settled,
        observer=ListObserver(parts),
        metrics=parts.metrics,
        clock_s=perf_counter,
    )
    return ModelCallHandler(
        recorder=parts.recorder,
        conversations=parts.conversations,
        routing=RoutingDecider(lambda: None, None, parts.metrics, timeout_s=1, clock_s=perf_counter),
        sender=send,
        settlement=settled,
        auditor=auditor,
        max_answer_bytes=10_000,
        clock_s=perf_counter,
    )


async def read(reply: HttpReply) -> bytes:
    assert not isinstance(reply.body, bytes)
    try:
        return b"".join([piece async for piece in reply.body])
    finally:
        await reply.body.aclose()


async def test_a_whole_answer_is_recorded_before_it_is_given() -> None:
    parts, body = Settled(), completion_body()
    reply = await live(parts, CannedResponse(200, JSON, body)).answer(exchange())
    assert reply.body == body and ("x-deputize-served-by", "llm") in reply.headers
    assert parts.recorder.calls[0].response["content"] == "Hello."


async def test_the_end_of_a_stream_is_held_back_until_it_is_recorded() -> None:
    parts = Settled()
    reply = await live(parts, CannedResponse(200, SSE, *TEXT, *END)).answer(exchange(STREAMED))
    assert not isinstance(reply.body, bytes)
    pieces = aiter(reply.body)
    assert [await anext(pieces), await anext(pieces)] == TEXT and not parts.recorder.calls
    assert await anext(pieces) == b"".join(END) and len(parts.recorder.calls) == 1
    await reply.body.aclose()
    assert len(parts.recorder.calls) == 1


@pytest.mark.parametrize("n_read", [0, 1])
async def test_a_client_that_leaves_a_stream_has_its_call_recorded(n_read: int) -> None:
    parts, response = Settled(), CannedResponse(200, SSE, *TEXT, *END)
    reply = await live(parts, response).answer(exchange(STREAMED))
    assert not isinstance(reply.body, bytes)
    for _ in range(n_read):
        await anext(aiter(reply.body))
    await reply.body.aclose()
    (call,) = parts.recorder.calls
    assert call.aborted and response.closed
    assert call.response.get("content") == ("Hel" if n_read else None)


async def test_a_stream_whose_call_cannot_be_kept_ends_in_an_error() -> None:
    parts = Settled()
    reply = await live(parts, CannedResponse(200, SSE, *TEXT, *END)).answer(exchange(STREAMED))
    parts.recorder.full = True
    sent = await read(reply)
    assert b"store_error" in sent and b"[DONE]" not in sent


async def test_a_stream_that_breaks_off_ends_in_an_error_and_is_recorded() -> None:
    parts = Settled()
    sent = await read(await live(parts, CannedResponse(200, SSE, *TEXT)).answer(exchange(STREAMED)))
    assert sent.startswith(b"".join(TEXT)) and b"stream_cut" in sent
    assert parts.recorder.calls[0].aborted


async def test_no_upstream_is_an_answer_and_a_record() -> None:
    parts = Settled()
    reply = await live(parts, UpstreamError("down")).answer(exchange())
    assert reply.status == 502 and parts.recorder.calls[0].status == 502


async def test_a_refused_call_leaves_no_record() -> None:
    parts = Settled()
    server = live(parts, CannedResponse(200, JSON, completion_body()))
    asked = exchange(chat={"messages": [{"role": "user"}], "n": 2}, outgoing={"stream": False})

    async def refuse(exchange: Any) -> Any:
        raise BadInput("no")

    server._routing.route = refuse  # type: ignore[method-assign]
    with pytest.raises(BadInput):
        await server.answer(asked)
    assert parts.recorder.abandoned == ["dpz-1"] and not parts.recorder.calls


async def test_a_client_that_leaves_before_the_answer_is_recorded_as_499() -> None:
    class Slow(CannedResponse):
        async def read(self) -> bytes:
            await asyncio.sleep(60)
            return b""

    parts = Settled()
    headers = [*JSON, ("content-length", "5")]
    task = asyncio.ensure_future(live(parts, Slow(200, headers)).answer(exchange()))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (call,) = parts.recorder.calls
    assert (call.status, call.aborted, call.response) == (499, True, {})
