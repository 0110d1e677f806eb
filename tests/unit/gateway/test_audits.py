"""Audits of calls that specialists answered."""

from __future__ import annotations

import asyncio
from time import perf_counter

import pytest
from msgspec import structs
from tests.unit.gateway.stubs import (
    JSON,
    CannedResponse,
    CannedTransport,
    ListObserver,
    Settled,
    completion_body,
    exchange,
    live_route,
    sender,
    upstream,
)

from deputize.core.errors import UpstreamError
from deputize.core.records import Decision, Prediction, Route
from deputize.gateway.audits import MAX_AUDITS, Auditor
from deputize.gateway.exchange import Exchange, ExchangeResult, RoutingResult
from deputize.wire.events import Completion


def repeats_route() -> Route:
    route = live_route()
    assert route.certificate is not None
    certificate = {f: getattr(route.certificate, f) for f in route.certificate.__struct_fields__}
    return live_route(
        certificate=type(route.certificate)(**{**certificate, "kind": "not_worse_than_repeats"})
    )


def served(route: Route | None = None, reason: str = "live", share: float | None = 1.0) -> Exchange:
    asked = exchange({"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": True})
    decision = Decision(
        served_by="slm", reason=reason, route_id="r", specialist="s", confidence=0.9, audit_share=share
    )
    said = Prediction(answer="rain", confidence=0.9)
    asked.routing = RoutingResult(decision, route or live_route(), prediction=said)
    return asked


def auditor(
    parts: Settled,
    *answers: CannedResponse | UpstreamError,
    draw: float = 0.5,
    observer: ListObserver | None = None,
) -> Auditor:
    return Auditor(
        sender=sender(upstream(CannedTransport(*answers))),
        settlement=parts.settlement,
        observer=observer or ListObserver(parts),
        metrics=parts.metrics,
        clock_s=perf_counter,
        draw=lambda: draw,
    )


def says(text: str) -> CannedResponse:
    return CannedResponse(200, JSON, completion_body(text))


@pytest.mark.parametrize(
    ("text", "result", "agrees"),
    [("rain", "agrees", True), ("sun", "differs", False), ("?", "unreadable", False)],
)
async def test_the_llm_is_asked_and_compared(text: str, result: str, agrees: bool) -> None:
    """An answer of the LLM that breaks the contract is a difference, as in calibration."""
    parts = Settled()
    told = ListObserver(parts)
    audits = auditor(parts, says(text), observer=told)
    audits.consider(served())
    await audits.finish(5)
    assert parts.metrics.value("deputize_audits_total", result=result, route="r") == 1
    (call,) = parts.recorder.calls
    assert call.id == "dpz-1-audit" and call.decision is not None
    assert (call.decision.served_by, call.decision.reason) == ("llm", "audit")
    assert (call.decision.shadow_agrees, call.decision.audit_share) == (agrees, 1.0)
    assert call.decision.audit_of == "dpz-1"
    assert told.results == ["." if agrees else "s"] and told.n_recorded == [0], (
        "the evidence comes before the record"
    )


@pytest.mark.parametrize(
    ("texts", "result"),
    [(("rain", "rain"), "."), (("sun", "sun"), "s"), (("sun", "rain"), "b"), (("?", "?"), "s")],
)
async def test_a_claim_against_repeats_asks_twice_and_charges_for_both(
    texts: tuple[str, str], result: str
) -> None:
    parts = Settled()
    told = ListObserver(parts)
    audits = auditor(parts, *map(says, texts), observer=told)
    audits.consider(served(repeats_route()))
    await audits.finish(5)
    first, second = parts.recorder.calls
    assert told.results == [result] and first.decision is not None and second.decision is not None
    assert (first.decision.shadow_agrees, first.decision.repeat_agrees) == (result == ".", result != "b")
    assert (second.id, second.decision.reason) == ("dpz-1-audit-2", "audit_repeat")
    assert (second.decision.shadow_agrees, second.decision.repeat_agrees) == (None, None)
    assert len(parts.authenticator.charged) == 2 and parts.metrics.value("deputize_audits_total") == 1


@pytest.mark.parametrize("body", [b"", b"<html>", completion_body("")])
async def test_an_empty_or_unreadable_answer_is_a_difference(body: bytes) -> None:
    parts = Settled()
    told = ListObserver(parts)
    audits = auditor(parts, CannedResponse(200, JSON, body), observer=told)
    audits.consider(served())
    await audits.finish(5)
    assert told.results == ["s"] and len(parts.recorder.calls) == 1
    assert parts.metrics.value("deputize_audits_total", result="unreadable", route="r") == 1


async def test_an_audit_that_fails_is_counted() -> None:
    for answers in ([UpstreamError("down")], [CannedResponse(500, JSON, b"{}")]):
        parts = Settled()
        told = ListObserver(parts)
        audits = auditor(parts, *answers, observer=told)
        audits.consider(served())
        await audits.finish(5)
        assert parts.metrics.value("deputize_audits_total", result="failed", route="r") == 1
        assert not parts.recorder.calls and told.results == [None]


