"""Rows of routes, for one tenant or all; the commands over them are in tests of `route`."""

from __future__ import annotations

from tests.unit.dashboard.conftest import Desk, route

from deputize.operations.route_changes import close_route
from deputize.operations.route_rows import explanation, route_history, routes_of, state_words, version_rows


def test_a_tenant_sees_its_own_routes(desk: Desk) -> None:
    assert [r.id for r in routes_of(desk.home).routes] == ["r1", "r2", "r3"]
    mine = routes_of(desk.home, "acme")
    assert [r.id for r in mine.routes] == ["r3"] and not mine.challengers


def test_versions_of_a_route_with_their_next_step(desk: Desk) -> None:
    rows, notes = version_rows(desk.home, routes_of(desk.home), "r2")
    assert [(r["role"], r["state"], r["next"]["to"]) for r in rows] == [
        ("route", "canary", "canary"),
        ("challenger", "shadow", "canary"),
    ]
    assert not notes


def test_states_and_history(desk: Desk) -> None:
    assert state_words(route("a", state="canary", share=0.25)) == "canary, 25 % of its calls"
    assert state_words(route("a")) == "live"
    close_route(desk.home, routes_of(desk.home).routes[0], "enough")
    (entry,) = route_history(desk.home, "r1")
    assert entry["action"] == "route.close" and "reason enough" in entry["detail"]


def test_an_audit_is_part_of_the_explanation(desk: Desk) -> None:
    call, audit = desk.home.store.get(["s0", "s0-audit"])
    assert call is not None
    decision, lines = explanation(desk.home, call, audit)
    assert (
        decision is not None
        and decision.route_id == "r1"
        and lines[-1] == "It was audited: the LLM's answer differed."
    )
    assert "audited" not in explanation(desk.home, call, None)[1][-1]
