"""The comparison of a specialist in shadow, as figures."""

from __future__ import annotations

from typing import Any

from tests.unit.stages.refine.test_route_evidence import route

from deputize.core.records import Call, ChallengerAnswer, Decision
from deputize.stages.refine.shadow_comparison import ShadowComparison, compared
from deputize.testing import call


def figures(calls: list[Call], **more: Any) -> ShadowComparison:
    given: dict[str, Any] = {"allowed": 0.05, "llm_usd": lambda c: 1.0, "specialist_usd": lambda s: s}
    return compared(calls, route(state="shadow"), **{**given, **more})


def made(id: str, at: float = 1.0, **fields: Any) -> Call:
    given = {
        "reason": "shadow",
        "route_id": "r1",
        "specialist": "runs/x",
        "confidence": 0.9,
        "specialist_ms": 500.0,
    }
    return call(id, decision=Decision(**{**given, **fields}), timestamp=at, latency_ms=800.0)


def test_only_compared_calls_of_this_specialist_count() -> None:
    said = ChallengerAnswer(specialist="runs/x", confidence=0.8, agrees=False, latency_ms=500.0)
    calls = [
        made("a", shadow_agrees=True),
        made("b", shadow_agrees=False),
        made("c", shadow_agrees=False, confidence=0.1),
        made("d", shadow_agrees=True, deferred=True),
        made("not compared"),
        made("another", shadow_agrees=False, specialist="runs/old"),
        made("early", at=0.0, shadow_agrees=False),
        made("served", reason="live", served_by="slm", shadow_agrees=None),
        made("challenged", reason="live", specialist="runs/old", challenger=said),
        call("imported"),
    ]
    found = figures(calls, since_s=0.5)
    assert (found.n_compared, found.n_served, found.n_deferred, found.n_differed) == (5, 3, 1, 2)
    assert found.llm_usd == 5.0 and found.specialist_usd == 2.5 and found.saved_usd == 0.5
    assert found.specialist_ms == (500.0, 500.0) and found.share_served == 0.6
    assert sum(b.n for b in found.bands) == 4


def test_without_a_call_nothing_is_known() -> None:
    found = figures([])
    assert (found.n_compared, found.share_served) == (0, 0.0)
    assert (found.differed_low, found.differed_high) == (0.0, 1.0) and not found.bands
