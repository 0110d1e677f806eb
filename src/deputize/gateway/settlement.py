"""The one exit of an exchange: its conversation is kept, and the call is counted, charged and recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from itertools import count
from typing import Any

from msgspec import structs

from deputize.core.contracts import DEFER, agree, agrees_with_itself, answer_of, served_message
from deputize.core.errors import DeputizeError
from deputize.core.recording_policy import recorded_part
from deputize.core.records import Call, ChallengerAnswer, Decision, Message, Prediction, Route, Usage
from deputize.gateway.auth import Authenticator
from deputize.gateway.call_telemetry import CallTelemetry, of_route
from deputize.gateway.context import without_end_user
from deputize.gateway.conversations import Conversations, keep_conversation
from deputize.gateway.exchange import CutBy, Exchange, ExchangeResult, RoutingResult
from deputize.gateway.metrics import Metrics
from deputize.gateway.protocols import CallRecorder

log = logging.getLogger("deputize.gateway")


class Settlement:
    """Settles exchanges; whatever happened to one, `settle` is called with its outcome."""

    def __init__(
        self,
        *,
        recorder: CallRecorder,
        conversations: Conversations,
        authenticator: Authenticator,
        metrics: Metrics,
        telemetry: CallTelemetry,
        shadow_wait_s: float,
        clock_s: Callable[[], float],
    ) -> None:
        """
        Args:
            telemetry: is told of each call that has ended.
            shadow_wait_s: how long an answer waits for a shadow's prediction before it is recorded without it.
            clock_s: perf_counter seconds.
        """
        self._recorder = recorder
        self._conversations = conversations
        self._authenticator = authenticator
        self._metrics, self._telemetry = metrics, telemetry
        self._shadow_wait_s = shadow_wait_s
        self._clock_s = clock_s

    async def settle(self, exchange: Exchange, outcome: ExchangeResult) -> None:
        """Settles one exchange.

        An outcome cut by the client or by the gateway is settled without a wait, so that a task that is being cancelled
        can do it; for an exchange that is settled already it does nothing.

        Raises:
            StoreError: the call could not be kept, so that its answer must not be completed.
        """
        if outcome.refused:
            exchange.settled = True
            self._recorder.abandon(exchange.context.id)
        elif outcome.cut_by in ("client", "gateway"):
            if not exchange.settled:
                self._record_now(exchange, outcome)
        else:
            await self._record(exchange, outcome)

    async def _record(self, exchange: Exchange, outcome: ExchangeResult) -> None:
        call: Call | None = None
        try:
            if outcome.response_id:
                await keep_conversation(self._conversations, exchange, outcome)
            finished = self._clock_s()
            if exchange.routing.shadow is not None:
                await self._compare_shadow(exchange, outcome)
            call = self._call(exchange, outcome, finished)
            if call is not None:
                await self._recorder.record(call)
        except asyncio.CancelledError:
            # the client went away meanwhile
            if not exchange.settled:
                self._record_now(exchange, structs.replace(outcome, cut_by="client"))
            else:  # counted already; of two records with one id the store keeps one
                self._count_cut("client", exchange)
                if call is not None:
                    self._hand_over(structs.replace(call, aborted=True))
            raise

    def _record_now(self, exchange: Exchange, outcome: ExchangeResult) -> None:
        if exchange.routing.shadow is not None:
            exchange.routing.shadow.cancel()
        call = self._call(exchange, outcome, self._clock_s())
        if call is not None:
            self._hand_over(call)

    def _hand_over(self, call: Call) -> None:
        try:
            self._recorder.record_now(call)
        except DeputizeError as error:
            log.error("an aborted call could not be recorded: %s", error)

    def _call(self, exchange: Exchange, outcome: ExchangeResult, finished: float) -> Call | None:
        """The record of a call, which is counted and charged here; None for a call of which nothing is kept.

        Args:
            finished: perf_counter seconds.
        """
        exchange.settled = True
        context, chat, decision = exchange.context, exchange.chat, exchange.routing.decision
        completion = outcome.completion
        message = completion.message if completion is not None else {}
        usage = completion.usage if completion is not None else None
        if usage is None and message:
            usage = estimate_usage(exchange.body, message)
        first = outcome.first_token_s if exchange.stream else (finished if message else None)
        latency_s = finished - context.started
        ttft_s = None if first is None else first - context.started
        call = Call(
            id=context.id,
            messages=chat["messages"],
            response=message,
            episode=context.episode,
            group=context.episode,
            agent=context.agent,
            site=context.site,
            model=exchange.model,
            tools=chat.get("tools") or None,
            response_format=_dict(chat.get("response_format")),
            tool_choice=chat.get("tool_choice"),
            params=without_end_user(exchange.dialect.params(exchange.fields)),
            audience=context.audience,
            origin=context.origin,
            tenant=context.tenant,
            usage=usage,
            latency_ms=latency_s * 1e3,
            ttft_ms=None if ttft_s is None else ttft_s * 1e3,
            timestamp=context.arrived_at,
            status=outcome.status,
            aborted=bool(outcome.cut_by),
            finish_reason=completion.finish_reason if completion is not None else "",
            upstream=exchange.asked,
            response_id=outcome.response_id,
            protocol=exchange.dialect.name,
            masked=exchange.masked is not None,
            decision=decision,
            shadow_response=exchange.routing.shadow_message,
            source="gateway",
        )
        self._count(exchange, outcome, call)
        return recorded_part(call, context.record)

    def _count_cut(self, by: CutBy, exchange: Exchange) -> None:
        self._metrics.add("deputize_aborted_total", (("by", by), ("tenant", exchange.context.tenant)))

    def _count(self, exchange: Exchange, outcome: ExchangeResult, call: Call) -> None:
        """Counts a call, and charges the caller's key for an LLM's tokens."""
        if outcome.cut_by:
            self._count_cut(outcome.cut_by, exchange)
        routing, charged = exchange.routing, None
        if routing.decision.served_by == "llm":
            charged = call.usage or _unanswered(exchange, outcome)
            if charged is not None:
                self._authenticator.charge(exchange.caller, exchange.model, charged)
        self._telemetry.ended(
            call,
            kept=exchange.context.record,
            trace=exchange.context.trace,
            task=routing.route.task_name if routing.route is not None else routing.task_name,
            key=exchange.caller.key.id if exchange.caller.key is not None else "",
            streamed=exchange.stream,
            charged=charged,
        )

    async def _compare_shadow(self, exchange: Exchange, outcome: ExchangeResult) -> None:
        """Notes in the decision whether the shadow's prediction agrees with the LLM's answer.

        Where a specialist has answered, the LLM is asked for an audit afterwards: the comparison waits for that.
        """
        routing, completion = exchange.routing, outcome.completion
        if routing.shadow is None or routing.compared is None or routing.decision.served_by == "slm":
            return
        if outcome.cut_by or outcome.status >= 400:
            routing.shadow.cancel()
            return
        prediction = await self.shadow_prediction(exchange)
        if prediction is not None:
            # an answer that is empty or cannot be read is one all the same: it is not the specialist's
            message = completion.message if completion is not None else {}
            decision = compared_decision(routing, prediction, message)
            differing = _differing(decision, prediction, routing.compared)
            exchange.routing = structs.replace(routing, decision=decision, shadow_message=differing)

    async def shadow_prediction(self, exchange: Exchange) -> Prediction | None:
        """The prediction of the specialist in shadow; None where it did not come in time."""
        shadow = exchange.routing.shadow
        assert shadow is not None
        try:
            async with asyncio.timeout(self._shadow_wait_s):
                return await asyncio.shield(shadow)
        except (TimeoutError, DeputizeError, OSError, asyncio.CancelledError):
            shadow.cancel()
            route, tenant = exchange.routing.compared, exchange.context.tenant
            labels = of_route(route.id, route.task_name, tenant) if route is not None else ()
            self._metrics.add("deputize_specialist_errors_total", (("reason", "shadow"), *labels))
            return None


def compared_decision(routing: RoutingResult, prediction: Prediction, message: Message) -> Decision:
    """The decision with what the comparison of a prediction in shadow with the LLM's message says."""
    decision, compared = routing.decision, routing.compared
    assert compared is not None
    agrees, deferred = agrees_with_llm(prediction, message, compared), _deferred(prediction, compared)
    if compared is routing.route:
        return structs.replace(
            decision,
            confidence=prediction.confidence,
            specialist_ms=prediction.latency_ms,
            specialist=compared.specialist,
            shadow_agrees=agrees,
            deferred=deferred,
        )
    challenger = ChallengerAnswer(
        specialist=compared.specialist,
        confidence=prediction.confidence,
        agrees=agrees,
        deferred=deferred,
        latency_ms=prediction.latency_ms,
    )
    return structs.replace(decision, challenger=challenger)


