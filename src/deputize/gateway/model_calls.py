"""One model call from arrival to record: route, ask, answer, settle.

A call is recorded before the last byte of its answer leaves, so that every call a client got in full is in the store.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from functools import partial

from deputize.core.errors import StoreError, UpstreamError
from deputize.gateway.audits import Auditor
from deputize.gateway.call_intents import CallIntents
from deputize.gateway.conversations import Conversations, resume_conversation
from deputize.gateway.error_replies import upstream_failed
from deputize.gateway.exchange import Exchange, ExchangeResult, UpstreamExchange, result_of_error
from deputize.gateway.model_replies import (
    collected_reply,
    decision_headers,
    is_event_stream,
    relay_for,
    specialist_reply,
    stream_headers,
    whole_reply,
)
from deputize.gateway.protocols import CallRecorder
from deputize.gateway.relay import Relay
from deputize.gateway.routing import RoutingDecider
from deputize.gateway.settlement import Settlement
from deputize.gateway.upstream_sender import UpstreamSender
from deputize.gateway.watched_stream import WatchedStream
from deputize.http.handler import HttpReply
from deputize.upstreams.upstream import too_large

log = logging.getLogger("deputize.gateway")


class ModelCallHandler:
    """Answers model calls. Knows no server and no path."""

    def __init__(
        self,
        *,
        recorder: CallRecorder,
        conversations: Conversations,
        routing: RoutingDecider,
        sender: UpstreamSender,
        settlement: Settlement,
        auditor: Auditor,
        max_answer_bytes: int,
        clock_s: Callable[[], float],
    ) -> None:
        self._recorder = recorder
        self._intents = CallIntents(recorder, clock_s)
        self._conversations = conversations
        self._routing = routing
        self._sender = sender
        self._settlement = settlement
        self._auditor = auditor
        self._max_answer_bytes = max_answer_bytes
        self._clock_s = clock_s

    async def answer(self, exchange: Exchange) -> HttpReply:
        """Answers one call and settles it, whatever happens to it.

        Raises:
            BadInput: the request cannot be answered by any model; nothing is recorded.
            StoreError: the call could not be kept, so it is not answered.
        """
        if exchange.context.record != "off":
            self._recorder.admit()
            self._intents.watch(exchange)
        try:
            reply, outcome = await self._reply(exchange)
            if outcome is not None:
                await self._settle(exchange, outcome)
        except (Exception, asyncio.CancelledError) as error:
            await self._end(exchange, result_of_error(error))
            if not isinstance(error, UpstreamError):
                raise
            log.warning("call %s: %s", exchange.context.id, error)
            reply = upstream_failed(exchange.dialect, error)
        if exchange.routing.answer is not None and exchange.context.record == "full":
            self._auditor.consider(exchange)
        return HttpReply(reply.status, reply.headers + decision_headers(exchange), reply.body)

    async def _end(self, exchange: Exchange, outcome: ExchangeResult) -> None:
        await self._settlement.settle(exchange, outcome)
        self._intents.ended(exchange)

    async def _settle(self, exchange: Exchange, outcome: ExchangeResult) -> None:
        await self._end(exchange, outcome)
        if exchange.routing.compared is not None and exchange.routing.answer is None:
            self._auditor.compared(exchange, outcome)

    async def _reply(self, exchange: Exchange) -> tuple[HttpReply, ExchangeResult | None]:
        """The reply to a call and its outcome; the outcome is None for a stream, which is settled at its end."""
        pinned_upstream = await resume_conversation(self._conversations, exchange)
        exchange.routing = await self._routing.route(exchange)
        answer = exchange.routing.answer
        if answer is not None:
            first_token_s = self._clock_s()
            reply = specialist_reply(exchange, answer)
            return reply, ExchangeResult(
                completion=answer, response_id=exchange.answer_id, first_token_s=first_token_s
            )
        upstream_exchange = await self._sender.send(exchange, pinned_upstream)
        if await is_event_stream(exchange, upstream_exchange):
            if exchange.stream or upstream_exchange.same_protocol:
                return self._stream_reply(exchange, upstream_exchange), None
            return collected_reply(exchange, upstream_exchange, await self._sender.read(upstream_exchange))
        return whole_reply(exchange, upstream_exchange, await self._sender.read(upstream_exchange))

    def _stream_reply(self, exchange: Exchange, upstream_exchange: UpstreamExchange) -> HttpReply:
        relay = relay_for(exchange, upstream_exchange, self._clock_s)
        pieces = self._stream(exchange, upstream_exchange, relay)
        assert upstream_exchange.response is not None
        return HttpReply(
            upstream_exchange.response.status,
            stream_headers(upstream_exchange),
            WatchedStream(pieces, partial(self._close, exchange, upstream_exchange, relay)),
        )

    async def _stream(
        self, exchange: Exchange, upstream_exchange: UpstreamExchange, relay: Relay
    ) -> AsyncGenerator[bytes, None]:
        """Passes a stream on; its end is held back until the call is settled."""
        assert upstream_exchange.response is not None
        left = self._max_answer_bytes
        failure: UpstreamError | None = None
        try:
            async for chunk in upstream_exchange.response.chunks():
                left -= len(chunk)
                if left < 0:
                    raise too_large(self._max_answer_bytes)
                out = relay.feed(chunk)
                if out:
                    yield out
                if relay.ended:
                    break
        except UpstreamError as error:
            failure = error
        outcome = relay.finish(failure)
        try:
            await self._settle(exchange, outcome)
            tail = relay.tail
        except StoreError as error:
            tail = exchange.dialect.error_frame(503, str(error), "store_error", error.code)
        if tail:
            yield tail
        if failure is not None and not relay.reports_failure:
            raise failure

    async def _close(self, exchange: Exchange, upstream_exchange: UpstreamExchange, relay: Relay) -> None:
        """Releases the upstream when a stream is closed; one that has not been settled was cut by the client."""
        assert upstream_exchange.response is not None
        upstream_exchange.response.close()
        if not exchange.settled:
            await self._end(exchange, relay.outcome("client"))
