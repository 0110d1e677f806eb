"""Earlier routes: kept without evidence for a successor, closed by evidence against them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from deputize.core.artifacts import Discovered
from deputize.core.certification import DeltaSpending
from deputize.core.config import Convert
from deputize.core.earlier_route import EarlierRoute
from deputize.core.episode_bet import EpisodeBet
from deputize.core.judging import JudgeEvidence
from deputize.core.label_evidence import LabelEvidence
from deputize.core.records import (
    Call,
    Certificate,
    Contract,
    Decision,
    Field,
    KeySpace,
    PromptRecipe,
    Route,
    RouteFile,
    Task,
)
from deputize.core.task_results import CalibrationCall, EvaluationFacts, TaskResult
from deputize.core.text_measures import TextMeasure
from deputize.pipeline.earlier_routes import (
    CONTRADICTED,
    ServedEvidence,
    keep_or_close_routes,
    left_alone,
    others_of,
    routes_of,
    served_evidence,
)
from deputize.pipeline.publication import published
from deputize.stages.curate.traffic_sample import traffic_sample
from deputize.testing import call

CONTRACT = Contract(kind="label", labels=["rain", "sun"])
CERTIFICATE = Certificate(
    id="cert-1",
    kind="not_worse_than_llm",
    epsilon=0.05,
    delta=0.05,
    n_calibration=100,
    threshold=0.5,
    share_served=0.7,
    p_value=0.01,
    claim="It holds.",
    served_limit=0.15,
)
ROUTE = Route(
    id="route-t",
    task_id="t",
    task_name="weather",
    keys=["k"],
    contract=CONTRACT,
    specialist="runs/0001/specialists/t-linear",
    threshold=0.5,
    state="live",
    certificate=CERTIFICATE,
)
OLD = RouteFile(run_id="0001", keyspaces=[KeySpace(signature="s", lines=["old"])], routes=[ROUTE])
TASK = Task(id="t", name="weather", contract=CONTRACT, recipe=PromptRecipe(), keys=["k2"])
REFUSED = TaskResult(task_id="t", refusal_reason="Too few groups.")
CONFIG = Convert(epsilon=0.05)


def traffic(n_audits: int, n_wrong: int, n_left: int) -> list[Call]:
    """Calls of the route with audits of all that was served."""
    common = Decision(route_id="route-t", specialist=ROUTE.specialist, audit_share=1.0, confidence=0.9)
    audits = [
        call(
            f"c{i}-audit",
            decision=replace(common, reason="audit", shadow_agrees=i >= n_wrong, audit_of=f"c{i}"),
        )
        for i in range(n_audits)
    ]
    return [
        *audits,
        *(call(f"left{i}", decision=replace(common, reason="below_threshold")) for i in range(n_left)),
    ]


def settled(
    calls: list[Call],
    result: TaskResult = REFUSED,
    *,
    task: Task = TASK,
    route: Route = ROUTE,
    unusable: dict[str, str] | None = None,
    config: Convert = CONFIG,
    judge: str = "",
) -> tuple[TaskResult, list[EarlierRoute]]:
    found = Discovered(tasks=[task], keyspaces=[], assignment={})
    file = replace(OLD, routes=[route])
    evidence = served_evidence(calls, [route], traffic_sample(calls))
    (one,), earlier, _ = keep_or_close_routes([result], found, file, evidence, unusable or {}, config, judge)
    return one, earlier


def test_too_little_evidence_keeps_the_route() -> None:
    for calls in ([], traffic(20, 1, 10)):
        result, (earlier,) = settled(calls)
        assert result == REFUSED and earlier.kept and earlier.task_id == "t"
        assert "nothing speaks against it" in earlier.reason


def test_a_greater_loss_closes_it() -> None:
    result, (earlier,) = settled(traffic(60, 20, 30))
    assert result == REFUSED and not earlier.kept
    assert "20 of 90 sampled calls" in earlier.reason
    # the same differences among more calls that were left to the LLM are within the claim
    assert settled(traffic(60, 20, 600))[1][0].kept


def test_a_sound_route_whose_short_episodes_are_the_hard_ones_is_kept() -> None:
    """The claim is about calls: .048 of them differ, though half of the episodes, those of one call, lose .12."""
    p_values = []
    for seed in range(60):
        rng, evidence = np.random.default_rng(seed), ServedEvidence()
        for episode in range(600):
            size, rate = (1, 0.12) if episode % 2 else (9, 0.04)
            for k in range(size):
                one = call(f"{seed}-{episode}-{k}", episode=f"e{episode}")
                evidence.add(one, float(rng.random() < rate))
        p_values.append(evidence.p_sound(0.05))
    assert sum(p < CONTRADICTED for p in p_values) <= 3


@pytest.mark.parametrize(("kind", "kept"), [("not_worse_than_llm", False), ("not_worse_than_repeats", True)])
def test_second_answers_beside_a_challenger_excuse_only_a_claim_against_repeats(
    kind: str, kept: bool
) -> None:
    """The LLM was asked twice since a challenger is certified against repeats, and differed from itself each time."""
    twice = [
        replace(c, decision=replace(c.decision, repeat_agrees=False))
        if c.decision and c.decision.audit_of
        else c
        for c in traffic(60, 20, 30)
    ]
    route = replace(ROUTE, certificate=replace(CERTIFICATE, kind=kind))
    assert settled(twice, route=route)[1][0].kept == kept


def test_calls_of_another_specialist_or_beyond_the_sample_are_no_evidence() -> None:
    other = [
        replace(c, decision=replace(c.decision or Decision(), specialist="runs/0000/specialists/t"))
        for c in traffic(60, 60, 0)
    ]
    assert settled(other)[1][0].kept
    shadow = [
        replace(c, decision=replace(c.decision or Decision(), reason="shadow", audit_share=None))
        for c in traffic(0, 0, 600)
    ]
    assert not settled([*traffic(60, 20, 30), *shadow])[1][0].kept, "what it did not serve yet hides nothing"
    left = [
        replace(c, decision=replace(c.decision or Decision(), audit_share=0.02)) for c in traffic(0, 0, 2000)
    ]
    evidence = served_evidence(left, [ROUTE], traffic_sample(left))["route-t"]
    assert 20 <= len(evidence.since) <= 65


def test_changed_prompts_count_as_not_served_while_the_route_goes_on() -> None:
    """As in calibration. Those after its last call hide nothing of what it served."""
    calls = traffic(60, 20, 30)
    changed = replace(calls[-1].decision or Decision(), reason="prompt_changed", confidence=None)
    others = [call(f"new{i}", decision=changed) for i in range(600)]
    assert settled([calls[0], *others, *calls[1:]])[1][0].kept
    assert not settled([*calls, *others])[1][0].kept


def calibrated(
    ids: Iterable[str], n_wrong: int = 0, *, n_units: int | None = None, **more: Any
) -> TaskResult:
    """A certified result; of its units the first so many are wrong, and 300 older ones are right.

    Args:
        ids: of the recent calibration calls.
        n_wrong: of them.
        n_units: those of them that are independent; None: all.
        more: fields of the result.
    """
    outcomes = [
        CalibrationCall(
            call_id=id,
            served=True,
            right=at >= n_wrong,
            is_unit=n_units is None or at < n_units,
            confidence=0.9,
        )
        for at, id in enumerate(ids)
    ]
    outcomes += [
        CalibrationCall(call_id=f"old{i}", served=True, right=True, is_unit=True, confidence=0.9)
        for i in range(300)
    ]
    return TaskResult(task_id="t", certificate=CERTIFICATE, calibration=outcomes, **more)


def audits(n: int) -> list[str]:
    return [f"c{i}-audit" for i in range(n)]


def test_a_successor_needs_calls_from_after_the_change() -> None:
    refused, (earlier,) = settled(traffic(60, 20, 30), calibrated(audits(10)))
    assert refused.certificate is None and not earlier.kept
    assert (
        "of 10 independent calibration calls since then 0 would be served and wrong" in refused.refusal_reason
    )
    enough, none = settled(traffic(80, 20, 30), calibrated(audits(60)))
    assert enough.certificate == CERTIFICATE and not none
    assert settled(traffic(20, 1, 10), calibrated([])) == (calibrated([]), [])


def test_its_calls_are_counted_once_a_group_and_at_the_level_of_the_test() -> None:
    drifted, level = traffic(80, 20, 30), DeltaSpending(delta=0.05, test_level=0.04, n_groups=60)
    assert settled(drifted, calibrated(audits(70), n_units=70))[0].certificate
    assert settled(drifted, calibrated(audits(70), n_units=20))[0].certificate is None, "20 groups of calls"
    assert settled(drifted, calibrated(audits(70), delta_spending=level))[0].certificate
    spent = replace(level, test_level=0.008)  # which takes 95 calls without an error
    assert settled(drifted, calibrated(audits(70), delta_spending=spent))[0].certificate is None
    five_at_once = replace(CERTIFICATE, test_level=0.008, n_together=5)
    among_five = replace(calibrated(audits(70), delta_spending=level), certificate=five_at_once)
    assert settled(drifted, among_five)[0].certificate is None, "its part of the level, not that of all tasks"


def test_a_judged_route_is_kept_while_the_same_model_judges() -> None:
    judged = replace(ROUTE, certificate=replace(CERTIFICATE, judge=JudgeEvidence(model="j")))
    assert settled([], route=judged, judge="j")[1][0].kept
    _, (other,) = settled([], route=judged, judge="k")
    assert not other.kept and "judge j, and the judge is k now" in other.reason


def test_whole_episodes_are_tested_whole_again() -> None:
    """70 recent calls are 70 episodes' evidence where each has one, and that of 14 where it has five."""
    drifted = traffic(80, 20, 30)

    def of(size: int) -> TaskResult:
        bet = EpisodeBet(stake=0.97, start=0.9, largest=size)
        made = calibrated(audits(70))
        calls = [replace(one, episode=at // size) for at, one in enumerate(made.calibration)]
        return replace(made, certificate=replace(CERTIFICATE, episodes=bet), calibration=calls)

    assert settled(drifted, of(1))[0].certificate
    assert settled(drifted, of(5))[0].certificate is None


def test_it_is_held_to_what_is_claimed_of_the_served_calls_and_to_what_was_not_read() -> None:
    calls = traffic(80, 45, 400)
    left = [
        CalibrationCall(call_id=f"left{i}", served=False, right=True, is_unit=True, confidence=0.1)
        for i in range(400)
    ]
    result = calibrated(audits(40), 3)
    result = replace(result, calibration=[*result.calibration, *left])
    assert settled(calls, result)[0].certificate is None, (
        "3 of 40 may be wrong in more than 15 %, though not in 5 % of all"
    )
    result = calibrated(audits(60), evaluation=EvaluationFacts(n_calibration_not_evaluated=5))
    assert settled(traffic(80, 20, 30), result)[0].certificate is None


def test_calls_that_came_while_the_route_was_closed_are_from_after_the_change() -> None:
    closed = Decision(route_id="route-t", reason="rolled_back")
    calls = traffic(60, 20, 30) + [call(f"later{i}", decision=closed) for i in range(80)]
    later = [f"later{i}" for i in range(80)]
    assert settled(calls, calibrated(later))[0].certificate
    assert settled([*calls[90:], *calls[:90]], calibrated(later))[0].certificate is None, "before it served"


def test_a_claim_that_holds_with_those_of_other_tasks_is_kept_under_either_scope() -> None:
    together = replace(ROUTE, certificate=replace(CERTIFICATE, n_together=3))
    for scope in ("per-route", "all-routes"):
        _, (earlier,) = settled([], config=Convert(scope=scope), route=together)
        assert earlier.kept


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"unusable": {"route-t": "12 calls were erased"}}, "12 calls were erased"),
        ({"config": Convert(epsilon=0.01)}, "less strict"),
        ({"config": Convert(epsilon=0.05, served_limit=0.06)}, "at most 0.06 of the served"),
        ({"config": Convert(scope="all-routes")}, "not at once with those of the other tasks"),
        (
            {
                "config": Convert(reference="labels"),
                "route": replace(
                    ROUTE,
                    certificate=replace(
                        CERTIFICATE, labels=LabelEvidence(n_labelled=30, n_served=30, at_random=True)
                    ),
                ),
            },
            "drawn at random",
        ),
        (
            {"route": replace(ROUTE, certificate=replace(CERTIFICATE, judge=JudgeEvidence(model="j")))},
            "of the judge j, and no judge is set now",
        ),
        ({"task": replace(TASK, hidden=True)}, "hidden"),
        ({"route": replace(ROUTE, certificate=None)}, "no certificate"),
        (
            {
                "task": replace(
                    TASK, contract=Contract(kind="json", fields=[Field(name="a", type="value", by_hand=True)])
                ),
                "route": replace(
                    ROUTE, contract=Contract(kind="json", fields=[Field(name="a", type="free")])
                ),
            },
            "by hand",
        ),
        (
            {
                "task": replace(
                    TASK, contract=Contract(kind="text", measure=TextMeasure(name="words", level=0.9))
                ),
                "route": replace(
                    ROUTE, contract=Contract(kind="text", measure=TextMeasure(name="words", level=0.7))
                ),
            },
            "by hand",
        ),
    ],
)
def test_what_else_ends_a_route(given: dict[str, Any], why: str) -> None:
    _, (earlier,) = settled([], **given)
    assert not earlier.kept and why in earlier.reason


def test_a_route_whose_task_is_not_found_is_kept() -> None:
    """A run over the calls of some agents says nothing of the others."""
    _, (earlier,) = settled([], task=replace(TASK, id="other"))
    assert earlier.kept and earlier.task_id == ""


def test_a_run_of_one_tenant_leaves_the_routes_of_others_and_closes_shared_ones() -> None:
    routes = {
        tenant: replace(ROUTE, id=f"route-{tenant}", task_id=tenant, keys=[tenant], tenant=tenant)
        for tenant in ("alpha", "beta", "*")
    }
    old = replace(OLD, routes=list(routes.values()))
    assert routes_of(old, "alpha").routes == [routes["alpha"]] and routes_of(old, "*") == old
    others, gone = others_of(old, "alpha", shared_stay=False)
    assert (others, gone) == ([routes["beta"]], [routes["*"]])
    assert others_of(old, "alpha", shared_stay=True) == ([routes["beta"], routes["*"]], [])
    new = published(old, RouteFile(run_id="0002"), [left_alone(one) for one in others])
    assert new.routes == [replace(routes["beta"], run_id="0001")]
    assert new.kept_keyspaces == {"0001": OLD.keyspaces}
