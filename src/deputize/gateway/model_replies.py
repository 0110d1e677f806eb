"""HTTP replies to model calls: a specialist's answer, an upstream's whole answer, an upstream's stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable

from msgspec import structs

from deputize.core.contracts import levels_of
from deputize.gateway.exchange import CutBy, Exchange, ExchangeResult, UpstreamExchange
from deputize.gateway.forwarding import forward_answer_headers, passed_headers
from deputize.gateway.relay import CompressedRelay, Relay, SameProtocolRelay, TranslatingRelay
from deputize.gateway.upstream_errors import UpstreamRefusal, plain_body, refusal_in
from deputize.http.handler import JSON_HEADERS, SSE_HEADERS, HttpReply
from deputize.http.headers import Headers, header, header_safe
from deputize.http.peeked_response import peek
from deputize.http.transport import UpstreamResponse
from deputize.wire.dialect import Dialect, ReplyHead, StreamWriter
from deputize.wire.events import Assembler, Completion, replay
from deputize.wire.freeform_tools import restored
from deputize.wire.json_fields import decode_answer
from deputize.wire.sse import FrameSplitter, frames_of


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
    if exchange.masked is not None:
        out.append(("x-deputize-masked", str(len(exchange.masked.placeholders))))
    route = exchange.routing.route
    if decision.served_by == "slm" and route is not None and route.contract.uncompared:
        out.append(("x-deputize-uncompared", header_safe(", ".join(route.contract.uncompared))))
    if decision.served_by == "slm" and route is not None and (levels := levels_of(route.contract)):
        out.append(("x-deputize-measured", header_safe(", ".join(levels))))
    certificate = route.certificate if route is not None and decision.certificate_id else None
    if certificate is not None and certificate.judge is not None:
        out.append(("x-deputize-judged", header_safe(certificate.judge.model)))
    return out


def _shown_confidence(exchange: Exchange, confidence: float) -> str:
    """Callers with a key get it in steps of .05: finer steps tell them how to move it, and what was trained on."""
    if exchange.caller.key is None:
        return f"{confidence:.4f}"
    return f"{round(confidence * 20) / 20:.2f}"


def _head_with_confidence(exchange: Exchange) -> ReplyHead:
    """The head of a specialist's reply whose form holds probabilities: no finer than the header gives them."""
    confidence = exchange.routing.decision.confidence
    shown = None if confidence is None else float(_shown_confidence(exchange, confidence))
    return structs.replace(exchange.reply_head, confidence=shown)


# --- from a specialist -----------------------------------------------------------------------------------------------


def specialist_reply(exchange: Exchange, answer: Completion) -> HttpReply:
    """A specialist's answer in the client's protocol, streamed where the client asked for a stream."""
    head = exchange.reply_head if exchange.dialect.fits is None else _head_with_confidence(exchange)
    if exchange.stream:
        return HttpReply(200, list(SSE_HEADERS), _frames(answer, exchange.dialect.stream_writer(head)))
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


def whole_reply(
    exchange: Exchange, upstream_exchange: UpstreamExchange, body: bytes
) -> tuple[HttpReply, ExchangeResult]:
    """An upstream's whole answer: its own bytes in the same protocol, encoded again in another."""
    response = upstream_exchange.response
    assert response is not None
    status = response.status
    completion = parse_body(upstream_exchange.dialect, response, body) if status < 400 else None
    if not upstream_exchange.same_protocol:
        return _translated_reply(
            exchange, upstream_exchange, completion, refusal_in(plain_body(response, body))
        )
    cut_by: CutBy = "upstream" if completion is not None and completion.error else ""
    response_id = completion.id if completion is not None and status < 400 else ""
    return HttpReply(status, forward_answer_headers(response.headers), body), ExchangeResult(
        status, completion, cut_by, response_id=response_id
    )


