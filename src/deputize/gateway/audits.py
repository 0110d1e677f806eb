"""Audits: the LLM is asked what a specialist has answered already, and the two answers are compared.

What a specialist in shadow says next to an answer of the LLM becomes evidence here too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from random import random
from time import time
from typing import Protocol

import msgspec
from msgspec import structs

from deputize.core.contracts import answer_of, needs_judge
from deputize.core.errors import DeputizeError
from deputize.core.records import Decision, Message, Prediction, Route, Usage
from deputize.gateway.audit_judge import AuditJudge
from deputize.gateway.call_telemetry import of_route
from deputize.gateway.exchange import Exchange, ExchangeResult, RoutingResult
from deputize.gateway.metrics import Metrics
from deputize.gateway.model_replies import parse_body
from deputize.gateway.rollback import DueAudit
from deputize.gateway.settlement import (
    Settlement,
    agrees_with_llm,
    compared_decision,
    llm_agrees_with_itself,
)
from deputize.gateway.upstream_sender import UpstreamSender
from deputize.stages.refine.route_evidence import against_repeats, audit_result

log = logging.getLogger("deputize.gateway")

MAX_AUDITS = 32
"""Audits that wait for the LLM at once; calls beyond that are skipped, which is counted."""

_encode = msgspec.json.Encoder().encode


class AuditObserver(Protocol):
    """Draws conclusions from audits; `rollback.RouteMonitor` in production."""

    async def observe(self, outcome: DueAudit) -> None: ...


class _LLMAnswer(msgspec.Struct, frozen=True):
    """The LLM's answer to an audit, before it is recorded."""

    exchange: Exchange
    outcome: ExchangeResult
    message: Message


