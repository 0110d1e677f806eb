"""Audits of calls that specialists answered."""

from __future__ import annotations

from time import perf_counter
from typing import Any

import pytest
from tests.unit.gateway.stubs import (
    JSON,
    CannedResponse,
    CannedTransport,
    Settled,
    completion_body,
    exchange,
    live_route,
    sender,
    upstream,
)

from deputize.core.errors import UpstreamError
from deputize.core.records import Decision, Prediction
from deputize.gateway.audits import Auditor
from deputize.gateway.exchange import Exchange, RoutingOutcome


def served() -> Exchange:
    asked = exchange({"model": "m", "messages": [{"role": "user", "content": "q"}], "stream": True})
    decision = Decision(served_by="slm", reason="live", route_id="r")
    said = Prediction(answer="rain", confidence=0.9)
    asked.routing = RoutingOutcome(decision, live_route(), prediction=said)
    return asked


def auditor(parts: Settled, answer: Any, *, share: float = 1.0, draw: float = 0.5) -> Auditor:
    return Auditor(
        share=share,
        sender=sender(upstream(CannedTransport(answer))),
        settlement=parts.settlement,
        metrics=parts.metrics,
        clock_s=perf_counter,
        draw=lambda: draw,
    )


@pytest.mark.parametrize(("says", "result"), [("rain", "agrees"), ("sun", "differs"), ("?", "unreadable")])
async def test_the_llm_is_asked_and_compared(says: str, result: str) -> None:
    parts = Settled()
    audits = auditor(parts, CannedResponse(200, JSON, completion_body(says)))
    audits.consider(served())
    await audits.finish(5)
    assert parts.metrics.value("deputize_audits_total", result=result) == 1
    (call,) = parts.recorder.calls
    assert call.id == "dpz-1-audit" and call.decision is not None
    assert (call.decision.served_by, call.decision.reason) == ("llm", "audit")


async def test_an_audit_that_fails_is_counted() -> None:
    parts = Settled()
    audits = auditor(parts, UpstreamError("down"))
    audits.consider(served())
    await audits.finish(5)
    assert parts.metrics.value("deputize_audits_total", result="failed") == 1 and not parts.recorder.calls


async def test_only_a_share_is_audited() -> None:
    parts = Settled()
    for share, draw in ((0.0, 0.0), (0.5, 0.5)):
        auditor(parts, UpstreamError("not asked"), share=share, draw=draw).consider(served())
    assert parts.metrics.value("deputize_audits_total") == 0