async def test_a_second_answer_that_fails_is_no_audit() -> None:
    parts = Settled()
    told = ListObserver(parts)
    audits = auditor(parts, says("sun"), UpstreamError("down"), observer=told)
    audits.consider(served(repeats_route()))
    await audits.finish(5)
    assert told.results == [None] and len(parts.recorder.calls) == 1 == len(parts.authenticator.charged)
    assert parts.metrics.value("deputize_audits_total", result="failed") == 1


async def test_what_is_beyond_the_limit_is_skipped_and_counted() -> None:
    parts = Settled()
    told = ListObserver(parts)
    audits = auditor(parts, says("rain"), observer=told)
    for _ in range(MAX_AUDITS + 3):
        audits.consider(served())
    await audits.finish(5)
    assert parts.metrics.value("deputize_audits_total", result="skipped", route="r") == 3
    assert told.results.count(None) == 3 and told.results.count(".") == MAX_AUDITS


async def test_the_share_that_is_noted_is_audited_and_no_override() -> None:
    parts = Settled()
    told = ListObserver(parts)
    for share, draw, reason, n_audits in (
        (0.0, 0.0, "live", 0),
        (None, 0.0, "live", 0),
        (0.5, 0.5, "live", 0),
        (1.0, 0.5, "override", 0),
        (0.5, 0.4, "canary", 1),
    ):
        audits = auditor(parts, says("rain"), draw=draw, observer=told)
        audits.consider(served(reason=reason, share=share))
        await audits.finish(5)
        assert len(told.results) == parts.metrics.value("deputize_audits_total") == n_audits, reason


async def said(answer: str) -> Prediction:
    return Prediction(answer=answer, confidence=0.9, latency_ms=4.0)


async def test_a_shadow_next_to_the_llm_is_evidence_without_another_call() -> None:
    shadow = live_route(state="shadow")
    for agrees, deferred, results in ((True, False, ["."]), (False, False, ["s"]), (True, True, [])):
        parts, asked = Settled(), exchange()
        told = ListObserver(parts)
        decision = Decision(
            reason="shadow",
            route_id="r",
            specialist="s",
            confidence=0.9,
            shadow_agrees=agrees,
            deferred=deferred,
        )
        asked.routing = RoutingResult(decision, shadow, compared=shadow)
        audits = auditor(parts, UpstreamError("not asked"), observer=told)
        audits.compared(
            asked, ExchangeResult(completion=Completion({"role": "assistant", "content": "rain"}))
        )
        await audits.finish(5)
        assert told.results == results and not parts.recorder.calls
    unsure = structs.replace(decision, confidence=0.1, deferred=False)
    asked.routing = RoutingResult(unsure, shadow, compared=shadow)
    audits.compared(asked, ExchangeResult())
    await audits.finish(5)
    assert told.results == [], "it would not have been served"


@pytest.mark.parametrize(("again", "result"), [("rain", "."), ("sun", "l")])
async def test_a_shadow_against_repeats_asks_the_llm_once_more(again: str, result: str) -> None:
    shadow, parts, asked = structs.replace(repeats_route(), state="shadow"), Settled(), exchange()
    told = ListObserver(parts)
    decision = Decision(reason="shadow", route_id="r", specialist="s", confidence=0.9, shadow_agrees=True)
    asked.routing = RoutingResult(decision, shadow, compared=shadow)
    audits = auditor(parts, says(again), observer=told)
    audits.compared(asked, ExchangeResult(completion=Completion({"role": "assistant", "content": "rain"})))
    await audits.finish(5)
    (call,) = parts.recorder.calls
    assert told.results == [result] and call.id == "dpz-1-repeat" and call.decision is not None
    assert (call.decision.reason, call.decision.audit_of) == ("audit_repeat", "dpz-1")
    assert call.decision.repeat_agrees == (again == "rain")


async def test_a_challenger_is_compared_with_the_answer_that_an_audit_brings() -> None:
    parts, call = Settled(), served()
    told = ListObserver(parts)
    new = live_route(specialist="new", state="shadow")
    call.routing = structs.replace(call.routing, shadow=asyncio.ensure_future(said("sun")), compared=new)
    audits = auditor(parts, says("rain"), observer=told)
    audits.consider(call)
    await audits.finish(5)
    (audit,) = parts.recorder.calls
    assert audit.decision is not None and audit.decision.challenger is not None
    assert (audit.decision.specialist, audit.decision.shadow_agrees) == ("s", True)
    assert (audit.decision.challenger.specialist, audit.decision.challenger.agrees) == ("new", False)
    assert told.results == ["s", "."], "one audit is evidence about both"
