"""Routes are named whose certificate has outlived its days or its calls; closed ones are not."""

from __future__ import annotations

from typing import Any

from tests.unit.core.test_certificate_age import certificate

from deputize.core.certificate_age import DAY_S
from deputize.core.records import Contract, Decision, Route
from deputize.stages.refine.certificate_renewal import to_renew
from deputize.stages.refine.decisions import WatchedCall

MADE_S = 1e9


def route(id: str, **given: Any) -> Route:
    return Route(
        id=id,
        task_id=id,
        task_name=f"task {id}",
        keys=[id],
        contract=Contract(kind="label", labels=["a"]),
        specialist="runs/x",
        threshold=0.9,
        **{
            "state": "live",
            "certificate": certificate(created_s=MADE_S, renew_after_days=90.0, renew_after_calls=3),
            **given,
        },
    )


def calls(route_id: str, n: int, at_s: float, **given: Any) -> list[WatchedCall]:
    return [WatchedCall(episode="e", decision=Decision(route_id=route_id, **given), at_s=at_s)] * n


def test_days() -> None:
    routes = [route("r1"), route("r2", state="closed"), route("r3", certificate=None)]
    assert to_renew([], routes, MADE_S + 90 * DAY_S) == []
    assert to_renew([], routes, MADE_S + 91 * DAY_S) == [
        "r1 (task r1): its certificate is 91 days old and held for 90"
    ]


def test_calls_that_came_since_it_was_made_count_whoever_answered_them() -> None:
    now, later = MADE_S + DAY_S, MADE_S + 10
    before = calls("r1", 5, MADE_S - 1) + calls("other", 9, later) + calls("r1", 9, later, audit_of="c1")
    some = before + calls("r1", 2, later, served_by="slm") + calls("r1", 1, later)
    assert to_renew(some, [route("r1")], now) == []
    (said,) = to_renew(some + calls("r1", 1, later), [route("r1")], now)
    assert said == "r1 (task r1): its certificate was made 4 calls ago and held for 3"
