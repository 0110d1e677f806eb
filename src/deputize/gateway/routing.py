"""Asks the route table and, where a route may serve, its specialist; says who is to answer and why."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from deputize.core.contracts import agree, answer_of, message_of
from deputize.core.errors import DeputizeError, UpstreamTimeout
from deputize.core.records import Decision, Message, Prediction, Request, Route, Usage
from deputize.gateway.context import Context
from deputize.gateway.metrics import Metrics
from deputize.gateway.protocols import RouteLookup, SpecialistClient
from deputize.router.policy import decide, plan
from deputize.wire.events import Completion


@dataclass(slots=True)
class RoutingOutcome:
    """Who is to answer."""

    decision: Decision
    route: Route | None = None
    answer: Completion | None = None
    """The specialist's answer, where it is to be served."""
    prediction: Prediction | None = None
    """What `answer` was made of, for an audit."""
    shadow: asyncio.Task[Prediction] | None = None
    """A specialist that is asked only to be compared."""


class RoutingDecider:
    """Turns a request into a decision. A specialist that fails costs nothing but time: the LLM answers."""

    def __init__(
        self,
        table: Callable[[], RouteLookup | None],
        specialists: SpecialistClient | None,
        metrics: Metrics,
        *,
        timeout_s: float,
        clock_s: Callable[[], float],
        tool_call_id: Callable[[], str],
    ) -> None:
        self._table = table
        self._specialists = specialists
        self._metrics = metrics
        self._timeout_s = timeout_s
        self._clock_s = clock_s
        self._tool_call_id = tool_call_id

    @property
    def idle(self) -> bool:
        """Whether no request can have a route, so that none need be read."""
        return self._table() is None

    async def consult(self, request: Request, context: Context, only_llm: str) -> RoutingOutcome:
        """Decides one request.

        Args:
            request: what a specialist would read.
            context: who asks.
            only_llm: why a specialist cannot answer whatever it says, "" where it can.
        """
        table = self._table()
        route = table.match(request) if table is not None else None
        if route is None:
            return RoutingOutcome(Decision(reason="override" if context.override == "llm" else "no_route"))
        if only_llm:
            return RoutingOutcome(Decision(reason=only_llm, route_id=route.id), route)
        override, key = context.override, context.canary_key
        planned = plan(route, override=override, canary_key=key)
        if self._specialists is None or not planned.ask_specialist:
            return RoutingOutcome(
                decide(route, None, override=override, canary_key=key, failure="no_specialists"), route
            )
        if not planned.may_serve:
            task = asyncio.ensure_future(self._predict(route, request))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            return RoutingOutcome(
                decide(route, None, override=override, canary_key=key, failure=planned.reason),
                route,
                shadow=task,
            )
        began = self._clock_s()
        try:
            prediction = await self._predict(route, request)
        except (TimeoutError, DeputizeError, OSError) as error:
            reason = "timeout" if isinstance(error, TimeoutError | UpstreamTimeout) else "worker_error"
            self._metrics.add("deputize_specialist_errors_total", (("reason", reason),))
            failed = decide(route, None, override=override, canary_key=key, failure=reason)
            failed = msgspec.structs.replace(failed, specialist_ms=(self._clock_s() - began) * 1e3)
            return RoutingOutcome(failed, route)
        decision = decide(route, prediction, override=override, canary_key=key)
        decision = msgspec.structs.replace(decision, specialist_ms=(self._clock_s() - began) * 1e3)
        if decision.served_by != "slm":
            return RoutingOutcome(decision, route)
        message = self._message(prediction, route)
        if message is None:
            self._metrics.add("deputize_specialist_errors_total", (("reason", "contract"),))
            refused = msgspec.structs.replace(decision, served_by="llm", reason="contract")
            return RoutingOutcome(refused, route)
        answer = Completion(
            message=message,
            finish_reason="tool_calls" if message.get("tool_calls") else "stop",
            usage=Usage(
                prompt_tokens=prediction.n_prompt_tokens, completion_tokens=prediction.n_output_tokens
            ),
        )
        return RoutingOutcome(decision, route, answer, prediction)

    async def _predict(self, route: Route, request: Request) -> Prediction:
        assert self._specialists is not None
        async with asyncio.timeout(self._timeout_s):
            return await self._specialists.predict(route.specialist, request, self._timeout_s)

    def _message(self, prediction: Prediction, route: Route) -> Message | None:
        """The message of an answer; None where the answer does not keep the contract after all."""
        try:
            message = message_of(prediction.answer, route.contract, iter(self._tool_call_id, ""))
        except (ValueError, TypeError, KeyError):
            return None
        # what is served must read back as what was certified
        return (
            message if agree(answer_of(message, route.contract), prediction.answer, route.contract) else None
        )


def new_tool_call_id() -> str:
    """A fresh id of a tool call, in the form clients know: call_5f0c..."""
    return "call_" + os.urandom(12).hex()


def shadow_agrees(prediction: Prediction, message: Message, route: Route) -> bool | None:
    """Whether the shadow said what the LLM said; None where the LLM's reply breaks the contract."""
    llm = answer_of(message, route.contract)
    return None if llm is None else agree(prediction.answer, llm, route.contract)
