"""The route file after a run: what serves on, what challenges, and what begins again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.pipeline.test_earlier_routes import OLD, ROUTE

from deputize.core.earlier_route import EarlierRoute
from deputize.core.records import KeySpace, Route, RouteFile, RouteState
from deputize.core.text_measures import TextMeasure
from deputize.home import Home
from deputize.pipeline.publication import publish_routes, published
from deputize.routes_file import write_routes

NEW = replace(ROUTE, keys=["k2"], specialist="runs/0002/specialists/t-linear", state="closed")


def fresh(*routes: Route, run_id: str = "0002") -> RouteFile:
    return RouteFile(run_id=run_id, keyspaces=[KeySpace(signature="s", lines=["new"])], routes=list(routes))


def old(state: RouteState = "live", **more: Any) -> RouteFile:
    return replace(OLD, routes=[replace(ROUTE, state=state)], **more)


def kept(route: Route = ROUTE) -> list[EarlierRoute]:
    return [
        EarlierRoute(
            route_id=route.id,
            specialist=route.specialist,
            task_id="t",
            task_name="w",
            kept=True,
            reason="nothing",
        )
    ]


@pytest.mark.parametrize(("start", "share"), [("shadow", 1.0), ("canary", 0.01), ("live", 1.0)])
def test_a_first_route_begins_as_the_settings_say(start: Any, share: float) -> None:
    found = published(RouteFile(run_id=""), fresh(NEW), [], start=start)
    (route,) = found.routes
    assert not found.kept_keyspaces
    assert (route.state, route.share) == (start, share)


def test_a_new_specialist_challenges_the_one_that_serves() -> None:
    found = published(old(), fresh(replace(NEW, id="route-other", task_id="t")), [])
    assert found.routes == [replace(ROUTE, run_id="0001")], "it serves on"
    (challenger,) = found.challengers
    assert (challenger.state, challenger.specialist, challenger.id) == ("shadow", NEW.specialist, ROUTE.id)
    assert found.kept_keyspaces == {"0001": OLD.keyspaces} and found.keyspaces[0].lines == ["new"]
    # a run without a successor leaves both, under the key spaces of their runs
    third = published(found, fresh(run_id="0003"), kept())
    assert third.routes == found.routes and third.challengers == [replace(challenger, run_id="0002")]
    assert set(third.kept_keyspaces) == {"0001", "0002"}
    # a newer one takes the place of the challenger, not of the route
    newer = replace(NEW, specialist="runs/0003/specialists/t-linear")
    fourth = published(found, fresh(newer, run_id="0003"), [])
    assert fourth.routes == found.routes and [c.specialist for c in fourth.challengers] == [newer.specialist]


@pytest.mark.parametrize(
    ("was", "more", "state"),
    [
        ("rolled_back", {}, "shadow"),
        ("rolled_back", {"start": "live"}, "shadow"),
        ("closed", {}, "closed"),
        ("closed", {"start": "live"}, "closed"),
        ("shadow", {}, "shadow"),
        ("live", {"outdated": {ROUTE.id}}, "shadow"),
        ("live", {"start": "live"}, "live"),
    ],
)
def test_where_nothing_may_serve_next_to_it_the_new_one_is_the_route(
    was: RouteState, more: dict[str, Any], state: str
) -> None:
    found = published(old(was), fresh(NEW), [], **more)
    assert [(r.specialist, r.state) for r in found.routes] == [(NEW.specialist, state)]
    assert not found.challengers
    assert [r.specialist for r in found.previous] == ([ROUTE.specialist] if state == "live" else [])


def test_a_run_that_is_published_again_changes_no_state() -> None:
    for state in ("live", "shadow", "rolled_back", "closed"):
        again = replace(NEW, specialist=ROUTE.specialist)
        assert published(old(state), fresh(again), [], start="live").routes[0].state == state
    first = published(old(), fresh(NEW), [])
    canary = replace(first, challengers=[replace(first.challengers[0], state="canary", share=0.05)])
    second = published(canary, fresh(NEW), [])
    assert second.routes == canary.routes
    assert [(c.state, c.share) for c in second.challengers] == [("canary", 0.05)]


def test_answers_that_are_compared_otherwise_begin_again() -> None:
    contract = replace(ROUTE.contract, kind="text", measure=TextMeasure(name="words", level=0.6))
    again = replace(NEW, specialist=ROUTE.specialist, contract=contract)
    expected: dict[RouteState, RouteState] = {"live": "canary", "rolled_back": "shadow", "closed": "closed"}
    for state, begins in expected.items():
        found = published(old(state), fresh(again), [], start="canary")
        assert [r.state for r in found.routes] == [begins] and not found.challengers
        assert found.routes[0].contract == contract
    first = published(old(), fresh(NEW), [])
    canary = replace(first, challengers=[replace(first.challengers[0], state="canary", share=0.05)])
    second = published(canary, fresh(replace(NEW, contract=contract)), [])
    assert [(c.state, c.contract) for c in second.challengers] == [("shadow", contract)]


def test_kept_routes_stay_as_they_are_under_their_own_key_spaces() -> None:
    other = replace(ROUTE, id="route-n", task_id="n", keys=["n"], specialist="runs/0002/specialists/n")
    second = published(old("rolled_back"), fresh(other), kept(), start="live")
    shut = replace(ROUTE, state="rolled_back", run_id="0001")
    assert second.routes == [replace(other, state="live"), shut]
    assert second.kept_keyspaces == {"0001": OLD.keyspaces}
    # and once more: the run of its key spaces is still the first
    third = published(second, fresh(run_id="0003"), kept())
    assert third.routes == [shut] and set(third.kept_keyspaces) == {"0001"}
    # what was put in its place meanwhile is not overruled, and what is not kept is gone
    moved = replace(OLD, routes=[replace(ROUTE, specialist="another")])
    assert published(moved, fresh(), kept()).routes == []
    assert published(old(), fresh(), []).kept_keyspaces == {}


def test_the_version_before_stays_as_long_as_its_route() -> None:
    before = replace(ROUTE, specialist="runs/0000/specialists/t", run_id="0000")
    spaces = {"0000": OLD.keyspaces}
    found = published(old(previous=[before], kept_keyspaces=spaces), fresh(), kept())
    assert found.previous == [before] and set(found.kept_keyspaces) == {"0000", "0001"}
    assert published(old(previous=[before], kept_keyspaces=spaces), fresh(), []).previous == []


def test_what_is_published_is_noted_and_a_damaged_file_replaced(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.config_path.write_text('[routes]\nstart = "live"\n')
        write_routes(home.routes_path, replace(OLD, routes=[ROUTE]), home.routes_seal)
        gone = [replace(kept()[0], kept=False, reason="its task was hidden")]
        other = replace(NEW, id="route-n", task_id="n", keys=["n"])
        assert [r.state for r in publish_routes(home, fresh(other), gone).routes] == ["live"]
        home.routes_path.write_text("{")
        assert [r.state for r in publish_routes(home, fresh(NEW), []).routes] == ["shadow"]
        log = [
            (e.action, e.subject, e.detail.get("state", ""))
            for e in home.audit.entries()
            if e.action.startswith("route.")
        ]
    assert log == [
        ("route.publish", "route-n", "live"),
        ("route.close", "route-t", ""),
        ("route.publish", "route-t", "shadow"),
    ]
