"""Steps of routes toward live, and the end of comparisons that have run out: in the gateway itself, by the evidence."""

from __future__ import annotations

import logging
from functools import partial
from pathlib import Path

from deputize.core.config import RouteSettings
from deputize.core.records import Route
from deputize.files import locked
from deputize.gateway.evidence_file import EVIDENCE_FILE, AppendsToAuditLog, read_evidence, write_evidence
from deputize.routes_file import RouteFileSeal, read_routes, update_routes
from deputize.stages.refine.route_evidence import evidence_for
from deputize.stages.refine.route_life import StepProgress, closed, ended, entered_canary, progress, promoted
from deputize.store.access.generations import EvidenceSeal

log = logging.getLogger("deputize.gateway")


def step_routes(
    home: Path,
    audit: AppendsToAuditLog,
    life: RouteSettings,
    *,
    now_s: float,
    seal: RouteFileSeal | None,
    evidence_seal: EvidenceSeal | None,
    actor: str = "gateway",
) -> list[Route]:
    """Takes the step of every route whose evidence carries it; each leaves an entry in the audit log.

    Three writes, of which a process may die after any: the entry, so that nothing changes without one; then the
    evidence from which a canary counts, so that none goes on by what came before it; then the route file.

    Args:
        home: the home folder.
        audit: its audit log.
        life: by which evidence steps are taken.
        now_s: Unix seconds.
        seal: of the route file; None where it has none: a home's file written without it would be taken for forged.
        evidence_seal: of the evidence; None likewise.
        actor: who does it.

    Returns:
        The routes and challengers that took a step, as they were before.

    Raises:
        BadInput, Tampered, StoreError: a file cannot be read or written.
    """
    stepped: list[Route] = []
    with locked(home / EVIDENCE_FILE):
        known = read_evidence(home, evidence_seal)
        file = read_routes(home / "routes.json", seal)
        for route in (*file.routes, *file.challengers):
            key = (route.id, route.specialist)
            evidence = evidence_for(route, known.get(key))
            if evidence is not None and evidence.alarm:
                continue
            if why := ended(route, evidence, now_s):
                audit.append("route.close", actor=actor, subject=route.id, detail={"because": why})
                update_routes(home / "routes.json", partial(closed, route=route), seal)
                stepped.append(route)
                continue
            found = progress(route, evidence, life)
            if found is None or evidence is None or not found.is_enough:
                continue
            detail = _detail(route, found)
            audit.append("route.promote", actor=actor, subject=route.id, detail=detail)
            if route.state == "shadow":
                known[key] = entered_canary(evidence)
                write_evidence(home, known, evidence_seal)
            step = partial(promoted, route=route, state=found.next_state, share=found.next_share)
            update_routes(home / "routes.json", step, seal)
            _say(route, found, detail)
            stepped.append(route)
    return stepped


def _detail(route: Route, found: StepProgress) -> dict[str, str]:
    return {
        "because": "its calls in shadow" if route.state == "shadow" else "its audited calls",
        "state": found.next_state,
        "share": f"{found.next_share:g}",
        "before": f"{route.state} {route.share:g}",
        "specialist": route.specialist,
        "certificate": route.certificate.id if route.certificate is not None else "",
        **found.detail(),
    }


def _say(route: Route, found: StepProgress, detail: dict[str, str]) -> None:
    log.warning(
        "route %s (%s) is %s for %.0f %% of its calls: %s of %s differed, mean loss allowed %s, e-value %s",
        route.id,
        route.task_name,
        found.next_state,
        100 * found.next_share,
        detail["differed"],
        detail["compared"],
        detail["allowed"],
        detail["e_value"],
    )
