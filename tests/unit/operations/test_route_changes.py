"""Changes of routes by hand; the commands over them are in tests of `route`."""

from __future__ import annotations

import pytest
from tests.unit.dashboard.conftest import Desk, route

from deputize.core.errors import UsageError
from deputize.operations.route_changes import close_route, promote_route, restore_previous, roll_back_route
from deputize.routes_file import read_routes
from deputize.store.access.audit_log import acts_as


def test_a_route_that_changed_meanwhile_is_left_alone(desk: Desk) -> None:
    before = read_routes(desk.home.routes_path).routes[0]
    roll_back_route(desk.home, before, "wrong answers")
    with pytest.raises(UsageError, match="changed at this moment"):
        close_route(desk.home, before, "too late")
    assert read_routes(desk.home.routes_path).routes[0].state == "rolled_back"


def test_who_did_it_and_why_is_noted_first(desk: Desk) -> None:
    before = next(r for r in read_routes(desk.home.routes_path).routes if r.id == "r3")
    with acts_as("ab12"):
        assert promote_route(desk.home, before, "live", "it is good").state == "live"
    entry = next(e for e in desk.home.audit.entries() if e.action == "route.promote")
    assert (entry.actor, entry.tenant, entry.detail["reason"]) == ("ab12", "acme", "it is good")


def test_without_an_earlier_version_there_is_none_to_go_back_to(desk: Desk) -> None:
    file = read_routes(desk.home.routes_path)
    with pytest.raises(UsageError, match="no earlier version"):
        restore_previous(desk.home, file, file.routes[0])
    with pytest.raises(UsageError, match="no certificate"):
        promote_route(desk.home, route("bare", certificate=None, state="closed"))
