"""Matches a request with the route table, asks the route's specialist where it may serve, and decides who answers."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable

from msgspec import structs

from deputize.core.answer_params import answer_params
from deputize.core.config import RouteSettings
from deputize.core.contracts import served_message
from deputize.core.decision_reason import DecisionReason
from deputize.core.errors import DeputizeError, UpstreamTimeout
from deputize.core.listed_tools import digests
from deputize.core.records import Decision, Prediction, Request, Route, RouteState, Usage
from deputize.gateway.call_telemetry import of_route
from deputize.gateway.exchange import Exchange, RoutingResult
from deputize.gateway.metrics import Metrics
from deputize.gateway.protocols import RouteLookup
from deputize.router.policy import decide, in_canary, plan
from deputize.router.request_limits import has_text, lists_unseen, only_llm_reason, outside
from deputize.router.table import NO_MATCH
from deputize.specialists.base import LOCAL
from deputize.specialists.serving.base import Engine, OtherEngine, StillLoading
from deputize.wire.chat_request import pinned_reason, request_of
from deputize.wire.events import Completion

log = logging.getLogger("deputize.gateway")

SERVING: tuple[RouteState, ...] = ("live", "canary")
NO_ROUTE = RoutingResult(Decision(reason="no_route"))


class RoutingDecider:
    """Turns a request into a decision. A specialist that fails costs nothing but time: the LLM answers."""

    def __init__(
        self,
        table: Callable[[], RouteLookup | None],
        specialists: Engine | None,
        metrics: Metrics,
        *,
        timeout_s: float,
        clock_s: Callable[[], float],
        audit_share: float = 0.0,
        life: RouteSettings | None = None,
        wall_clock_s: Callable[[], float] = time.time,
        tool_call_id: Callable[[], str] | None = None,
    ) -> None:
        """
        Args:
            table: gives the route table in force, None where there are no routes.
            specialists: the client that asks them; None: none can be asked.
            metrics: counts failures of specialists.
            timeout_s: how long one prediction may take.
            clock_s: perf_counter seconds.
            audit_share: share of served calls that are audited; noted in each decision about a route that serves, but
                not where the caller chose the model.
            life: shares of the calls that are compared in shadow, and audited in a canary; None: the defaults.
            wall_clock_s: Unix seconds, for the age of certificates.
            tool_call_id: makes ids for the tool calls that specialists make.
        """
        self._table = table
        self._specialists = specialists
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._clock_s = clock_s
        self._audit_share = audit_share
        self._life = life or RouteSettings()
        self._wall_clock_s = wall_clock_s
        self._tool_call_id = tool_call_id or new_tool_call_id
        self._on_other_engine: set[str] = set()
        """Ids of certificates that were measured on another engine than the one that answers; it stays the same
        here."""

    async def route(self, exchange: Exchange) -> RoutingResult:
        """Decides which model answers, and holds the specialist's answer where that is the one to serve."""
        context, table = exchange.context, self._table()
        if table is None and context.override == "auto":
            return NO_ROUTE  # the request need not be read
        request = request_of(exchange.chat, agent=context.agent, site=context.site)
        found = table.match(request, context.tenant) if table is not None else NO_MATCH
        route, reason, challenger, nearest = found
        drawn = False
        if challenger is not None:
            route, challenger = self._between(route, challenger, exchange)
            drawn = challenger is not None
            if challenger is not None and _excluded(exchange, challenger, request) is not None:
                challenger = None
        if route is not None:
            outcome = await self._ask(exchange, route, request, table)
        elif context.override == "llm":
            return RoutingResult(Decision(reason="override"))
        else:
            task_name = nearest.task_name if nearest is not None else ""
            outcome = RoutingResult(_decision_without_route(reason, nearest), task_name=task_name)
        if challenger is not None:
            outcome = structs.replace(
                outcome, shadow=self._begin_shadow(challenger, request), compared=challenger
            )
        route = route or nearest
        if route is None or route.state not in SERVING or context.override != "auto":
            return outcome
        if context.record != "full":
            return outcome  # it is never audited
        # all of the drawn calls: those that the challenger is not asked belong to the traffic like the others
        share = 1.0 if drawn else audited_share(route, self._audit_share, self._life)
        decision = structs.replace(outcome.decision, audit_share=share)
        return structs.replace(outcome, decision=decision)

    def _between(
        self, route: Route | None, challenger: Route, exchange: Exchange
    ) -> tuple[Route | None, Route | None]:
        """(the version that is to answer, the one that the call is drawn to be compared with); None for none."""
        context = exchange.context
        if route is None:
            return challenger, None
        if context.override != "auto":
            return route, None
        now_s = self._wall_clock_s()
        planned = plan(challenger, canary_key=context.canary_key, now_s=now_s)
        if not planned.ask_specialist:
            return route, None
        if planned.may_serve:
            return challenger, None
        share = self._life.challenger_share
        wanted = self._specialists is not None and context.record == "full"
        wanted = wanted and in_canary(f"shadow:{challenger.id}", context.id, share)
        return route, challenger if wanted else None

    async def _ask(
        self, exchange: Exchange, route: Route, request: Request, table: RouteLookup | None
    ) -> RoutingResult:
        """The outcome for a request that a route of a table matches."""
        context = exchange.context
        planned = plan(
            route, override=context.override, canary_key=context.canary_key, now_s=self._wall_clock_s()
        )
        excluded = _excluded(exchange, route, request) if planned.ask_specialist else None
        if excluded is not None:
            # named although not asked: a later run counts such a call as traffic that this specialist did not serve
            decision = Decision(reason=excluded, route_id=route.id, specialist=route.specialist)
            return RoutingResult(decision, route)
        prediction: Prediction | None = None
        shadow: asyncio.Task[Prediction] | None = None
        failure: DecisionReason = "no_specialists"
        began = self._clock_s()
        if self._specialists is not None and planned.ask_specialist:
            if planned.may_serve:
                prediction, failure = await self._try_to_predict(
                    route, request, context.tenant, is_certified=context.override != "slm"
                )
            else:  # in shadow: while the LLM answers
                failure = planned.reason
                if context.record == "full" and self._is_compared(route, context.id):
                    shadow = self._begin_shadow(route, request)
        if prediction is not None and self._table() is not table:
            # an answer may take seconds, and a route that was closed meanwhile serves nothing any more
            route_now = self._in_force(route, request, context.tenant)
            planned = plan(
                route_now,
                override=context.override,
                canary_key=context.canary_key,
                now_s=self._wall_clock_s(),
            )
        decision = decide(planned, prediction, failure=failure)
        if self._specialists is not None and planned.may_serve:
            decision = structs.replace(decision, specialist_ms=(self._clock_s() - began) * 1e3)
        if prediction is None or decision.served_by != "slm":
            return RoutingResult(
                decision, route, shadow=shadow, compared=route if shadow is not None else None
            )
        return self._outcome(exchange, decision, route, prediction)

    def _in_force(self, route: Route, request: Request, tenant: str) -> Route | None:
        """A request's route as it is now, in whatever state; None where it has gone, or has another specialist or
        certificate."""
        table = self._table()
        found = table.match(request, tenant) if table is not None else NO_MATCH
        for now in (found.route, found.challenger):
            if now is not None and _version(now) == _version(route):
                return now
        return None

    def _is_compared(self, route: Route, call_id: str) -> bool:
        """True for a call whose specialist in shadow is asked."""
        shadow = route.shadow
        if shadow is None:
            return in_canary(f"shadow:{route.id}", call_id, self._life.shadow_share)
        is_over = shadow.until_s is not None and self._wall_clock_s() > shadow.until_s
        return not is_over and in_canary(f"shadow:{route.id}", call_id, shadow.share)

    async def _try_to_predict(
        self, route: Route, request: Request, tenant: str, *, is_certified: bool
    ) -> tuple[Prediction | None, DecisionReason]:
        """The specialist's prediction, or None and why there is none."""
        failure: DecisionReason = "worker_error"
        try:
            return await self._predict(route, request, is_certified=is_certified), failure
        except (TimeoutError, DeputizeError, OSError) as error:
            if isinstance(error, TimeoutError | UpstreamTimeout):
                failure = "timeout"
            elif isinstance(error, OtherEngine):
                failure = "other_engine"
            elif isinstance(error, StillLoading):
                return None, "loading"  # no failure
            self._count_error(failure, route, tenant)
            return None, failure

    def _begin_shadow(self, route: Route, request: Request) -> asyncio.Task[Prediction]:
        task = asyncio.ensure_future(self._predict(route, request))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        return task

    def _outcome(
        self, exchange: Exchange, decision: Decision, route: Route, prediction: Prediction
    ) -> RoutingResult:
        """The outcome where a specialist is to serve; the LLM answers after all where its answer breaks the
        contract."""
        message = served_message(prediction.answer, route.contract, iter(self._tool_call_id, ""))
        fits = exchange.dialect.fits
        if message is None or (fits is not None and not fits(message, exchange.fields)):
            self._count_error("contract", route, exchange.context.tenant)
            broken = structs.replace(decision, served_by="llm", reason="contract", certificate_id="")
            return RoutingResult(broken, route)
        usage = Usage(prompt_tokens=prediction.n_prompt_tokens, completion_tokens=prediction.n_output_tokens)
        finish_reason = "tool_calls" if message.get("tool_calls") else "stop"
        answer = Completion(message=message, finish_reason=finish_reason, usage=usage)
        return RoutingResult(decision, route, answer, prediction)

    def _count_error(self, reason: str, route: Route, tenant: str) -> None:
        labels = of_route(route.id, route.task_name, tenant)
        self._metrics.add("deputize_specialist_errors_total", (("reason", reason), *labels))

    async def _predict(self, route: Route, request: Request, *, is_certified: bool = True) -> Prediction:
        """A specialist's answer; of a certified one from the engine that the certificate was measured on.

        Raises:
            OtherEngine: another engine, or another precision, answers here.
        """
        assert self._specialists is not None
        certificate = route.certificate if is_certified else None
        if certificate is not None and certificate.id in self._on_other_engine:
            raise OtherEngine(f"Route {route.id} was certified on another engine.")
        wait_s = min(self._timeout_s, self._life.wait_s(route.id, route.task_name))
        async with asyncio.timeout(wait_s):
            found = await self._specialists.predict(route.specialist, request, wait_s)
        if certificate is not None and certificate.engine and found.engine not in (certificate.engine, LOCAL):
            self._on_other_engine.add(certificate.id)
            log.error(
                "route %s serves nothing: it was certified on %s, and %s answers here; "
                "`deputize route recertify` measures it there",
                route.id,
                certificate.engine,
                found.engine or "an engine that does not say which it is",
            )
            raise OtherEngine(f"Route {route.id} was certified on another engine.")
        return found


