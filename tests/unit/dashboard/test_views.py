"""What pages show; most of it is seen in test_pages."""

from __future__ import annotations

import calendar

import pytest
from tests.unit.dashboard.conftest import Desk, route

from deputize.dashboard.views import NotThere, Views, find_route, first_day_of_month
from deputize.routes_file import read_routes


def test_the_steps_of_a_route(desk: Desk) -> None:
    views = Views(desk.home, desk.reader)
    whole = ["shadow", "canary 1 %", "canary 5 %", "canary 25 %", "live"]
    assert views.steps(route("a", state="shadow")) == [("shadow", "now"), *((n, "") for n in whole[1:])]
    assert [w for _, w in views.steps(route("a", state="canary", share=0.05))] == [
        "past",
        "past",
        "now",
        "",
        "",
    ]
    assert [w for _, w in views.steps(route("a", state="canary", share=0.01))] == ["past", "now", "", "", ""]
    assert [w for _, w in views.steps(route("a", state="canary", share=0.25))] == [
        "past",
        "past",
        "past",
        "now",
        "",
    ]
    assert [w for _, w in views.steps(route("a"))] == ["past"] * 4 + ["now"]
    assert views.steps(route("a", state="rolled_back"))[0] == ("rolled back", "now")


def test_a_month_begins_on_its_first_day() -> None:
    at = calendar.timegm((2026, 11, 29, 12, 0, 0))
    assert first_day_of_month(at) * 86400 == calendar.timegm((2026, 11, 1, 0, 0, 0))


def test_a_damaged_route_file_is_an_alarm_and_the_rest_of_the_page_stands(desk: Desk) -> None:
    views = Views(desk.home, desk.reader)
    path = desk.home.routes_path
    path.write_bytes(path.read_bytes().replace(b'"live"', b'"shadow"'))
    now = views.now("")
    assert not now["routes"] and "checksum" in now["alarms"][0].sentence and now["month"].n_calls == 6


def test_damaged_evidence_is_an_alarm_and_a_route_can_be_closed_all_the_same(desk: Desk) -> None:
    views = Views(desk.home, desk.reader)
    (desk.home.path / "audit_evidence.json").write_bytes(b"{")
    now = views.now("")
    assert len(now["routes"]) == 4 and "audit_evidence.json" in now["alarms"][0].sentence
    shown = views.route("r1", "", with_history=True)
    assert shown["versions"][0]["n_compared"] == 0 and "audit_evidence.json" in shown["notes"][0]


def test_a_route_by_its_id(desk: Desk) -> None:
    file = read_routes(desk.home.routes_path)
    assert find_route(file, "r2", challenger=True).state == "shadow"
    with pytest.raises(NotThere):
        find_route(file, "r1", challenger=True)


def test_an_audit_whose_calls_are_gone_is_not_there(desk: Desk) -> None:
    views = Views(desk.home, desk.reader)
    desk.home.store.erase_calls(["s0"], tenant="default")
    with pytest.raises(NotThere, match="cannot be read"):
        views.audit("s0-audit", "")
    with pytest.raises(NotThere):
        views.audit("other-audit", "default")
