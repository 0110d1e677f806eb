"""Promotion in the gateway: the entry, the evidence, the file, in this order; and what a killed process leaves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.unit.gateway.stubs import live_route

from deputize.core.config import RouteSettings
from deputize.core.records import KeySpace, Route, RouteFile
from deputize.core.shadow_plan import ShadowPlan
from deputize.gateway.evidence_file import forget_evidence, read_evidence
from deputize.gateway.metrics import Metrics
from deputize.gateway.promotion import step_routes
from deputize.gateway.rollback import DueAudit, RouteMonitor
from deputize.routes_file import read_routes, write_routes
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing

LIFE = RouteSettings()
STEPS = [("canary", 0.01), ("canary", 0.05), ("canary", 0.25), ("live", 1.0)]


@pytest.fixture
def audit(tmp_path: Path) -> AuditLog:
    return AuditLog(tmp_path, KeyRing.open(tmp_path))


def publish(home: Path, *routes: Route, challengers: tuple[Route, ...] = ()) -> None:
    file = RouteFile(
        run_id="1", keyspaces=[KeySpace(signature="s")], routes=list(routes), challengers=list(challengers)
    )
    write_routes(home / "routes.json", file)


def monitor(home: Path, audit: Any, **more: Any) -> RouteMonitor:
    return RouteMonitor(
        home, audit, Metrics(), seal=None, evidence_seal=None, **{"audit_share": 0.02, **more}
    )


async def observe(one: RouteMonitor, results: str, route: Route, **more: Any) -> None:
    for result in results:
        await one.observe(DueAudit(route=route, result=result, **more))  # type: ignore[arg-type]


def now(home: Path) -> Route:
    return read_routes(home / "routes.json").routes[0]


def steps(audit: AuditLog) -> list[tuple[str, float]]:
    return [
        (e.detail["state"], float(e.detail["share"])) for e in audit.entries() if e.action == "route.promote"
    ]


async def test_a_good_route_takes_every_step_with_its_evidence(tmp_path: Path, audit: AuditLog) -> None:
    publish(tmp_path, live_route(state="shadow"))
    changed = 0

    def on_change() -> None:
        nonlocal changed
        changed += 1

    one = monitor(tmp_path, audit, on_change=on_change)
    n = 0
    while now(tmp_path).state != "live":
        await observe(one, ".", now(tmp_path))
        n += 1
        assert n < 1000
    assert steps(audit) == STEPS and changed == 4
    first = next(e for e in audit.entries() if e.action == "route.promote")
    assert (first.actor, first.subject, first.detail["before"]) == ("gateway", "r", "shadow 1")
    assert first.detail["because"] == "its calls in shadow" and float(first.detail["e_value"]) >= 20
    last = [e for e in audit.entries() if e.action == "route.promote"][-1]
    assert int(last.detail["compared"]) < n, "what came before the canary does not carry it on"
    await observe(one, "s" * 20, now(tmp_path))
    assert now(tmp_path).state == "rolled_back", "and it is closed by itself"


async def test_a_specialist_that_differs_in_shadow_is_refused(tmp_path: Path, audit: AuditLog) -> None:
    publish(tmp_path, live_route(state="shadow"))
    await observe(monitor(tmp_path, audit), "s" * 20, live_route(state="shadow"))
    assert now(tmp_path).state == "rolled_back" and not steps(audit)
    (entry,) = [e for e in audit.entries() if e.action == "route.rollback"]
    assert entry.detail["because"] == "its calls in shadow"


async def test_a_challenger_is_refused_while_its_route_serves(tmp_path: Path, audit: AuditLog) -> None:
    new = live_route(specialist="new", state="shadow", run_id="1")
    publish(tmp_path, live_route(), challengers=(new,))
    await observe(monitor(tmp_path, audit), "s" * 20, new)
    file = read_routes(tmp_path / "routes.json")
    assert file.routes[0].state == "live" and file.challengers[0].state == "rolled_back"


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("at", ["audit log", "evidence", "route file"])
async def test_a_process_that_is_killed_at_a_step_neither_loses_it_nor_takes_two(
    tmp_path: Path, audit: AuditLog, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shadow = live_route(state="shadow")
    publish(tmp_path, shadow)

    def killed(*_: Any, **__: Any) -> Any:
        raise Killed

    with monkeypatch.context() as patch:
        if at == "audit log":
            patch.setattr(audit, "append", killed)
        else:
            name = {"evidence": "write_evidence", "route file": "update_routes"}[at]
            patch.setattr(f"deputize.gateway.promotion.{name}", killed)
        with pytest.raises(Killed):
            await observe(monitor(tmp_path, audit), "." * 1000, shadow)
    assert now(tmp_path).state == "shadow"
    await monitor(tmp_path, audit).check_routes()
    assert (now(tmp_path).state, now(tmp_path).share) == ("canary", 0.01)
    evidence = read_evidence(tmp_path, None)[("r", "s")]
    assert evidence.canary is not None and evidence.state is not None
    assert evidence.canary.n_audits == evidence.state.n_audits, "the canary counts from here"
    await monitor(tmp_path, audit).check_routes()
    assert now(tmp_path).share == 0.01, "nothing was compared since"


async def test_calls_of_one_episode_are_one_piece_of_evidence(tmp_path: Path, audit: AuditLog) -> None:
    publish(tmp_path, live_route(state="shadow"))
    one = monitor(tmp_path, audit, episode_key=b"k" * 32)
    await observe(one, "." * 400, live_route(state="shadow"), episode="one and the same")
    assert now(tmp_path).state == "shadow"
    text = (tmp_path / "audit_evidence.json").read_text()
    state = read_evidence(tmp_path, None)[("r", "s")].state
    assert "same" not in text and state is not None and len(state.open) == 1


async def test_an_episode_counts_for_a_promotion_once_it_has_ended(tmp_path: Path, audit: AuditLog) -> None:
    shadow = live_route(state="shadow")
    publish(tmp_path, shadow)
    now_s = 0.0
    one = monitor(tmp_path, audit, clock=lambda: now_s)
    for k in range(250):
        await observe(one, ".", shadow, episode=f"e{k}")
    assert now(tmp_path).state == "shadow", "all of them go on"
    now_s = LIFE.episode_ends_after_s
    await observe(one, ".", shadow, episode="new")
    assert now(tmp_path).state == "canary"


def test_a_comparison_that_is_over_closes_its_route(tmp_path: Path, audit: AuditLog) -> None:
    publish(tmp_path, live_route(state="shadow", shadow=ShadowPlan(until_s=10.0)))
    assert step_routes(tmp_path, audit, LIFE, now_s=10.0, seal=None, evidence_seal=None) == []
    assert (
        step_routes(tmp_path, audit, LIFE, now_s=11.0, seal=None, evidence_seal=None)
        and now(tmp_path).state == "closed"
    )
    (entry,) = [e for e in audit.entries() if e.action == "route.close"]
    assert entry.detail["because"] == "its time is over"


async def test_a_spent_budget_ends_a_comparison(tmp_path: Path, audit: AuditLog) -> None:
    route = live_route(state="shadow", shadow=ShadowPlan(budget_usd=0.1))
    publish(tmp_path, route)
    await observe(monitor(tmp_path, audit), "...", route, usd=0.04)
    assert now(tmp_path).state == "closed"
    assert read_evidence(tmp_path, None)[("r", "s")].spent_usd == pytest.approx(0.12)


async def test_what_a_person_has_only_compared_is_not_promoted(tmp_path: Path, audit: AuditLog) -> None:
    route = live_route(state="shadow", shadow=ShadowPlan(only_compare=True))
    publish(tmp_path, route)
    await observe(monitor(tmp_path, audit), "." * 300, route)
    assert now(tmp_path) == route


def test_nothing_is_promoted_without_evidence_or_with_an_alarm(tmp_path: Path, audit: AuditLog) -> None:
    publish(
        tmp_path,
        live_route(state="shadow"),
    )
    assert step_routes(tmp_path, audit, LIFE, now_s=0.0, seal=None, evidence_seal=None) == []
    forget_evidence(tmp_path, live_route(), None, at_s=0.0)
    evidence = replace(read_evidence(tmp_path, None)[("r", "s")], alarm=True)
    assert (
        evidence.alarm and step_routes(tmp_path, audit, LIFE, now_s=0.0, seal=None, evidence_seal=None) == []
    )


async def test_an_episode_that_is_compared_now_and_then_ends_later(tmp_path: Path, audit: AuditLog) -> None:
    """At an audit share of .1 ten calls come between two audits: it may be silent for twice as long."""
    live = live_route()
    publish(tmp_path, live)
    now_s = 0.0
    one = monitor(tmp_path, audit, clock=lambda: now_s, audit_share=0.1)
    await observe(one, ".", live, episode="e")
    now_s = 1.9 * LIFE.episode_ends_after_s
    await observe(one, ".", live, episode="e")
    state = read_evidence(tmp_path, None)[("r", "s")].state
    assert state is not None and [len(e.results) for e in state.open] == [2]
