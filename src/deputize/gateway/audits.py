"""Audits: the LLM is asked what a specialist has answered already, and the two answers are compared."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from random import random
from time import time

import msgspec
from msgspec import structs

from deputize.core.errors import DeputizeError
from deputize.gateway.exchange import Exchange, ExchangeOutcome, RoutingOutcome
from deputize.gateway.metrics import Metrics
from deputize.gateway.model_replies import parse_body
from deputize.gateway.settlement import Settlement, agrees_with_llm
from deputize.gateway.upstream_sender import UpstreamSender

log = logging.getLogger("deputize.gateway")

MAX_AUDITS = 32
"""Audits under way at once; calls beyond that are not audited."""

_encode = msgspec.json.Encoder().encode


class Auditor:
    """Audits a random share of the calls that specialists answered, after their answers."""

    def __init__(
        self,
        *,
        share: float,
        sender: UpstreamSender,
        settlement: Settlement,
        metrics: Metrics,
        clock_s: Callable[[], float],
        clock: Callable[[], float] = time,
        draw: Callable[[], float] = random,
    ) -> None:
        """
        Args:
            share: of the calls, in [0, 1].
            clock_s: perf_counter seconds.
            clock: Unix seconds.
            draw: gives numbers in [0, 1) that decide what is audited.
        """
        self._share = share
        self._sender, self._settlement, self._metrics = sender, settlement, metrics
        self._clock_s, self._clock, self._draw = clock_s, clock, draw
        self._under_way: set[asyncio.Task[None]] = set()

    def consider(self, served: Exchange) -> None:
        """Begins an audit of a call that a specialist has answered, where the draw falls on it."""
        if not self._share or self._draw() >= self._share:
            return
        if len(self._under_way) >= MAX_AUDITS:
            self._count("skipped")
            return
        task = asyncio.ensure_future(self._audit(served))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _audit(self, served: Exchange) -> None:
        try:
            result = await self._ask(served, self._copy(served))
        except DeputizeError as error:
            log.warning("an audit failed: %s", error)
            result = "failed"
        self._count(result)

    def _copy(self, served: Exchange) -> Exchange:
        """The same call once more, under an id of its own and without streaming."""
        fields = {k: v for k, v in served.outgoing.items() if k not in ("stream", "stream_options")}
        context = structs.replace(
            served.context,
            id=f"{served.context.id}-audit",
            arrived_at=self._clock(),
            started=self._clock_s(),
        )
        return Exchange(
            context=context,
            dialect=served.dialect,
            fields=fields,
            chat=served.chat,
            body=_encode(fields),
            headers=served.headers,
            model=served.model,
            stream=False,
            query=served.query,
            caller=served.caller,
            outgoing=fields,
        )

    async def _ask(self, served: Exchange, audit: Exchange) -> str:
        """Asks the LLM and records its answer as a call of its own; the result: agrees, differs, unreadable, failed."""
        routing = served.routing
        assert routing.prediction is not None and routing.route is not None
        leg = await self._sender.send(audit)
        body = await self._sender.read(leg)
        assert leg.response is not None
        status = leg.response.status
        completion = parse_body(leg.dialect, leg.response, body) if status < 400 else None
        if completion is None or not completion.message:
            return "failed"
        agrees = agrees_with_llm(routing.prediction, completion.message, routing.route)
        decision = structs.replace(
            routing.decision, served_by="llm", reason="audit", specialist_ms=None, shadow_agrees=agrees
        )
        audit.routing = RoutingOutcome(decision)
        await self._settlement.settle(audit, ExchangeOutcome(status, completion))
        return "unreadable" if agrees is None else "agrees" if agrees else "differs"

    def _count(self, result: str) -> None:
        self._metrics.add("deputize_audits_total", (("result", result),))

    async def finish(self, timeout_s: float) -> None:
        """Waits for audits under way; those that take longer are cancelled, since their calls are recorded already."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)
        for task in list(self._under_way):
            task.cancel()
