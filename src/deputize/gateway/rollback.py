"""Evidence about routes, and rollback of those whose calls go bad, in the gateway itself.

    HOME/audit_evidence.json   evidence of each route and specialist, shared by the workers; numbers only

A comparison is in that file before it is recorded as a call, and a rollback or a promotion (gateway.promotion) is
decided there before the route file is changed. So a process that is killed in between loses neither: the next
comparison, or the next start of a worker, carries the change out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from time import time

from msgspec import structs

from deputize.core.config import RouteSettings
from deputize.core.errors import BadInput, DeputizeError, Tampered
from deputize.core.records import Record, Route, RouteFile
from deputize.files import locked
from deputize.gateway.call_telemetry import of_route
from deputize.gateway.evidence_file import (
    EVIDENCE_FILE,
    AppendsToAuditLog,
    EvidenceKey,
    read_evidence,
    write_evidence,
)
from deputize.gateway.metrics import Metrics
from deputize.gateway.promotion import step_routes
from deputize.routes_file import RouteFileSeal, read_routes, update_routes
from deputize.scoring.monitor import (
    AUDITS_PER_FALSE_ROLLBACK,
    KEPT_AUDITS,
    AuditResult,
    allowed_loss,
    harm,
)
from deputize.stages.refine.route_evidence import (
    RouteEvidence,
    evidence_for,
    new_evidence,
    unwatched,
    with_audit,
    with_due,
)
from deputize.stages.refine.route_life import OPEN, ended, progress
from deputize.store.access.generations import EvidenceSeal

log = logging.getLogger("deputize.gateway")

_MOST_SILENCE = 2.0
"""Where few calls are compared an episode may be silent so many times as long: until it has ended it is counted as if
its other calls were good, so waiting longer would hide a route that goes bad."""

AGAIN_S = 30.0
"""Until a rollback that could not be done is tried again; each try leaves an entry in the audit log."""


class DueAudit(Record):
    """An audit that was due."""

    route: Route
    """As it was when the call was served."""
    result: AuditResult | None
    """None: it failed or was skipped."""
    episode: str = ""
    """Of the call, as the caller names it; "": not known."""
    usd: float = 0.0
    """Price of a comparison in shadow."""


def roll_back_routes(
    home: Path,
    audit: AppendsToAuditLog,
    bad: Mapping[EvidenceKey, dict[str, str]],
    *,
    seal: RouteFileSeal | None,
    actor: str = "",
) -> list[Route]:
    """Closes the routes that are open with the specialist the evidence is about; each leaves an entry in the audit log.

    Args:
        home: the home folder.
        audit: its audit log. An entry is written before the route is closed, so that none is closed without.
        bad: evidence as text, by route and specialist.
        seal: of the route file; None where it has none: a home's file written without it would be taken for forged.
        actor: who does it; "": as the audit log says.

    Returns:
        The routes that were closed here, as they were before.

    Raises:
        BadInput, Tampered, StoreError: the route file or the audit log cannot be read or written.
    """

    def is_bad(route: Route) -> bool:
        return route.state in OPEN and (route.id, route.specialist) in bad

    def closed(routes: Sequence[Route]) -> list[Route]:
        return [structs.replace(r, state="rolled_back", share=1.0) if is_bad(r) else r for r in routes]

    with locked(home / EVIDENCE_FILE):
        routes_path = home / "routes.json"
        file = read_routes(routes_path, seal)
        found = [r for r in (*file.routes, *file.challengers) if is_bad(r)]
        if not found:
            return []
        for route in found:
            detail = {
                "because": "its audited calls" if route.state != "shadow" else "its calls in shadow",
                "state": "rolled_back",
                "before": f"{route.state} {route.share:g}",
                **bad[(route.id, route.specialist)],
            }
            audit.append("route.rollback", actor=actor, subject=route.id, detail=detail)
        update_routes(
            routes_path,
            lambda file: structs.replace(
                file, routes=closed(file.routes), challengers=closed(file.challengers)
            ),
            seal,
        )
    return found


def evidence_detail(
    evidence: RouteEvidence, route: Route, audits_per_false_rollback: float
) -> dict[str, str]:
    """The evidence against a route, for the audit log."""
    detail = {
        "specialist": evidence.specialist,
        "certificate": route.certificate.id if route.certificate is not None else "",
        "audits": f"{evidence.n_audits}",
        "differed": f"{evidence.n_specialist_differed}",
        "allowed": f"{allowed_loss(route.certificate):.4f}" if route.certificate is not None else "",
        "e_value": f"{harm(evidence.state):.4g}" if evidence.state is not None else "",
        "audits_per_false_rollback": f"{audits_per_false_rollback:g}",
    }
    if evidence.state is not None and evidence.state.signed:
        detail["llm_differed_from_itself"] = f"{evidence.n_llm_differed}"
    return detail


class RouteMonitor:
    """Keeps the evidence about routes, and rolls one back or serves more as soon as it is enough. One per worker
    process."""

    def __init__(
        self,
        home: Path,
        audit: AppendsToAuditLog,
        metrics: Metrics,
        *,
        audit_share: float,
        seal: RouteFileSeal | None,
        evidence_seal: EvidenceSeal | None,
        audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK,
        on_change: Callable[[], object] = lambda: None,
        life: RouteSettings | None = None,
        episode_key: bytes = b"",
        clock: Callable[[], float] = time,
    ) -> None:
        """
        Args:
            home: the home folder.
            audit: its audit log.
            metrics: says which routes are not watched.
            audit_share: share of served calls that are audited.
            seal: of the route file; None where it has none.
            evidence_seal: of the evidence; None likewise.
            audits_per_false_rollback: see `scoring.monitor.false_rollback_bound`.
            on_change: takes up the changed route file in this process; called in a thread.
            life: by which evidence a route is promoted; None: the defaults.
            episode_key: of the digests by which episodes are known.
            clock: Unix seconds.
        """
        self._home, self._audit, self._metrics = home, audit, metrics
        self._audit_share, self._per_false = audit_share, audits_per_false_rollback
        self._on_change = on_change
        self._life, self._episode_key, self._seal = life or RouteSettings(), episode_key, seal
        self._evidence_seal = evidence_seal
        self._clock = clock
        self._waiting: list[DueAudit] = []
        self._not_closed: set[EvidenceKey] = set()
        self._trying_again: asyncio.TimerHandle | None = None
        self._trial: asyncio.Task[None] | None = None
        self._turn = asyncio.Lock()
        self._said: set[str] = set()

    def must_wait(self) -> bool:
        """True while a route that was to be rolled back could not be closed: no specialist may answer then."""
        return bool(self._not_closed)

    async def observe(self, outcome: DueAudit) -> None:
        """Counts one audit; it is in the file, and a rollback that follows is done, when this returns.

        Files are written in a thread; audits that come meanwhile are written together. An error is logged, and what
        could not be written is tried again with the next audit.
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
                await self._act(
                    known, list({(o.route.id, o.route.specialist): o.route for o in batch}.values())
                )

    async def check_routes(self) -> None:
        """Carries out rollbacks that an ended process had decided on, and says which routes are not watched."""
        try:
            file, known = await asyncio.to_thread(self._of_present_routes)
        except (DeputizeError, OSError) as error:
            log.error("the evidence of audits could not be looked at: %s", error)
            self._try_again()
            return
        routes = [*file.routes, *file.challengers]
        self._not_closed &= {(r.id, r.specialist) for r in routes if r.state in OPEN}
        await self._act(known, routes)

    def _try_again(self) -> None:
        """Looks again in a while, where a route waits to be closed: without specialists no audit will come that
        does."""

        def look() -> None:
            self._trial = asyncio.ensure_future(self.check_routes())

        if self._not_closed:
            self.stop()
            self._trying_again = asyncio.get_running_loop().call_later(AGAIN_S, look)

    def stop(self) -> None:
        """Tries no more."""
        if self._trying_again is not None:
            self._trying_again.cancel()

    async def _act(self, known: Mapping[EvidenceKey, RouteEvidence], routes: Sequence[Route]) -> None:
        """Rolls back what the evidence shows to be bad, promotes what it carries, and says which routes are not
        watched."""
        try:
            await asyncio.to_thread(self._roll_back, known, routes)
            await asyncio.to_thread(self._promote, known, routes)
        except DeputizeError as error:
            log.error("a route could not be changed, it is tried again: %s", error)
            self._try_again()
        for route in routes:
            why = unwatched(route, known.get((route.id, route.specialist)), audit_share=self._audit_share)
            labels = of_route(route.id, route.task_name, route.tenant)
            self._metrics.set("deputize_route_unwatched", float(bool(why)), labels)
            if why and route.id not in self._said:
                log.warning("%s", why)
            (self._said.add if why else self._said.discard)(route.id)

    def _count(self, batch: Sequence[DueAudit]) -> dict[EvidenceKey, RouteEvidence]:
        """Adds audits to the file; the evidence of all routes."""
        with locked(self._home / EVIDENCE_FILE):
            known = self._known()
            for outcome in batch:
                key = (outcome.route.id, outcome.route.specialist)
                known[key] = self._with(known.get(key), outcome)
            if batch:
                write_evidence(self._home, known, self._evidence_seal)
        return known

    def _of_present_routes(self) -> tuple[RouteFile, dict[EvidenceKey, RouteEvidence]]:
        """The route file, and the evidence without that of specialists which no route has: it would be written with
        each audit."""
        with locked(self._home / EVIDENCE_FILE):
            file = read_routes(self._home / "routes.json", self._seal)
            present = {(r.id, r.specialist) for r in (*file.routes, *file.challengers, *file.previous)}
            known = self._known()
            kept = {key: one for key, one in known.items() if key in present}
            if file.generation and len(kept) < len(known):
                write_evidence(self._home, kept, self._evidence_seal)
                known = kept
        return file, known

    def _known(self) -> dict[EvidenceKey, RouteEvidence]:
        try:
            return read_evidence(self._home, self._evidence_seal)
        except (BadInput, Tampered) as error:
            aside = self._home / f"{EVIDENCE_FILE}.damaged"
            log.error("%s It is kept as %s, and the evidence of all routes begins again.", error, aside)
            with contextlib.suppress(FileNotFoundError):
                (self._home / EVIDENCE_FILE).replace(aside)
            write_evidence(self._home, {}, self._evidence_seal)
            return {}

    def _with(self, evidence: RouteEvidence | None, outcome: DueAudit) -> RouteEvidence:
        route = outcome.route
        evidence = evidence_for(route, evidence) or new_evidence(route)
        evidence = with_due(evidence, missed=outcome.result is None)
        if outcome.usd:
            evidence = structs.replace(evidence, spent_usd=evidence.spent_usd + outcome.usd)
        if outcome.result is None or route.certificate is None:
            return evidence
        return with_audit(
            evidence,
            outcome.result,
            route.certificate,
            audits_per_false_rollback=self._per_false,
            episode=self._digest(outcome.episode),
            now_s=self._clock(),
            ends_after_s=self._life.episode_ends_after_s
            * min(_MOST_SILENCE, 1 / self._share_compared(route)),
        )

    def _share_compared(self, route: Route) -> float:
        """Share of the route's calls that are compared: between two of them an episode seems silent as much longer."""
        if route.state == "shadow":
            return route.shadow.share if route.shadow is not None else self._life.shadow_share
        return self._life.canary_audit_share if route.state == "canary" else self._audit_share or 1.0

    def _digest(self, episode: str) -> str:
        if not episode:
            return ""
        named = episode.encode("utf-8", "surrogatepass")
        return blake2b(named, digest_size=8, key=self._episode_key[:64]).hexdigest()

    def _promote(self, known: Mapping[EvidenceKey, RouteEvidence], routes: Sequence[Route]) -> None:
        now_s = self._clock()
        for route in routes:
            evidence = evidence_for(route, known.get((route.id, route.specialist)))
            found = progress(route, evidence, self._life)
            if (found is not None and found.is_enough) or ended(route, evidence, now_s):
                break
        else:
            return
        if step_routes(
            self._home,
            self._audit,
            self._life,
            now_s=now_s,
            seal=self._seal,
            evidence_seal=self._evidence_seal,
        ):
            self._on_change()

    def _roll_back(self, known: Mapping[EvidenceKey, RouteEvidence], routes: Sequence[Route]) -> None:
        bad = {
            (r.id, r.specialist): evidence_detail(evidence, r, self._per_false)
            for r in routes
            if r.state in OPEN
            and (evidence := evidence_for(r, known.get((r.id, r.specialist)))) is not None
            and evidence.alarm
        }
        if not bad:
            return
        self._not_closed |= bad.keys()
        done = roll_back_routes(self._home, self._audit, bad, actor="gateway", seal=self._seal)
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
            self._on_change()
        self._not_closed -= bad.keys()