class Auditor:
    """Audits a random share of the calls that specialists answered, after their answers.

    A call that the caller's override sent to the specialist is not audited: no certificate speaks of it.
    """

    def __init__(
        self,
        *,
        price: Callable[[str, Usage | None, float], float] = lambda model, usage, ms: 0.0,
        sender: UpstreamSender,
        settlement: Settlement,
        observer: AuditObserver,
        metrics: Metrics,
        clock_s: Callable[[], float],
        clock: Callable[[], float] = time,
        draw: Callable[[], float] = random,
        judge: AuditJudge | None = None,
    ) -> None:
        """
        Args:
            price: (model, tokens, milliseconds of a specialist) -> US dollars.
            observer: is told of every audit that was due.
            clock_s: perf_counter seconds.
            clock: Unix seconds.
            draw: gives numbers in [0, 1) that decide what is audited.
            judge: compares texts of routes whose tasks leave that to one; without it, or where another one certified
                them, their audits fail.
        """
        self._judge = judge
        self._price = price
        self._sender, self._settlement, self._metrics = sender, settlement, metrics
        self._observer = observer
        self._clock_s, self._clock, self._draw = clock_s, clock, draw
        self._under_way: set[asyncio.Task[None]] = set()
        self._n_asking = 0

    def consider(self, served: Exchange) -> None:
        """Begins an audit of a call that a specialist has answered, where the draw falls on it."""
        routing = served.routing
        route = routing.route
        if route is None or routing.decision.reason == "override":
            return
        # by the share that is noted with the call: a later run draws by it what was left to the LLM
        if self._draw() >= (routing.decision.audit_share or 0.0):
            return
        if self._n_asking >= MAX_AUDITS:
            _give_up_shadow(served)
            self._begin(self._missed(served, route, "skipped"))
            return
        self._n_asking += 1
        self._begin(self._audit(served, route))

    def compared(self, answered: Exchange, outcome: ExchangeResult) -> None:
        """Takes what a specialist in shadow said next to an answer of the LLM as evidence."""
        route = answered.routing.compared
        said = said_in_shadow(answered.routing)
        if route is None or said is None or not is_due(said, route):
            return
        message = outcome.completion.message if outcome.completion is not None else {}
        if needs_judge(route.contract) and not said.shadow_agrees:
            self._begin(self._judged_shadow(answered, said, route, message))
        elif not against_repeats(route.certificate):
            self._begin(self._observe_shadow(answered, said, route, 0.0))
        elif self._n_asking < MAX_AUDITS:
            self._n_asking += 1
            self._begin(self._repeat(answered, said, route, message))
        else:
            self._begin(self._observer.observe(DueAudit(route=route, result=None)))

    async def _judged_shadow(
        self, answered: Exchange, said: Decision, route: Route, message: Message, usd: float = 0.0
    ) -> None:
        """Takes what the judge finds of a specialist in shadow as evidence."""
        prediction = await self._settlement.shadow_prediction(answered)
        verdict = (
            await self._no_worse(answered, prediction, message, route) if prediction is not None else None
        )
        if verdict is None:
            await self._observer.observe(DueAudit(route=route, result=None))
        else:
            await self._observe_shadow(answered, structs.replace(said, shadow_agrees=verdict), route, usd)

    async def _no_worse(
        self, asked: Exchange, prediction: Prediction, message: Message, route: Route
    ) -> bool | None:
        """The judge's verdict on two texts that are not the same; None where there is none."""
        told = answer_of(message, route.contract)
        if not isinstance(prediction.answer, str) or not isinstance(told, str):
            return False
        certified = route.certificate.judge if route.certificate is not None else None
        # another judge measures by another standard than the claim's
        if self._judge is None or (certified is not None and certified.model != self._judge.model):
            return None
        return await self._judge.no_worse(asked.chat.get("messages") or [], prediction.answer, told)

    async def _repeat(self, answered: Exchange, said: Decision, route: Route, message: Message) -> None:
        """Asks the LLM for a second answer, which a claim against its own repeated samples is judged by."""
        try:
            answers = await self._ask_llm(answered, ("repeat",))
        except (DeputizeError, OSError) as error:
            log.warning("a second answer for route %s failed: %s", route.id, error)
            answers = []
        finally:
            self._n_asking -= 1
        if not answers:
            await self._observer.observe(DueAudit(route=route, result=None))
            return
        (again,) = answers
        repeat_agrees = llm_agrees_with_itself(message, again.message, route)
        said = structs.replace(said, repeat_agrees=repeat_agrees)
        await self._observe_shadow(answered, said, route, self._usd(again))
        again.exchange.routing = RoutingResult(
            Decision(
                reason="audit_repeat",
                route_id=route.id,
                specialist=route.specialist,
                repeat_agrees=repeat_agrees,
                audit_of=answered.context.id,
            ),
            task_name=route.task_name,
        )
        try:
            await self._settlement.settle(again.exchange, again.outcome)
        except DeputizeError as error:
            log.error("a second answer for route %s could not be recorded: %s", route.id, error)

    async def _observe_shadow(self, answered: Exchange, said: Decision, route: Route, usd: float) -> None:
        result = audit_result(said, route)
        usd += self._price("", None, said.specialist_ms or 0.0)
        await self._observer.observe(
            DueAudit(route=route, result=result, episode=answered.context.episode, usd=usd)
        )

    def _usd(self, answer: _LLMAnswer) -> float:
        completion = answer.outcome.completion
        usage = completion.usage if completion is not None else None
        return self._price(answer.exchange.model, usage, 0.0)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _missed(self, served: Exchange, route: Route, result: str) -> None:
        self._count(route, result, served.context.tenant)
        await self._observer.observe(DueAudit(route=route, result=None))

    async def _audit(self, served: Exchange, route: Route) -> None:
        try:
            answers = await self._ask_llm(served, ("audit", "audit-2")[: _n_answers(served.routing)])
        except (DeputizeError, OSError) as error:
            log.warning("an audit of route %s failed: %s", route.id, error)
            answers = []
        finally:
            self._n_asking -= 1
        try:
            await self._conclude(served, route, answers)
        except DeputizeError as error:
            log.error("an audit of route %s could not be recorded: %s", route.id, error)

    async def _ask_llm(self, served: Exchange, suffixes: Sequence[str]) -> list[_LLMAnswer]:
        """The LLM's answers, asked once for each suffix of an id; fewer where it does not answer."""
        answers: list[_LLMAnswer] = []
        for suffix in suffixes:
            audit = self._copy(served, suffix)
            try:
                upstream_exchange = await self._sender.send(audit)
                body = await self._sender.read(upstream_exchange)
            except DeputizeError as error:
                log.warning("an audit of route %s failed: %s", served.routing.decision.route_id, error)
                break
            assert upstream_exchange.response is not None
            status = upstream_exchange.response.status
            if status >= 400:
                break
            # an answer that is empty or cannot be read is one all the same: it is not the specialist's
            completion = parse_body(upstream_exchange.dialect, upstream_exchange.response, body)
            message = completion.message if completion is not None else {}
            answers.append(_LLMAnswer(audit, ExchangeResult(status, completion), message))
        return answers

    async def _conclude(self, served: Exchange, route: Route, answers: Sequence[_LLMAnswer]) -> None:
        """Compares the answers, counts the audit as evidence, then records the LLM's answers as calls of their own.

        The evidence comes first: a process that is killed in between has lost a record, not an audit.
        """
        prediction = served.routing.prediction
        assert prediction is not None
        if not answers:
            _give_up_shadow(served)
            await self._missed(served, route, "failed")
            return
        agrees: bool | None = agrees_with_llm(prediction, answers[0].message, route)
        if not agrees and needs_judge(route.contract):
            agrees = await self._no_worse(served, prediction, answers[0].message, route)
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
            audit_of=served.context.id,
        )
        decision = await self._with_challenger(served, decision, answers)
        result = audit_result(decision, route)
        if result is None:  # the LLM did not answer for the second time, or the judge not at all
            await self._missed(served, route, "failed")
        else:
            readable = answer_of(answers[0].message, route.contract) is not None
            said = "unreadable" if not readable else "agrees" if agrees else "differs"
            self._count(route, said, served.context.tenant)
            await self._observer.observe(DueAudit(route=route, result=result, episode=served.context.episode))
        repeat = structs.replace(decision, reason="audit_repeat", shadow_agrees=None, repeat_agrees=None)
        for answer, made in zip(answers, (decision, repeat), strict=False):
            answer.exchange.routing = RoutingResult(made, task_name=route.task_name)
            await self._settlement.settle(answer.exchange, answer.outcome)

    async def _with_challenger(
        self, served: Exchange, decision: Decision, answers: Sequence[_LLMAnswer]
    ) -> Decision:
        """The decision of an audit, with what a challenger in shadow said to the call; it is evidence about that
        one."""
        challenger = served.routing.compared
        if served.routing.shadow is None or challenger is None or challenger is served.routing.route:
            return decision
        prediction = await self._settlement.shadow_prediction(served)
        if prediction is None:
            return decision
        decision = compared_decision(
            structs.replace(served.routing, decision=decision), prediction, answers[0].message
        )
        said = said_in_shadow(structs.replace(served.routing, decision=decision))
        if said is not None and is_due(said, challenger):
            if len(answers) > 1:
                agrees = llm_agrees_with_itself(answers[0].message, answers[1].message, challenger)
                said = structs.replace(said, repeat_agrees=agrees)
            if needs_judge(challenger.contract) and not said.shadow_agrees:
                usd = sum(map(self._usd, answers))
                await self._judged_shadow(served, said, challenger, answers[0].message, usd)
            elif not against_repeats(challenger.certificate) or len(answers) > 1:
                await self._observe_shadow(served, said, challenger, sum(map(self._usd, answers)))
        return decision

    def _copy(self, served: Exchange, suffix: str) -> Exchange:
        """The same call once more, under an id of its own and without streaming."""
        fields = {k: v for k, v in served.outgoing.items() if k not in ("stream", "stream_options")}
        trace = served.context.trace.child() if served.context.trace is not None else None
        context = structs.replace(
            served.context,
            id=f"{served.context.id}-{suffix}",
            arrived_at=self._clock(),
            started=self._clock_s(),
            trace=trace,
        )
        return Exchange(
            context=context,
            dialect=served.dialect,
            fields=fields,
            chat=served.chat,
            body=_encode(fields),
            headers=served.headers if trace is None else trace.told(served.headers),
            model=served.model,
            stream=False,
            query=served.query,
            caller=served.caller,
            outgoing=fields,
        )

    def _count(self, route: Route, result: str, tenant: str) -> None:
        labels = of_route(route.id, route.task_name, tenant)
        self._metrics.add("deputize_audits_total", (("result", result), *labels))

    async def finish(self, timeout_s: float) -> None:
        """Waits for audits under way; those that take longer are cancelled, since their calls are recorded already."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=timeout_s)
        for task in list(self._under_way):
            task.cancel()


def _n_answers(routing: RoutingResult) -> int:
    """How often the LLM is asked for an audit."""
    routes = (routing.route, routing.compared)
    return 2 if any(r is not None and against_repeats(r.certificate) for r in routes) else 1


def _give_up_shadow(served: Exchange) -> None:
    if served.routing.shadow is not None:
        served.routing.shadow.cancel()


def said_in_shadow(routing: RoutingResult) -> Decision | None:
    """A decision about the specialist in shadow alone, from that of its call; None where it was not compared."""
    decision, route = routing.decision, routing.compared
    if route is None:
        return None
    if route is routing.route:
        return decision if decision.shadow_agrees is not None else None
    said = decision.challenger
    if said is None:
        return None
    return Decision(
        route_id=route.id,
        specialist=route.specialist,
        confidence=said.confidence,
        shadow_agrees=said.agrees,
        deferred=said.deferred,
        specialist_ms=said.latency_ms,
    )


def is_due(said: Decision, route: Route) -> bool:
    """True where the specialist would serve the call, so that its answer counts."""
    return audit_result(structs.replace(said, repeat_agrees=True), route) is not None
