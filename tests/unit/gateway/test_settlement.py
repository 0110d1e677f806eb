"""The one exit: what is kept, counted, charged and recorded for each outcome."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.unit.gateway.stubs import Settled, exchange, live_route

from deputize.core.contracts import DEFER
from deputize.core.errors import StoreError
from deputize.core.records import Call, Contract, Decision, Prediction, Route, Usage
from deputize.gateway.exchange import REFUSED, ExchangeResult, RoutingResult
from deputize.gateway.settlement import agrees_with_llm, estimate_usage, llm_agrees_with_itself
from deputize.wire.events import Completion
from deputize.wire.registry import RESPONSES

ANSWER = Completion(
    message={"role": "assistant", "content": "rain"}, usage=Usage(prompt_tokens=5, completion_tokens=1)
)
ROUTE = Route(
    id="r",
    task_id="t",
    task_name="t",
    keys=["k"],
    contract=Contract(kind="label", labels=["rain", "sun"]),
    specialist="s",
    threshold=0.5,
    state="shadow",
)


async def test_an_answer_is_recorded_counted_and_charged_once() -> None:
    parts, asked = Settled(), exchange()
    await parts.settlement.settle(asked, ExchangeResult(completion=ANSWER))
    (call,) = parts.recorder.calls
    assert (call.response, call.status, call.aborted) == (ANSWER.message, 200, False)
    assert parts.authenticator.charged == [("m", ANSWER.usage)]
    assert parts.metrics.value("deputize_calls_total", served_by="llm") == 1
    assert parts.metrics.value("deputize_tokens_total", direction="in") == 5
    await parts.settlement.settle(asked, ExchangeResult(cut_by="client"))
    assert len(parts.recorder.calls) == 1, "a settled exchange cannot be cut any more"


async def test_a_specialists_answer_is_not_charged_and_its_conversation_is_kept() -> None:
    parts, asked = Settled(), exchange({"model": "m", "input": "q"}, RESPONSES)
    asked.routing = RoutingResult(Decision(served_by="slm", reason="live"), answer=ANSWER)
    await parts.settlement.settle(asked, ExchangeResult(completion=ANSWER, response_id="resp_dpz-1"))
    assert not parts.authenticator.charged
    assert parts.conversations.kept["default", "resp_dpz-1"].messages[-1] == ANSWER.message


@pytest.mark.parametrize(("by", "status"), [("client", 499), ("gateway", 500), ("upstream", 200)])
async def test_a_cut_call_is_recorded_as_aborted(by: Any, status: int) -> None:
    parts = Settled()
    await parts.settlement.settle(exchange(), ExchangeResult(status=status, completion=ANSWER, cut_by=by))
    (call,) = parts.recorder.calls
    assert call.aborted and call.status == status and call.response == ANSWER.message
    assert parts.metrics.value("deputize_aborted_total", by=by, tenant="default") == 1


async def test_a_cut_call_is_settled_without_a_wait() -> None:
    """So that a task that is being cancelled can do it: the coroutine ends at its first step."""
    parts = Settled()
    settling = parts.settlement.settle(exchange(), ExchangeResult(cut_by="client"))
    with pytest.raises(StopIteration):
        settling.send(None)
    assert len(parts.recorder.calls) == 1


async def test_a_refused_call_leaves_no_record() -> None:
    parts = Settled()
    await parts.settlement.settle(exchange(), REFUSED)
    assert not parts.recorder.calls and parts.recorder.abandoned == ["dpz-1"]


async def test_a_refused_call_cannot_be_cut_any_more() -> None:
    parts, asked = Settled(), exchange()
    await parts.settlement.settle(asked, REFUSED)
    await parts.settlement.settle(asked, ExchangeResult(cut_by="client"))
    assert not parts.recorder.calls


async def test_the_first_token_is_timed_from_the_start_of_the_call() -> None:
    parts, asked = Settled(), exchange(stream=True)
    first = asked.context.started + 0.25
    await parts.settlement.settle(asked, ExchangeResult(completion=ANSWER, first_token_s=first))
    (call,) = parts.recorder.calls
    assert call.ttft_ms == pytest.approx(250.0)


@pytest.mark.parametrize(
    "outcome", [ExchangeResult(status=502), ExchangeResult(completion=ANSWER, cut_by="client")]
)
async def test_a_shadow_without_an_answer_to_compare_is_stopped(outcome: ExchangeResult) -> None:
    parts, asked = Settled(), exchange()

    async def never() -> Prediction:
        await asyncio.sleep(60)
        raise AssertionError

    shadow = asyncio.ensure_future(never())
    asked.routing = RoutingResult(Decision(reason="shadow"), ROUTE, shadow=shadow, compared=ROUTE)
    await parts.settlement.settle(asked, outcome)
    assert shadow.cancelling() and len(parts.recorder.calls) == 1


async def test_a_full_store_is_an_error_for_answers_and_none_for_cut_calls() -> None:
    parts = Settled()
    parts.recorder.full = True
    with pytest.raises(StoreError):
        await parts.settlement.settle(exchange(), ExchangeResult(completion=ANSWER))
    await parts.settlement.settle(exchange(), ExchangeResult(cut_by="client"))


async def test_a_client_that_leaves_while_its_call_is_recorded_does_not_lose_it() -> None:
    parts = Settled()

    async def waits(call: Call) -> None:
        await asyncio.sleep(60)

    parts.recorder.record = waits  # type: ignore[method-assign]
    task = asyncio.ensure_future(parts.settlement.settle(exchange(), ExchangeResult(completion=ANSWER)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (call,) = parts.recorder.calls
    assert call.aborted and call.response == ANSWER.message
    assert parts.metrics.value("deputize_calls_total") == 1


@pytest.mark.parametrize(("says", "agrees"), [("rain", True), ("sun", False)])
async def test_a_shadow_is_compared(says: str, agrees: bool) -> None:
    async def predict() -> Prediction:
        return Prediction(answer=says, confidence=0.7, latency_ms=3.0)

    parts, asked = Settled(), exchange()
    asked.routing = RoutingResult(
        Decision(reason="shadow"), ROUTE, shadow=asyncio.ensure_future(predict()), compared=ROUTE
    )
    await parts.settlement.settle(asked, ExchangeResult(completion=ANSWER))
    (call,) = parts.recorder.calls
    assert call.decision is not None
    assert (call.decision.shadow_agrees, call.decision.confidence) == (agrees, 0.7)
    assert (call.shadow_response is None) == agrees, "what differs is kept, to be looked at"


async def test_what_a_shadow_would_not_have_served_is_not_kept() -> None:
    async def predict() -> Prediction:
        return Prediction(answer="sun", confidence=0.4)

    parts, asked = Settled(), exchange()
    asked.routing = RoutingResult(
        Decision(reason="shadow"), ROUTE, shadow=asyncio.ensure_future(predict()), compared=ROUTE
    )
    await parts.settlement.settle(asked, ExchangeResult(completion=ANSWER))
    assert parts.recorder.calls[0].shadow_response is None


async def test_a_challenger_is_compared_with_the_llm_only() -> None:
    """Where the present specialist has answered, its answer is no reference: an audit brings the LLM's."""

    async def predict() -> Prediction:
        return Prediction(answer="sun", confidence=0.7, latency_ms=3.0)

    for served_by in ("llm", "slm"):
        parts, asked, new = Settled(), exchange(), live_route(specialist="new", state="shadow")
        asked.routing = RoutingResult(
            Decision(served_by=served_by, reason="live", specialist="s"),
            ROUTE,
            shadow=asyncio.ensure_future(predict()),
            compared=new,
        )
        await parts.settlement.settle(asked, ExchangeResult(completion=ANSWER))
        decision = parts.recorder.calls[0].decision
        assert decision is not None and decision.shadow_agrees is None and decision.specialist == "s"
        kept = parts.recorder.calls[0].shadow_response
        assert (kept or {}).get("content") == ("sun" if served_by == "llm" else None)
        if served_by == "llm":
            assert decision.challenger is not None
            assert (decision.challenger.specialist, decision.challenger.agrees) == ("new", False)
        else:
            assert decision.challenger is None


