"""Which model answers a request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.gateway.stubs import context, exchange, live_route

from deputize.core.errors import DeputizeError
from deputize.core.records import Prediction, Request, Route
from deputize.gateway.metrics import Metrics
from deputize.gateway.routing import RoutingDecider, new_tool_call_id


class OneRoute:
    def __init__(self, **changed: Any) -> None:
        self.route = live_route(**changed)

    def match(self, request: Request) -> Route | None:
        return self.route


class Saying:
    """Specialists that give one prediction, or raise one error."""

    def __init__(self, said: Prediction | Exception) -> None:
        self.said = said

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def decider(table: OneRoute | None, said: Prediction | Exception | None) -> RoutingDecider:
    specialists = None if said is None else Saying(said)
    return RoutingDecider(lambda: table, specialists, Metrics(), timeout_s=1, clock_s=lambda: 0.0)


RAIN = Prediction(answer="rain", confidence=0.9)


async def test_a_specialist_serves() -> None:
    outcome = await decider(OneRoute(), RAIN).route(exchange())
    assert (outcome.decision.served_by, outcome.decision.reason) == ("slm", "live")
    assert outcome.answer is not None and outcome.answer.message["content"] == "rain"
    assert outcome.prediction is RAIN


@pytest.mark.parametrize(
    ("changed", "said", "more", "reason"),
    [
        (None, RAIN, {}, "no_route"),
        ({}, RAIN, {"context": context(override="llm")}, "override"),
        ({}, None, {}, "no_specialists"),
        ({}, TimeoutError(), {}, "timeout"),
        ({}, DeputizeError("dead"), {}, "worker_error"),
        ({}, Prediction(answer="rain", confidence=0.1), {}, "below_threshold"),
        ({}, Prediction(answer="snow", confidence=0.9), {}, "contract"),
        ({"state": "closed"}, RAIN, {}, "closed"),
        ({}, RAIN, {"outgoing": {"previous_response_id": "x"}}, "pinned"),
    ],
)
async def test_the_llm_answers_and_the_decision_says_why(
    changed: dict[str, Any] | None, said: Any, more: dict[str, Any], reason: str
) -> None:
    table = None if changed is None else OneRoute(**changed)
    outcome = await decider(table, said).route(exchange(**more))
    assert (outcome.decision.served_by, outcome.decision.reason) == ("llm", reason)
    assert outcome.answer is None


async def test_a_shadow_is_asked_while_the_llm_answers() -> None:
    outcome = await decider(OneRoute(state="shadow"), RAIN).route(exchange())
    assert outcome.decision.reason == "shadow" and isinstance(outcome.shadow, asyncio.Task)
    assert await outcome.shadow is RAIN


def test_ids_of_tool_calls_are_fresh() -> None:
    assert new_tool_call_id() != new_tool_call_id() and new_tool_call_id().startswith("call_")
