"""What a person should look at now."""

from __future__ import annotations

from msgspec import structs
from tests.unit.dashboard.conftest import CERTIFICATE, NOW_S, route

from deputize.dashboard.alarms import alarms_of
from deputize.dashboard.call_index import Minute
from deputize.pipeline.readiness import Served

DAY_S = 86400.0


def certified(age_days: float, renew_after_days: float) -> object:
    return structs.replace(CERTIFICATE, created_s=NOW_S - age_days * DAY_S, renew_after_days=renew_after_days)


def test_a_home_in_order_has_none() -> None:
    healthy = [route("r1", certificate=certified(1, 90)), route("r2", state="closed")]
    hour = [Minute(n_specialist=100, n_failed=1)]
    assert alarms_of(healthy, [], {"r1": Served(n_calls=9, n_served=9, avoided_usd=1.0)}, hour, NOW_S) == []


def test_each_thing_that_is_wrong_is_named_with_its_route() -> None:
    routes = [
        route("old", certificate=certified(91, 90)),
        route("soon", certificate=certified(88, 90)),
        route("back", state="rolled_back"),
        route("dear"),
    ]
    month = {"dear": Served(n_calls=9, n_served=9, avoided_usd=1.0, audit_usd=1.5)}
    found = alarms_of(routes, ["r9 is not watched: no audits"], month, [Minute(n_llm=50, n_failed=10)], NOW_S)
    assert [a.route for a in found] == ["", "old", "soon", "back", "dear", ""]
    said = [a.sentence for a in found]
    assert (
        "has expired" in said[1] and "in 2 days" in said[2] and "0.5 USD" in said[4] and "10 of 50" in said[5]
    )


def test_a_route_and_its_challenger_say_the_same_once() -> None:
    one = route("soon", certificate=certified(88, 90))
    assert len(alarms_of([one, structs.replace(one, state="shadow")], [], {}, [], NOW_S)) == 1
