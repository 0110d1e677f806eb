"""The steps of a route: what carries each, what replaces what, and that a bad specialist hardly ever takes them."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from tests.unit.stages.refine.test_route_evidence import CERTIFICATE, route

from deputize.core.config import RouteSettings
from deputize.core.records import Route, RouteFile
from deputize.core.shadow_plan import ShadowPlan
from deputize.stages.refine import route_life as life
from deputize.stages.refine.route_evidence import RouteEvidence, with_audit

SETTINGS = RouteSettings()
NONE = RouteEvidence(route_id="r1", specialist="runs/x")


def walk(
    rate_in_shadow: float, rate_in_canary: float, seed: int, n_calls: int
) -> list[tuple[str, float, int]]:
    """(state, share, comparisons so far) of each step that a specialist with these losses takes."""
    rng = np.random.default_rng(seed)
    steps: list[tuple[str, float, int]] = []
    one, evidence = route(state="shadow"), NONE
    for n in range(n_calls):
        rate = rate_in_shadow if one.state == "shadow" else rate_in_canary
        evidence = with_audit(evidence, "s" if rng.random() < rate else ".", CERTIFICATE)
        found = life.progress(one, evidence, SETTINGS)
        if evidence.alarm or found is None:
            break
        if found.is_enough:
            if one.state == "shadow":
                evidence = life.entered_canary(evidence)
            one = msgspec.structs.replace(one, state=found.next_state, share=found.next_share)
            steps.append((one.state, one.share, n + 1))
    return steps


def test_a_sound_specialist_takes_every_step() -> None:
    steps = walk(0.01, 0.01, 0, 4000)
    assert [s[:2] for s in steps] == [("canary", 0.01), ("canary", 0.05), ("canary", 0.25), ("live", 1.0)]
    in_shadow, in_canary = steps[0][2], steps[-1][2] - steps[0][2]
    assert 90 < in_shadow < 400 and 60 < in_canary < 400


@pytest.mark.parametrize(("in_shadow", "in_canary", "state"), [(0.056, 0.0, "canary"), (0.0, 0.056, "live")])
def test_a_bad_one_hardly_ever_takes_a_step(in_shadow: float, in_canary: float, state: str) -> None:
    """At the allowed rate (.0556) the chance is at most .05; what was good in shadow does not carry it to live."""
    n_runs = 100
    bad = sum(any(s[0] == state for s in walk(in_shadow, in_canary, seed, 600)) for seed in range(n_runs))
    assert bad / n_runs <= 0.05 + 2 * np.sqrt(0.05 * 0.95 / n_runs)


def test_where_no_evidence_counts_no_step_is_taken() -> None:
    clean = NONE
    for _ in range(300):
        clean = with_audit(clean, ".", CERTIFICATE)
    assert life.progress(route(state="shadow"), clean, SETTINGS).is_enough  # type: ignore[union-attr]
    for changed in (
        {"state": "closed"},
        {"state": "live"},
        {"state": "rolled_back"},
        {"state": "shadow", "certificate": None},
        {"state": "shadow", "shadow": ShadowPlan(only_compare=True)},
        {"state": "shadow", "certificate": msgspec.structs.replace(CERTIFICATE, epsilon=0.99)},
    ):
        assert life.progress(route(**changed), clean, SETTINGS) is None
    nothing = life.progress(route(state="shadow"), None, SETTINGS)
    assert nothing is not None and not nothing.is_enough and nothing.n_audits == 0


def test_a_comparison_ends_by_its_time_or_its_budget() -> None:
    one = route(state="shadow", shadow=ShadowPlan(until_s=100.0, budget_usd=2.0))
    spent = msgspec.structs.replace(NONE, spent_usd=2.0)
    assert life.ended(one, NONE, 100.0) == "" and "time" in life.ended(one, NONE, 100.1)
    assert "2 USD" in life.ended(one, spent, 0.0)
    assert life.ended(route(state="shadow"), spent, 1e12) == ""


def file(*routes: Route, **more: Any) -> RouteFile:
    return RouteFile(run_id="0002", routes=list(routes), **more)


def test_a_challenger_that_goes_live_takes_the_place_of_its_route_which_is_kept() -> None:
    old = route(keys=["k"], run_id="0001")
    other = route(id="r2", task_id="t2", keys=["j"])
    new = route(keys=["k2"], specialist="runs/new", state="canary", share=0.25)
    before = file(old, other, challengers=[new])
    live = life.promoted(before, new, "live", 1.0)
    assert [r.specialist for r in live.routes] == ["runs/x", "runs/new"] and live.routes[0] == other
    assert live.routes[1].state == "live" and not live.challengers and live.previous == [old]
    step = life.promoted(before, new, "canary", 0.5)
    assert step.routes == before.routes and step.challengers[0].share == 0.5
    bad = msgspec.structs.replace(old, state="rolled_back")
    assert life.promoted(file(bad, challengers=[new]), new, "live", 1.0).previous == []


def test_what_somebody_else_has_changed_stays() -> None:
    one = route(state="shadow")
    closed = file(route(state="closed"))
    assert life.promoted(closed, one, "canary", 0.01) == closed == life.closed(closed, one)
    assert life.closed(file(one), one).routes[0].state == "closed"


def test_no_step_is_taken_while_too_many_comparisons_are_missed() -> None:
    """A specialist that is wrong where the LLM fails would look good on what is left."""
    clean = NONE
    for _ in range(300):
        clean = with_audit(clean, ".", CERTIFICATE)
    missed = msgspec.structs.replace(clean, n_due=100, n_missed=10)
    found = life.progress(route(state="shadow"), missed, SETTINGS)
    assert found is not None and found.gain >= found.wanted and not found.is_enough


def test_an_episode_that_began_in_shadow_does_not_carry_a_canary_on() -> None:
    evidence = NONE
    for k in range(200):
        evidence = with_audit(evidence, ".", CERTIFICATE, episode=f"e{k}", now_s=float(k))
    entered = life.entered_canary(evidence)
    assert entered.state is not None and len(entered.state.open) == 200, "against the route they go on"
    later = with_audit(entered, ".", CERTIFICATE, episode="new", now_s=1e6)
    found = life.progress(route(state="canary", share=0.01), later, SETTINGS)
    assert found is not None and found.gain == 1.0
