"""Earlier routes: kept without evidence for a successor, closed by evidence against them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from deputize.core.artifacts import CallOutcome, Discovered, TaskResult
from deputize.core.config import Convert
from deputize.core.earlier_route import EarlierRoute
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
from deputize.pipeline.earlier_routes import (
    keep_or_close_routes,
    left_alone,
    others_of,
    routes_of,
    served_evidence,
)
from deputize.pipeline.publication import published
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
) -> tuple[TaskResult, list[EarlierRoute]]:
    found = Discovered(tasks=[task], keyspaces=[], assignment={})
    file = replace(OLD, routes=[route])
    (one,), earlier, _ = keep_or_close_routes(
        [result], found, file, served_evidence(calls, [route]), unusable or {}, config
    )
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
    evidence = served_evidence(left, [ROUTE])["route-t"]
    assert 20 <= len(evidence.call_ids) <= 65


def test_a_successor_needs_calls_from_after_the_change() -> None:
    def with_calibration(n_recent: int) -> TaskResult:
        outcomes = [CallOutcome(call_id=f"c{i}-audit", served=True, right=True) for i in range(n_recent)]
        outcomes += [CallOutcome(call_id=f"old{i}", served=True, right=True) for i in range(300)]
        return TaskResult(task_id="t", certificate=CERTIFICATE, calibration=outcomes)

    drifted = traffic(60, 20, 30)
    refused, (earlier,) = settled(drifted, with_calibration(10))
    assert refused.certificate is None and not earlier.kept
    assert "of 10 calibration calls since then 0 would be served and wrong" in refused.refusal_reason
    enough, none = settled(traffic(80, 20, 30), with_calibration(60))
    assert enough.certificate == CERTIFICATE and not none
    assert settled(traffic(20, 1, 10), with_calibration(0)) == (with_calibration(0), [])


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"unusable": {"route-t": "12 calls were erased"}}, "12 calls were erased"),
        ({"config": Convert(epsilon=0.01)}, "less strict"),
        ({"config": Convert(epsilon=0.05, served_limit=0.06)}, "at most 0.06 of the served"),
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