def _differing(decision: Decision, prediction: Prediction, compared: Route) -> Message | None:
    """A prediction in shadow as the message it would have been served as; None where it agrees, or nothing would have
    been."""
    said = decision.challenger
    agrees = decision.shadow_agrees if said is None else said.agrees
    if agrees or prediction.confidence < compared.threshold:
        return None
    return served_message(prediction.answer, compared.contract, (f"call_{n}" for n in count()))


def agrees_with_llm(prediction: Prediction, message: Message, route: Route) -> bool:
    """True where a prediction agrees with the LLM's message; False where the message breaks the contract, as in
    calibration."""
    return agree(prediction.answer, answer_of(message, route.contract), route.contract)


def llm_agrees_with_itself(first: Message, second: Message, route: Route) -> bool:
    """True where two answers of the LLM agree, as calibration counts it."""
    contract = route.contract
    return agrees_with_itself(answer_of(first, contract), answer_of(second, contract), contract)


def _deferred(prediction: Prediction, route: Route) -> bool:
    """True where nothing of a prediction could be served, whatever its confidence."""
    return prediction.answer is None or (route.contract.may_defer and prediction.answer == DEFER)


def estimate_usage(body: bytes, message: Message) -> Usage:
    """Token counts from sizes (four bytes a token), for upstreams that send none."""
    n_bytes = len(str(message.get("content") or "")) + sum(
        len(str(c.get("function", {}).get("name", ""))) + len(str(c.get("function", {}).get("arguments", "")))
        for c in message.get("tool_calls") or []
    )
    return Usage(
        prompt_tokens=max(1, len(body) // 4), completion_tokens=max(1, -(-n_bytes // 4)), estimated=True
    )


def _unanswered(exchange: Exchange, outcome: ExchangeResult) -> Usage | None:
    """The tokens of a call that an upstream has read although no answer of it can be counted: one that the client gave
    up, or whose answer could not be read. None where no upstream was asked, or it refused."""
    if exchange.sent and (outcome.cut_by or outcome.status < 400):
        return Usage(prompt_tokens=max(1, len(exchange.body) // 4), estimated=True)
    return None


def _dict(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
