"""HTTP replies to model calls: a specialist's answer, an upstream's whole answer, an upstream's stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

import msgspec

from deputize.core.errors import UpstreamError
from deputize.gateway.exchange import Exchange, ExchangeOutcome, Leg
from deputize.gateway.forwarding import forward_answer_headers, limit_headers
from deputize.gateway.relay import CompressedRelay, Relay, SameProtocolRelay, TranslatingRelay
from deputize.gateway.upstream_errors import error_message
from deputize.http.content_encoding import decompressor
from deputize.http.handler import JSON_HEADERS, SSE_HEADERS, HttpReply
from deputize.http.headers import Headers, header, header_safe
from deputize.http.transport import UpstreamResponse
from deputize.wire.dialect import Dialect, StreamWriter
from deputize.wire.events import Completion, replay

_decode = msgspec.json.Decoder().decode


def decision_headers(exchange: Exchange) -> Headers:
    """Headers that tell the client which model answered."""
    decision = exchange.routing.decision
    out = [
        ("x-deputize-served-by", decision.served_by),
        ("x-deputize-request-id", exchange.context.id),
    ]
    if decision.route_id:
        out.append(("x-deputize-route", header_safe(decision.route_id)))
    if decision.confidence is not None:
        out.append(("x-deputize-confidence", _shown_confidence(exchange, decision.confidence)))
    if decision.certificate_id:
        out.append(("x-deputize-certificate", header_safe(decision.certificate_id)))
    route = exchange.routing.route
    if decision.served_by == "slm" and route is not None and route.contract.uncompared:
        out.append(("x-deputize-uncompared", header_safe(", ".join(route.contract.uncompared))))
    return out


def _shown_confidence(exchange: Exchange, confidence: float) -> str:
    """Callers with a key get it in steps of .05: finer steps tell them how to move it, and what was trained on."""
    if exchange.caller.key is None:
        return f"{confidence:.4f}"
    return f"{round(confidence * 20) / 20:.2f}"


# --- from a specialist -----------------------------------------------------------------------------------------------


def specialist_reply(exchange: Exchange, answer: Completion) -> HttpReply:
    """A specialist's answer in the client's protocol, streamed where the client asked for a stream."""
    head = exchange.reply_head
    if exchange.stream:
        writer = exchange.dialect.stream_writer(head)
        return HttpReply(200, list(SSE_HEADERS), _frames(answer, writer))
    return HttpReply(200, list(JSON_HEADERS), exchange.dialect.encode_reply(answer, head))


async def _frames(answer: Completion, writer: StreamWriter) -> AsyncGenerator[bytes, None]:
    for event in replay(answer):
        frame = writer.write(event)
        if frame:
            yield frame
    tail = writer.end()
    if tail:
        yield tail


# --- from an upstream, whole -----------------------------------------------------------------------------------------


def whole_reply(exchange: Exchange, leg: Leg, body: bytes) -> tuple[HttpReply, ExchangeOutcome]:
    """An upstream's whole answer: its own bytes in the same protocol, encoded anew in another."""
    response, dialect = leg.response, exchange.dialect
    assert response is not None
    status = response.status
    completion = parse_body(leg.dialect, response, body) if status < 400 else None
    if leg.same_protocol:
        headers = forward_answer_headers(response.headers)
    else:
        headers = [*JSON_HEADERS, *limit_headers(response.headers)]
        if completion is not None and completion.finish_reason:
            body = dialect.encode_reply(completion, exchange.reply_head)
        else:
            status = status if status >= 400 else 502
            body = dialect.error_body(status, error_message(body), "upstream_error", None)
    can_be_referred_to = completion is not None and status < 400
    response_id = (leg.answer_id or (completion.id if completion else "")) if can_be_referred_to else ""
    return HttpReply(status, headers, body), ExchangeOutcome(status, completion, response_id=response_id)


def parse_body(dialect: Dialect, response: UpstreamResponse, body: bytes) -> Completion | None:
    """A whole answer, read from a copy of its body; None where that cannot be read."""
    encoding = header(response.headers, "content-encoding", "identity")
    try:
        value = _decode(decompressor(encoding)(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, UpstreamError):
        return None
    return dialect.parse_reply(value)


# --- from an upstream, as a stream -----------------------------------------------------------------------------------


def is_event_stream(response: UpstreamResponse) -> bool:
    """True where a response is a stream of events."""
    content_type = header(response.headers, "content-type").lower()
    return response.status == 200 and content_type.startswith("text/event-stream")


def stream_headers(leg: Leg) -> Headers:
    """The headers of a reply that passes an upstream's stream on."""
    assert leg.response is not None
    if not leg.same_protocol:
        return list(SSE_HEADERS)
    headers = forward_answer_headers(leg.response.headers)
    if not any(k == "x-accel-buffering" for k, _ in headers):
        headers.append(("x-accel-buffering", "no"))
    return headers


def relay_for(exchange: Exchange, leg: Leg, clock_s: Callable[[], float]) -> Relay:
    """The relay of an upstream's stream."""
    assert leg.response is not None
    encoding = header(leg.response.headers, "content-encoding", "identity")
    if not leg.same_protocol:
        writer = exchange.dialect.stream_writer(exchange.reply_head)
        return TranslatingRelay(leg, clock_s, writer, encoding)
    if encoding != "identity":
        return CompressedRelay(leg, clock_s, encoding)
    return SameProtocolRelay(leg, clock_s)
