"""When to convert again and when to roll back: decided from what was recorded, with a reason that names the numbers."""

from __future__ import annotations

import dataclasses
import random
from typing import Any

import msgspec

from deputize.core.records import Certificate, Contract, Decision, Outcome, Route
from deputize.stages.refine import decisions as w
from deputize.stages.refine.route_evidence import RouteEvidence, with_audit
from deputize.testing import call

CERTIFICATE = Certificate(
    id="c1",
    kind="not_worse_than_llm",
    epsilon=0.04,
    delta=0.05,
    n_calibration=100,
    threshold=0.9,
    share_served=0.8,
    p_value=0.01,
    claim="as said",
)
ROUTE = Route(
    id="r1",
    task_id="t1",
    task_name="colours",
    keys=["k"],
    contract=Contract(kind="label", labels=["a"]),
    specialist="runs/x",
    threshold=0.9,
    certificate=CERTIFICATE,
    state="live",
)


def route(**fields: Any) -> Route:
    return msgspec.structs.replace(ROUTE, **fields)


def audited(
    agrees: bool | None, *, success: bool | None = None, at_s: float = 0.0, **fields: Any
) -> w.WatchedCall:
    given = {"served_by": "slm", "route_id": "r1", "specialist": "runs/x", "confidence": 0.95, **fields}
    return w.WatchedCall("", Decision(shadow_agrees=agrees, **given), at_s=at_s, success=success)


def series(rate: float, n: int, seed: int) -> list[w.WatchedCall]:
    rng = random.Random(seed)
    return [audited(rng.random() >= rate) for _ in range(n)]


def test_a_watched_call_holds_no_text() -> None:
    decision = Decision(
        served_by="slm", route_id="r1", specialist="runs/x", confidence=0.5, shadow_agrees=True
    )
    made = call(
        "1",
        "secret",
        "secret",
        episode="e1",
        timestamp=3.0,
        outcome=Outcome(success=False),
        decision=decision,
    )
    kept = w.watched_call(made)
    assert kept == w.WatchedCall(episode="e1", decision=decision, at_s=3.0, success=False)
    assert "secret" not in repr(kept)
    assert w.watched_call(call("2")) == w.WatchedCall(episode="2")


def test_a_bad_route_is_rolled_back_and_a_good_one_is_not() -> None:
    bad = [w.audits(series(0.3, 300, seed), ROUTE) for seed in range(40)]
    assert all(h is not None and h.verdict == "roll back" for h in bad)
    assert max(h.n for h in bad if h) < 120
    good = [w.audits(series(0.05, 300, seed), ROUTE) for seed in range(40)]
    assert sum(h is not None and h.verdict == "roll back" for h in good) <= 2


def test_evidence_that_was_enough_once_stays_enough() -> None:
    found = w.audits([*series(0.5, 60, 1), *series(0.0, 2000, 1)], ROUTE)
    assert found is not None and found.verdict == "roll back" and found.n < 60
    assert "of" in found.sentence() and "5 % allowed" in found.sentence()


def test_outcomes_are_judged_against_what_the_llm_does_alone() -> None:
    alone = [w.WatchedCall(episode=f"a{i}", success=i % 10 != 0) for i in range(200)]
    served = [audited(None, success=i % 2 == 0) for i in range(100)]
    served = [dataclasses.replace(n, episode=f"s{i}") for i, n in enumerate(served)]
    found = w.episode_outcomes([*alone, *served], ROUTE)
    assert found is not None and found.verdict == "roll back" and found.seen_in == "outcomes"
    assert 0.14 < found.allowed < 0.2
    assert w.episode_outcomes([*alone[:20], *served], ROUTE) is None
    well = [dataclasses.replace(n, success=True) for n in served]
    fine = w.episode_outcomes([*alone, *well], ROUTE)
    assert fine is not None and fine.verdict != "roll back"


def test_enough_new_calls() -> None:
    wait = w.decide([], [ROUTE], n_new=99, min_new=100)
    assert (
        not wait.convert and wait.reason == "99 new calls answered by the LLM since the last run, 100 wanted"
    )
    assert w.decide([], [ROUTE], n_new=100, min_new=100).convert
    assert not w.decide([], [], n_new=0, min_new=1).convert


def test_an_alarm_rolls_back_and_asks_for_a_run_where_there_is_something_new() -> None:
    notes = series(0.4, 200, 3)
    both = w.decide(notes, [ROUTE], n_new=1, min_new=100)
    assert both.convert and [h.route_id for h in both.roll_back] == ["r1"] and both.answers == ("c1",)
    assert both.reason.startswith("alarm: r1 (colours):")
    only = w.decide(notes, [ROUTE], n_new=0, min_new=100)
    assert not only.convert and only.roll_back and "without a new call" in only.reason
    again = w.decide(notes, [ROUTE], n_new=1, min_new=100, answered=frozenset({"c1"}))
    assert not again.convert and again.roll_back
    for state in ("closed", "rolled_back"):
        assert not w.decide(notes, [route(state=state)], n_new=1, min_new=100).roll_back


def test_failed_episodes_ask_for_a_run_but_roll_nothing_back() -> None:
    alone = [w.WatchedCall(episode=f"a{i}", success=True) for i in range(60)]
    served = [
        w.WatchedCall(f"s{i}", Decision(served_by="slm", route_id="r1", specialist="runs/x"), success=False)
        for i in range(60)
    ]
    found = w.decide([*alone, *served], [ROUTE], n_new=3, min_new=100)
    assert found.convert and found.roll_back == () and "episodes with outcomes failed" in found.reason


def test_a_stopped_run_goes_on() -> None:
    assert (
        w.decide([], [], n_new=0, min_new=10, unfinished="0003-ab").reason
        == "run 0003-ab was stopped and goes on"
    )


def test_what_the_gateway_counted_is_not_counted_again() -> None:
    """The store holds the same audits as the gateway's evidence; half of them would not be enough for a rollback."""
    few = [audited(False)] * 3 + [audited(True)] * 10
    counted = RouteEvidence(route_id="r1", specialist="runs/x")
    for _ in range(60):
        counted = with_audit(counted, ".", CERTIFICATE)
    key = ("r1", "runs/x")
    found = w.decide(few, [ROUTE], n_new=0, min_new=10, evidence={key: counted})
    assert not found.roll_back and found.reason.endswith("1 audited routes keep what they promise")
    for _ in range(60):
        counted = with_audit(counted, "s", CERTIFICATE)
    found = w.decide([], [ROUTE], n_new=0, min_new=10, evidence={key: counted})
    assert [(h.n, h.n_bad) for h in found.roll_back] == [(120, 60)]


def test_a_route_that_was_promoted_again_begins_again() -> None:
    bad = [dataclasses.replace(one, at_s=10.0) for one in series(0.5, 100, 1)]
    since = RouteEvidence(route_id="r1", specialist="runs/x", since_s=20.0)
    assert w.decide(bad, [ROUTE], n_new=0, min_new=10).roll_back
    assert not w.decide(bad, [ROUTE], n_new=0, min_new=10, evidence={("r1", "runs/x"): since}).roll_back


def test_evidence_survives_a_new_certificate_of_the_same_specialist() -> None:
    newer = route(certificate=msgspec.structs.replace(CERTIFICATE, id="c2"))
    half = series(0.4, 200, 3)
    assert w.decide(half, [newer], n_new=0, min_new=10).roll_back
    assert not w.decide(half, [route(specialist="runs/y")], n_new=0, min_new=10).roll_back
