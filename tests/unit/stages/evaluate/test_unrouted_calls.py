"""Calls without a route, in a task whose route serves others: as many of them as of these."""

from __future__ import annotations

import pytest

from deputize.core.decision_reason import NOT_SERVING
from deputize.core.records import Call, Decision
from deputize.stages.evaluate.unrouted_calls import UnroutedCalls
from deputize.testing import call

UNROUTED = Decision(reason="no_route")


def routed(share: float | None = 0.1, reason: str = "below_threshold", route: str = "r") -> Decision:
    return Decision(reason=reason, route_id=route, audit_share=share)


def beyond(calls: list[tuple[Call, str]]) -> frozenset[str]:
    """Ids of the calls that are left out, of a log of calls and their tasks ("": of none)."""
    found = UnroutedCalls()
    for one, task_id in calls:
        found.see(one)
        if task_id:
            found.belongs(one, task_id)
    return found.beyond()


def mixed(decision: Decision, n: int = 1000) -> list[tuple[Call, str]]:
    """Calls of one task, in turn without a route and with a decision."""
    return [(call(f"c{i}", decision=decision if i % 2 else UNROUTED), "t") for i in range(2 * n)]


@pytest.mark.parametrize(
    ("decision", "share"),
    [
        (routed(0.1), 0.1),
        (routed(0.5), 0.5),
        (routed(None), 0.0),
        *((routed(0.1, reason), 1.0) for reason in NOT_SERVING),
        (routed(None, "override"), 1.0),
        (routed(0.1, "prompt_changed"), 1.0),
        (UNROUTED, 1.0),
    ],
)
def test_they_are_drawn_by_the_share_of_the_others(decision: Decision, share: float) -> None:
    left_out = beyond(mixed(decision))
    assert 1 - sum(f"c{i}" in left_out for i in range(2, 2000, 2)) / 999 == pytest.approx(share, abs=0.05)
    assert not [id for id in left_out if int(id[1:]) % 2], "the others have been drawn already"


def test_all_stay_before_the_route_and_after_its_last_call() -> None:
    before = [(call(f"b{i}", decision=UNROUTED), "t") for i in range(500)]
    after = [(call(f"a{i}", decision=UNROUTED), "t") for i in range(500)]
    left_out = beyond([*before, *mixed(routed(0.1)), *after])
    assert len(left_out) == pytest.approx(900, abs=30) and {id[0] for id in left_out} == {"c"}
    again = beyond([*before, *mixed(routed(0.1)), *after, (call("end", decision=routed(0.1)), "t")])
    assert {id[0] for id in again} == {"a", "c"}


def test_calls_of_another_task_and_without_a_decision_stay() -> None:
    assert not beyond([(one, "t" if one.decision != UNROUTED else "other") for one, _ in mixed(routed(0.1))])
    imported = [(call(f"i{i}"), "t") for i in range(100)]
    assert not beyond([*mixed(routed(1.0), 1), *imported, *mixed(routed(1.0), 1)])


def test_calls_that_are_not_in_the_population_tell_of_the_share_too() -> None:
    """What was left to the LLM and not drawn belongs to no task here; one call says whose route it is."""
    calls = mixed(routed(0.1))
    calls = [(one, "" if one.decision != UNROUTED and one.id != "c1" else task) for one, task in calls]
    assert len(beyond(calls)) == pytest.approx(900, abs=30)
