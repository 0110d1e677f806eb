"""Audits: the LLM is asked what a specialist has answered already, and the two answers are compared."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from random import random
from time import time
from typing import Protocol

import msgspec
from msgspec import structs

from deputize.core.contracts import answer_of
from deputize.core.errors import DeputizeError
from deputize.core.records import Message, Route
from deputize.gateway.exchange import Exchange, ExchangeOutcome, RoutingOutcome
from deputize.gateway.metrics import Metrics
from deputize.gateway.model_replies import parse_body
from deputize.gateway.rollback import AuditOutcome
from deputize.gateway.settlement import Settlement, agrees_with_llm, llm_agrees_with_itself
from deputize.gateway.upstream_sender import UpstreamSender
from deputize.stages.refine.route_evidence import against_repeats, audit_result

log = logging.getLogger("deputize.gateway")

MAX_AUDITS = 32
"""Audits that wait for the LLM at once; calls beyond that are skipped, which is counted."""

_encode = msgspec.json.Encoder().encode


class AuditObserver(Protocol):
    """Draws conclusions from audits; `rollback.RollbackMonitor` in production."""

    async def observe(self, outcome: AuditOutcome) -> None: ...


class _LLMAnswer(msgspec.Struct, frozen=True):
    """The LLM's answer to an audit, before it is recorded."""

    exchange: Exchange
    outcome: ExchangeOutcome
    message: Message


class Auditor:
    """Audits a random share of the calls that specialists answered, after their answers.

    A call that the caller's override sent to the specialist is not audited: no certificate speaks of it.
    """

    def __init__(
        self,
        *,
        share: float,
        sender: UpstreamSender,
        settlement: Settlement,
        observer: AuditObserver,
        metrics: Metrics,
        clock_s: Callable[[], float],
        clock: Callable[[], float] = time,
        draw: Callable[[], float] = random,
    ) -> None:
        """
        Args:
            share: of the calls, in [0, 1].
            observer: is told of every audit that was due.
            clock_s: perf_counter seconds.
            clock: Unix seconds.
            draw: gives numbers in [0, 1) that decide what is audited.
        """
        self._share = share
        self._sender, self._settlement, self._metrics = sender, settlement, metrics
        self._observer = observer
        self._clock_s, self._clock, self._draw = clock_s, clock, draw
        self._under_way: set[asyncio.Task[None]] = set()
        self._n_asking = 0

    def consider(self, served: Exchange) -> None:
        """Begins an audit of a call that a specialist has answered, where the draw falls on it."""
        route = served.routing.route
        if route is None or served.routing.decision.reason == "override":
            return
        if not self._share or self._draw() >= self._share:
            return
        if self._n_asking >= MAX_AUDITS:
            self._begin(self._missed(route, "skipped"))
            return
        self._n_asking += 1
        self._begin(self._audit(served, route))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _missed(self, route: Route, result: str) -> None:
        self._count(route, result)
        await self._observer.observe(AuditOutcome(route=route, result=None))

    async def _audit(self, served: Exchange, route: Route) -> None:
        try:
            answers = await self._ask_llm(served, n=2 if against_repeats(route.certificate) else 1)
        except (DeputizeError, OSError) as error:
            log.warning("an audit of route %s failed: %s", route.id, error)
            answers = []
        finally:
            self._n_asking -= 1
        try:
            await self._conclude(served, route, answers)
        except DeputizeError as error:
            log.error("an audit of route %s could not be recorded: %s", route.id, error)

    async def _ask_llm(self, served: Exchange, n: int) -> list[_LLMAnswer]:
        """The LLM's answers, asked `n` times; fewer where it does not answer."""
        answers: list[_LLMAnswer] = []
        for suffix in ("audit", "audit-2")[:n]:
            audit = self._copy(served, suffix)
            try:
                leg = await self._sender.send(audit)
                body = await self._sender.read(leg)
            except DeputizeError as error:
                log.warning("an audit of route %s failed: %s", served.routing.decision.route_id, error)
                break
            assert leg.response is not None
            status = leg.response.status
            if status >= 400:
                break
            # an answer that is empty or cannot be read is one all the same: it is not the specialist's
            completion = parse_body(leg.dialect, leg.response, body)
            message = completion.message if completion is not None else {}
            answers.append(_LLMAnswer(audit, ExchangeOutcome(status, completion), message))
        return answers

    async def _conclude(self, served: Exchange, route: Route, answers: Sequence[_LLMAnswer]) -> None:
        """Compares the answers, counts the audit as evidence, then records the LLM's answers as calls of their own.

        The evidence comes first: a process that is killed in between has lost a record, not an audit.
        """
        prediction = served.routing.prediction
        assert prediction is not None
        if not answers:
            await self._missed(route, "failed")
            return
        agrees = agrees_with_llm(prediction, answers[0].message, route)
        repeat_agrees = None
        if len(answers) > 1:
            repeat_agrees = llm_agrees_with_itself(answers[0].message, answers[1].message, route)
        decision = structs.replace(
            served.routing.decision,
            served_by="llm",
            reason="audit",
            certificate_id="",
            specialist=route.specialist,
            specialist_ms=None,
            shadow_agrees=agrees,
            repeat_agrees=repeat_agrees,
            audit_share=self._share,
            audit_of=served.context.id,
        )
        result = audit_result(decision, route)
        if result is None:  # the LLM did not answer for the second time
            await self._missed(route, "failed")
        else:
            readable = answer_of(answers[0].message, route.contract) is not None
            self._count(route, "unreadable" if not readable else "agrees" if agrees else "differs")
            await self._observer.observe(AuditOutcome(route=route, result=result))
        repeat = structs.replace(decision, reason="audit_repeat", shadow_agrees=None, repeat_agrees=None)
        for answer, made in zip(answers, (decision, repeat), strict=False):
            answer.exchange.routing = RoutingOutcome(made)
            await self._settlement.settle(answer.exchange, answer.outcome)

    def _copy(self, served: Exchange, suffix: str) -> Exchange:
        """The same call once more, under an id of its own and without streaming."""
        fields = {k: v for k, v in served.outgoing.items() if k not in ("stream", "stream_options")}
        context = structs.replace(
            served.context,
            id=f"{served.context.id}-{suffix}",
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

    def _count(self, route: Route, result: str) -> None:
        self._metrics.add("deputize_audits_total", (("route", route.id), ("result", result)))

    async def finish(self, timeout_s: float) -> None:
        """Waits for audits under way; those that take longer are cancelled, since their calls are recorded already."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)
        for task in list(self._under_way):
            task.cancel()