def test_agreement_needs_a_readable_answer() -> None:
    said = Prediction(answer="rain", confidence=0.9)
    snow, hail = ({"role": "assistant", "content": c} for c in ("snow?", "hail?"))
    assert agrees_with_llm(said, snow, ROUTE) is False
    assert llm_agrees_with_itself(snow, hail, ROUTE), (
        "out of the contract twice is no disagreement with itself"
    )
    rain = {"role": "assistant", "content": "rain"}
    assert llm_agrees_with_itself(rain, rain, ROUTE) and not llm_agrees_with_itself(rain, snow, ROUTE)


async def test_a_deferral_in_shadow_is_no_served_answer() -> None:
    async def predict() -> Prediction:
        return Prediction(answer=DEFER, confidence=0.9)

    mixed = live_route(contract=Contract(kind="tool_call", tools=["find"], may_defer=True), state="shadow")
    parts, asked = Settled(), exchange()
    asked.routing = RoutingResult(
        Decision(reason="shadow"), mixed, shadow=asyncio.ensure_future(predict()), compared=mixed
    )
    await parts.settlement.settle(asked, ExchangeResult(completion=ANSWER))
    decision = parts.recorder.calls[0].decision
    assert decision is not None and decision.deferred and decision.specialist == "s"


def test_usage_is_estimated_from_sizes() -> None:
    usage = estimate_usage(b"x" * 40, {"content": "12345678"})
    assert (usage.prompt_tokens, usage.completion_tokens, usage.estimated) == (10, 2, True)
