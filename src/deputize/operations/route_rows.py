"""Routes as JSON shows them: claim, evidence, versions, history, and why a call was answered as it was."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from deputize.core.config import RouteSettings
from deputize.core.contracts import measures_of
from deputize.core.percentages import whole_percent
from deputize.core.records import Call, Decision, Route, RouteFile
from deputize.gateway.evidence_file import EvidenceKey, read_evidence
from deputize.gateway.settings import read_settings
from deputize.home import Home
from deputize.router.reason_words import explained
from deputize.stages.refine.route_evidence import RouteEvidence, unwatched
from deputize.stages.refine.route_life import progress

HISTORY_SHOWN = 20


def routes_of(home: Home, tenant: str = "") -> RouteFile:
    """The route file with the routes of one tenant; "": of all.

    Raises:
        BadInput, Tampered: it cannot be read.
    """
    file = home.routes()
    if not tenant:
        return file
    return msgspec.structs.replace(
        file,
        routes=[r for r in file.routes if r.tenant == tenant],
        challengers=[r for r in file.challengers if r.tenant == tenant],
        previous=[r for r in file.previous if r.tenant == tenant],
    )


def state_words(one: Route) -> str:
    """The state of a route for a reader."""
    return f"{one.state}, {whole_percent(one.share)} of its calls" if one.state == "canary" else one.state


def route_row(one: Route) -> dict[str, object]:
    """A route as JSON shows it."""
    certificate = msgspec.to_builtins(one.certificate) if one.certificate else None
    return {
        "id": one.id,
        "task": one.task_id,
        "task_name": one.task_name,
        "tenant": one.tenant,
        "state": one.state,
        "share": one.share,
        "threshold": one.threshold,
        "specialist": one.specialist,
        "certificate": certificate,
        "uncompared": one.contract.uncompared,
        "measures": measures_of(one.contract),
    }


def version_rows(home: Home, file: RouteFile, route_id: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The versions of a route with their evidence, and a sentence for each that no audit watches.

    Args:
        home: whose routes they are.
        file: its route file.
        route_id: of the route.
    """
    versions = [r for r in (*file.routes, *file.challengers, *file.previous) if r.id == route_id]
    known, life = read_evidence(home.path, home.evidence_seal), home.route_settings()
    return [version_row(r, file, known, life) for r in versions], unwatched_routes(home, versions, known)


def unwatched_routes(home: Home, routes: list[Route], known: dict[EvidenceKey, RouteEvidence]) -> list[str]:
    """A sentence for each route that serves and that no audit watches."""
    audit_share = read_settings(home.path).audit_share
    found = (unwatched(r, known.get((r.id, r.specialist)), audit_share=audit_share) for r in routes)
    return [why for why in found if why]


def version_row(
    one: Route, file: RouteFile, known: dict[EvidenceKey, RouteEvidence], life: RouteSettings
) -> dict[str, Any]:
    """A version of a route with its evidence and the way to its next step, as JSON shows it.

    Args:
        one: the version.
        file: that it is in.
        known: evidence of the home's routes.
        life: settings of the steps.
    """
    evidence = known.get((one.id, one.specialist))
    found = progress(one, evidence, life)
    role = "challenger" if one in file.challengers else "previous" if one in file.previous else "route"
    return {
        "role": role,
        **route_row(one),
        "n_compared": evidence.n_audits if evidence is not None else 0,
        "n_differed": evidence.n_specialist_differed if evidence is not None else 0,
        "n_episodes_open": len(evidence.state.open) if evidence is not None and evidence.state else 0,
        "spent_usd": evidence.spent_usd if evidence is not None else 0.0,
        "next": None
        if found is None
        else {"to": found.next_state, "share": found.next_share, **found.detail()},
    }


def route_history(home: Home, route_id: str, most: int = HISTORY_SHOWN) -> list[dict[str, str]]:
    """The newest changes of a route by the audit log, oldest first."""
    entries = [e for e in home.audit.entries() if e.subject == route_id and e.action.startswith("route.")]
    return [
        {
            "at": time.strftime("%Y-%m-%d %H:%M", time.gmtime(e.at)),
            "actor": e.actor,
            "action": e.action,
            "detail": ", ".join(f"{name} {value}" for name, value in e.detail.items()),
        }
        for e in entries[-most:]
    ]


def explanation(home: Home, call: Call, audit: Call | None) -> tuple[Decision | None, list[str]]:
    """The decision about a call, and why it was answered as it was, sentence by sentence; nothing of its text.

    Args:
        home: of the call.
        call: as recorded.
        audit: the LLM's answer to an audit of it; None: there is none.
    """
    decision = call.decision
    id = decision.route_id if decision is not None else ""
    one = next((r for r in routes_of(home).routes if r.id == id), None)
    lines = explained(call, one)
    if audit is not None and audit.decision is not None and audit.decision.shadow_agrees is not None:
        said = "agreed" if audit.decision.shadow_agrees else "differed"
        lines.append(f"It was audited: the LLM's answer {said}.")
    return decision, lines
