"""Roll-back of routes whose audits go bad, in the gateway itself.

    HOME/audit_evidence.json   evidence of each route and specialist, shared by the workers; numbers only

An audit is in that file before it is recorded as a call, and a roll-back is decided there before the route file is
changed. So a process that is killed in between loses neither: the next audit of the route, or the next start of a
worker, carries the roll-back out.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import structs

from deputize.core.errors import BadInput, DeputizeError
from deputize.core.records import Record, Route, RouteFile
from deputize.files import locked, write_atomic
from deputize.gateway.metrics import Metrics
from deputize.routes_file import read_routes, update_routes
from deputize.scoring.monitor import AUDITS_PER_FALSE_ROLLBACK, e_value
from deputize.stages.refine.route_evidence import (
    KEPT_AUDITS,
    AuditResult,
    RouteEvidence,
    allowed_loss,
    unwatched,
    with_audit,
    with_due,
)
from deputize.store.access.audit_log import AuditEntry

log = logging.getLogger("deputize.gateway")

EVIDENCE_FILE = "audit_evidence.json"

EvidenceKey = tuple[str, str]
"""(id of a route, folder of its specialist)"""


class EvidenceFile(Record):
    """HOME/audit_evidence.json."""

    routes: list[RouteEvidence] = msgspec.field(default_factory=list)
    version: int = 1

    def by_key(self) -> dict[EvidenceKey, RouteEvidence]:
        """The evidence of each route and specialist."""
        return {(e.route_id, e.specialist): e for e in self.routes}


class AuditOutcome(Record):
    """An audit that was due."""

    route: Route
    """As it was when the call was served."""
    result: AuditResult | None
    """None: it failed or was skipped."""


class _AppendsToAuditLog(Protocol):
    def append(
        self, action: str, *, actor: str = "", subject: str = "", detail: dict[str, str] | None = None
    ) -> AuditEntry: ...


def read_evidence(home: Path) -> dict[EvidenceKey, RouteEvidence]:
    """The evidence of a home's routes; {} where there is none yet.

    Raises:
        BadInput: the file cannot be read.
    """
    path = home / EVIDENCE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=EvidenceFile).by_key()
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}); delete it to begin the evidence of all routes anew."
        ) from error


def forget_evidence(home: Path, route: Route, *, at_s: float) -> None:
    """Begins the evidence of a route anew: calls before `at_s` (Unix seconds) do not count. For a promotion by hand.

    Raises:
        BadInput, StoreError: the file cannot be read or written.
    """
    path = home / EVIDENCE_FILE
    with locked(path):
        known = read_evidence(home)
        new = RouteEvidence(route_id=route.id, specialist=route.specialist, since_s=at_s)
        known[(route.id, route.specialist)] = new
        write_atomic(path, msgspec.json.encode(EvidenceFile(routes=list(known.values()))))


def roll_back_routes(
    home: Path,
    audit: _AppendsToAuditLog,
    bad: Mapping[EvidenceKey, dict[str, str]],
    *,
    actor: str = "",
) -> list[Route]:
    """Closes the routes that still serve with the specialist the evidence is about; each leaves an entry in the audit log.

    Args:
        home: the home folder.
        audit: its audit log. An entry is written before the route is closed, so that none is closed without.
        bad: evidence as text, by route and specialist.
        actor: who does it; "": as the audit log says.

    Returns:
        The routes that were closed here, as they were before.

    Raises:
        BadInput, Tampered, StoreError: the route file or the audit log cannot be read or written.
    """

    def is_bad(route: Route) -> bool:
        return route.state in ("live", "canary") and (route.id, route.specialist) in bad

    with locked(home / EVIDENCE_FILE):
        routes_path = home / "routes.json"
        found = [r for r in read_routes(routes_path).routes if is_bad(r)]
        if not found:
            return []
        for route in found:
            detail = {
                "because": "its audited calls",
                "state": "rolled_back",
                **bad[(route.id, route.specialist)],
            }
            audit.append("route.rollback", actor=actor, subject=route.id, detail=detail)

        def closed(file: RouteFile) -> RouteFile:
            return structs.replace(
                file,
                routes=[
                    structs.replace(r, state="rolled_back", share=1.0) if is_bad(r) else r
                    for r in file.routes
                ],
            )

        update_routes(routes_path, closed)
    return found


def evidence_detail(
    evidence: RouteEvidence, route: Route, audits_per_false_rollback: float
) -> dict[str, str]:
    """The evidence against a route, for the audit log."""
    n_audits = evidence.state.n_audits if evidence.state is not None else len(evidence.results)
    detail = {
        "specialist": evidence.specialist,
        "certificate": route.certificate.id if route.certificate is not None else "",
        "audits": f"{n_audits}",
        "differed": f"{evidence.n_specialist_differed}",
        "allowed": f"{allowed_loss(route.certificate):.4f}" if route.certificate is not None else "",
        "e_value": f"{e_value(evidence.state.log_harm):.4g}" if evidence.state is not None else "",
        "audits_per_false_rollback": f"{audits_per_false_rollback:g}",
    }
    if evidence.state is not None and evidence.state.signed:
        detail["llm_differed_from_itself"] = f"{evidence.n_llm_differed}"
    return detail


class RollbackMonitor:
    """Keeps the evidence of audits, and rolls a route back as soon as it is enough. One per worker process."""

    def __init__(
        self,
        home: Path,
        audit: _AppendsToAuditLog,
        metrics: Metrics,
        *,
        audit_share: float,
        audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK,
        on_rollback: Callable[[], object] = lambda: None,
    ) -> None:
        """
        Args:
            home: the home folder.
            audit: its audit log.
            metrics: says which routes are not watched.
            audit_share: share of served calls that are audited.
            audits_per_false_rollback: see `scoring.monitor.false_rollback_bound`.
            on_rollback: takes up the changed route file in this process; called in a thread.
        """
        self._home, self._audit, self._metrics = home, audit, metrics
        self._audit_share, self._per_false = audit_share, audits_per_false_rollback
        self._on_rollback = on_rollback
        self._waiting: list[AuditOutcome] = []
        self._turn = asyncio.Lock()
        self._said: set[str] = set()

    async def observe(self, outcome: AuditOutcome) -> None:
        """Counts one audit; it is in the file, and a roll-back that follows is done, when this returns.

        Files are written in a thread; audits that come meanwhile are written together. An error is logged, and what could
        not be written is tried again with the next audit.
        """
        self._waiting.append(outcome)
        async with self._turn:
            # whoever had the turn before may have written this one too
            batch, self._waiting = self._waiting, []
            if batch:
                try:
                    known = await asyncio.to_thread(self._count, batch)
                except DeputizeError as error:
                    log.error("audits could not be counted: %s", error)
                    self._waiting = [*batch, *self._waiting][-KEPT_AUDITS:]
                    return
                await self._act(known, list({o.route.id: o.route for o in batch}.values()))

    async def check_routes(self) -> None:
        """Carries out roll-backs that an ended process had decided on, and says which routes are not watched."""
        try:
            known = await asyncio.to_thread(self._count, [])
            file = await asyncio.to_thread(read_routes, self._home / "routes.json")
        except (DeputizeError, OSError) as error:
            log.error("the evidence of audits could not be looked at: %s", error)
            return
        await self._act(known, file.routes)

    async def _act(self, known: Mapping[EvidenceKey, RouteEvidence], routes: Sequence[Route]) -> None:
        """Rolls back what the evidence shows to be bad, and says which of the routes are not watched."""
        try:
            await asyncio.to_thread(self._roll_back, known, routes)
        except DeputizeError as error:
            log.error("a route could not be rolled back, the next audit tries again: %s", error)
        for route in routes:
            why = unwatched(route, known.get((route.id, route.specialist)), audit_share=self._audit_share)
            self._metrics.set("deputize_route_unwatched", float(bool(why)), (("route", route.id),))
            if why and route.id not in self._said:
                log.warning("%s", why)
            (self._said.add if why else self._said.discard)(route.id)

    def _count(self, batch: Sequence[AuditOutcome]) -> dict[EvidenceKey, RouteEvidence]:
        """Adds audits to the file; the evidence of all routes."""
        path = self._home / EVIDENCE_FILE
        with locked(path):
            known = self._known()
            for outcome in batch:
                key = (outcome.route.id, outcome.route.specialist)
                known[key] = self._with(known.get(key), outcome)
            if batch:
                write_atomic(path, msgspec.json.encode(EvidenceFile(routes=list(known.values()))))
        return known

    def _known(self) -> dict[EvidenceKey, RouteEvidence]:
        try:
            return read_evidence(self._home)
        except BadInput as error:
            aside = self._home / f"{EVIDENCE_FILE}.damaged"
            log.error("%s It is kept as %s.", error, aside)
            (self._home / EVIDENCE_FILE).replace(aside)
            return {}

    def _with(self, evidence: RouteEvidence | None, outcome: AuditOutcome) -> RouteEvidence:
        route = outcome.route
        evidence = evidence or RouteEvidence(route_id=route.id, specialist=route.specialist)
        evidence = with_due(evidence, missed=outcome.result is None)
        if outcome.result is None or route.certificate is None:
            return evidence
        return with_audit(
            evidence, outcome.result, route.certificate, audits_per_false_rollback=self._per_false
        )

    def _roll_back(self, known: Mapping[EvidenceKey, RouteEvidence], routes: Sequence[Route]) -> None:
        bad = {
            (r.id, r.specialist): evidence_detail(evidence, r, self._per_false)
            for r in routes
            if r.state in ("live", "canary")
            and (evidence := known.get((r.id, r.specialist))) is not None
            and evidence.alarm
        }
        if not bad:
            return
        done = roll_back_routes(self._home, self._audit, bad, actor="gateway")
        for route in done:
            detail = bad[(route.id, route.specialist)]
            log.warning(
                "route %s (%s) is rolled back, its calls go to the LLM: %s of %s audited calls differed, mean loss "
                "allowed %s, e-value %s",
                route.id,
                route.task_name,
                detail["differed"],
                detail["audits"],
                detail["allowed"],
                detail["e_value"],
            )
        if done:
            self._on_rollback()