def _version(route: Route) -> tuple[str, str, str, str]:
    """(id, specialist, its card, certificate) of a route: with another one of these it is another promise."""
    certificate = route.certificate.id if route.certificate is not None else ""
    return route.id, route.specialist, route.card_sha256, certificate


def audited_share(route: Route, audit_share: float, life: RouteSettings) -> float:
    """The share of a route's served calls that is audited: a canary is looked at more closely, unless audits are
    off."""
    return (
        max(audit_share, life.canary_audit_share) if audit_share and route.state == "canary" else audit_share
    )


def _decision_without_route(reason: DecisionReason, nearest: Route | None) -> Decision:
    """The decision on a request that no route fits; it names the serving route whose prompt it has, but changed."""
    if nearest is None or nearest.state not in SERVING:
        return Decision(reason=reason)
    return Decision(reason=reason, route_id=nearest.id, specialist=nearest.specialist)


def _excluded(exchange: Exchange, route: Route, request: Request) -> DecisionReason | None:
    """The reason why a route's specialist may not answer this request, whatever it would say; None where it may.

    An override asks for the specialist outside what was calibrated, but not for what no specialist can do.
    """
    pinned = pinned_reason(exchange.outgoing)
    if pinned is not None:
        return pinned
    context = exchange.context
    params = answer_params(exchange.dialect.params(exchange.fields))
    if route.certificate is None or context.override == "slm":
        return only_llm_reason(params, context.audience)
    limits = route.certificate.limits
    if limits.listed is not None and lists_unseen(limits, digests(request)):
        return "listed"
    return outside(
        limits,
        params,
        model=exchange.model,
        agent=context.agent,
        site=context.site,
        audience=context.audience,
        with_text=has_text(exchange.chat["messages"]),
    )


def new_tool_call_id() -> str:
    """A fresh id of a tool call, in the form clients know: call_5f0c..."""
    return "call_" + os.urandom(12).hex()