def collected_reply(
    exchange: Exchange, upstream_exchange: UpstreamExchange, body: bytes
) -> tuple[HttpReply, ExchangeResult]:
    """The reply to a request for a whole answer that an upstream of another protocol answered with a stream."""
    assert upstream_exchange.response is not None
    parser, assembler, splitter = upstream_exchange.dialect.stream_parser(), Assembler(), FrameSplitter()
    frames = splitter.feed(plain_body(upstream_exchange.response, body))
    rest = splitter.rest()
    for frame in [*frames, *(frames_of(rest) if rest else ())]:
        for event in parser.read(frame):
            assembler.add(event)
    completion = assembler.completion()
    refusal = UpstreamRefusal(
        completion.error or "The upstream ended its stream before the answer was finished."
    )
    if not completion.finish_reason:
        completion = structs.replace(completion, error=refusal.message)
    return _translated_reply(exchange, upstream_exchange, completion, refusal)


def _translated_reply(
    exchange: Exchange,
    upstream_exchange: UpstreamExchange,
    completion: Completion | None,
    refusal: UpstreamRefusal,
) -> tuple[HttpReply, ExchangeResult]:
    """A whole answer of an upstream of another protocol, as a stream where the client asked for one."""
    assert upstream_exchange.response is not None
    status, dialect = upstream_exchange.response.status, exchange.dialect
    passed = passed_headers(upstream_exchange.response.headers)
    if completion is not None and completion.reason and not completion.error:
        completion = structs.replace(
            restored(completion, upstream_exchange.freeform),
            id=exchange.answer_id,
            finish_reason=completion.reason,
        )
        reply = specialist_reply(exchange, completion)
        reply = HttpReply(reply.status, [*reply.headers, *passed], reply.body)
        return reply, ExchangeResult(200, completion, response_id=upstream_exchange.answer_id)
    if status < 400:
        status = 502
    if completion is not None and completion.error:
        refusal = UpstreamRefusal(completion.error)
    body = dialect.error_body(status, refusal.message, refusal.kind, refusal.code)
    cut_by: CutBy = "upstream" if completion is not None and completion.message else ""
    return HttpReply(status, [*JSON_HEADERS, *passed], body), ExchangeResult(status, completion, cut_by)


def parse_body(dialect: Dialect, response: UpstreamResponse, body: bytes) -> Completion | None:
    """A whole answer, read from a copy of its body; None where that cannot be read."""
    value = decode_answer(plain_body(response, body))
    return None if value is None else dialect.parse_reply(value)


# --- from an upstream, as a stream -----------------------------------------------------------------------------------


_STREAM_STARTS = (b"data:", b"event:", b"id:", b"retry:", b":")


async def is_event_stream(exchange: Exchange, upstream_exchange: UpstreamExchange) -> bool:
    """True where a response is a stream of events: it says so, or one was asked for and this is how it begins.

    Raises:
        UpstreamError: it broke off.
    """
    response = upstream_exchange.response
    assert response is not None
    if not 200 <= response.status < 300 or upstream_exchange.body is not None:
        return False
    content_type = header(response.headers, "content-type")
    if content_type.startswith("text/event-stream"):
        return True
    if not exchange.stream or header(response.headers, "content-encoding", "identity") != "identity":
        return "event-stream" in content_type.lower()
    first, upstream_exchange.response = await peek(response)
    return first.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(_STREAM_STARTS)


def stream_headers(upstream_exchange: UpstreamExchange) -> Headers:
    """The headers of a reply that passes an upstream's stream on."""
    assert upstream_exchange.response is not None
    if not upstream_exchange.same_protocol:
        return [*SSE_HEADERS, *passed_headers(upstream_exchange.response.headers)]
    headers = forward_answer_headers(upstream_exchange.response.headers)
    if not any(k == "content-type" and "event-stream" in v for k, v in headers):
        headers = [*((k, v) for k, v in headers if k != "content-type"), SSE_HEADERS[0]]
    if not any(k == "x-accel-buffering" for k, _ in headers):
        headers.append(("x-accel-buffering", "no"))
    return headers


def relay_for(exchange: Exchange, upstream_exchange: UpstreamExchange, clock_s: Callable[[], float]) -> Relay:
    """The relay of an upstream's stream."""
    assert upstream_exchange.response is not None
    encoding = header(upstream_exchange.response.headers, "content-encoding", "identity")
    if not upstream_exchange.same_protocol:
        writer = exchange.dialect.stream_writer(exchange.reply_head)
        return TranslatingRelay(upstream_exchange, clock_s, writer, encoding)
    if encoding != "identity":
        return CompressedRelay(upstream_exchange, clock_s, encoding)
    return SameProtocolRelay(upstream_exchange, clock_s)
