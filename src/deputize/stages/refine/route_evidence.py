"""Evidence of one route's calls with both answers: which count, what a route may lose, and when they say nothing.

Pure. Imports nothing heavy, since the gateway keeps its evidence with it.
"""

from __future__ import annotations

from msgspec import structs

from deputize.core.contracts import measures_of
from deputize.core.records import Certificate, Decision, Record, Route
from deputize.scoring.monitor import (
    AUDITS_PER_FALSE_ROLLBACK,
    EPISODE_ENDS_AFTER_S,
    AuditEvidence,
    AuditResult,
    allowed_loss,
    judged_again,
    must_roll_back,
    observe,
)

MIN_DUE = 40
"""Due audits before a route's missed ones raise an alarm."""
MAX_MISSED_SHARE = 0.05
"""Share of the due audits that may fail or be skipped."""
WINDOW_DUE = 400
"""Due audits after which older ones count half, so that a good past does not hide that audits fail now."""


class CanaryStart(Record):
    """The evidence at the moment a specialist began to serve a canary share: what came before does not carry it on."""

    n_audits: int = 0
    n_specialist_differed: int = 0
    log_gain: float = 0.0
    """`scoring.monitor.log_gain`."""


class RouteEvidence(Record):
    """The calls that one specialist on one route and the LLM both answered, and what they show."""

    route_id: str
    specialist: str
    """Folder of the specialist, relative to the home."""
    state: AuditEvidence | None = None
    """None before the first audit."""
    n_specialist_differed: int = 0
    n_llm_differed: int = 0
    """Of audits with two LLM answers."""
    alarm: bool = False
    """The evidence has been enough for a rollback; it stays so until it is forgotten, or a certificate allows another
    rate."""
    since_s: float = 0.0
    """Unix seconds; audits of earlier calls do not count, since the route has been promoted again."""
    n_due: int = 0
    """Audits that were drawn, older ones at half their number."""
    n_missed: int = 0
    """Of them, failed or skipped."""
    canary: CanaryStart | None = None
    """None: it has served no canary share since its evidence began."""
    compared: str = ""
    """How texts were compared (core.contracts.measures_of); "": character by character."""
    certificate_s: float = 0.0
    """When the certificate was made by which the evidence is judged, in Unix seconds."""
    spent_usd: float = 0.0
    """On comparisons: the specialist's time in shadow, and calls to the LLM made for them."""

    @property
    def n_audits(self) -> int:
        """Calls with both answers."""
        return self.state.n_audits if self.state is not None else 0

    @property
    def missed_too_many(self) -> bool:
        """True where too many of the due audits failed or were skipped."""
        return self.n_due >= MIN_DUE and self.n_missed > MAX_MISSED_SHARE * self.n_due


def new_evidence(route: Route) -> RouteEvidence:
    """The evidence of a route without any call."""
    return RouteEvidence(route_id=route.id, specialist=route.specialist, compared=_compared(route))


def evidence_for(route: Route, evidence: RouteEvidence | None) -> RouteEvidence | None:
    """The evidence, where it is about the comparison of answers that the route is certified for; else None."""
    return evidence if evidence is not None and evidence.compared == _compared(route) else None


def _compared(route: Route) -> str:
    return " ".join(measures_of(route.contract))


def against_repeats(certificate: Certificate | None) -> bool:
    """True where the claim is about the LLM's own repeated samples, so that an audit needs two answers of the LLM."""
    return certificate is not None and certificate.kind == "not_worse_than_repeats"


def audit_result(decision: Decision, route: Route) -> AuditResult | None:
    """The result of an audited call that the route serves, or would serve in shadow; None for any other call.

    A call of an earlier specialist says nothing of this one. A call that the specialist deferred, or on which it was
    not confident enough, is not served. A route certified against repeated samples needs the LLM's second answer.
    """
    if decision.shadow_agrees is None or decision.deferred or route.certificate is None:
        return None
    if decision.route_id != route.id or decision.specialist != route.specialist:
        return None
    if decision.served_by == "llm" and (decision.confidence is None or decision.confidence < route.threshold):
        return None
    if against_repeats(route.certificate) and decision.repeat_agrees is None:
        return None
    if decision.repeat_agrees is False:
        return "l" if decision.shadow_agrees else "b"
    return "." if decision.shadow_agrees else "s"


def with_audit(
    evidence: RouteEvidence,
    result: AuditResult,
    certificate: Certificate,
    *,
    audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK,
    episode: str = "",
    now_s: float = 0.0,
    ends_after_s: float = EPISODE_ENDS_AFTER_S,
) -> RouteEvidence:
    """The evidence after one more call with both answers, judged by the rate that the newest certificate allows.

    Where that rate is another one than before, the audits that are kept are judged again, and the evidence for a
    promotion begins again.

    Args:
        evidence: before.
        result: of the call.
        certificate: of the route.
        audits_per_false_rollback: see `scoring.monitor.false_rollback_bound`.
        episode: digest of the call's episode; "": it stands alone.
        now_s: Unix seconds of the call.
        ends_after_s: without a call an episode has ended after so long.
    """
    allowed, signed = allowed_loss(certificate), against_repeats(certificate)
    state, alarm, canary = evidence.state, evidence.alarm, evidence.canary
    if certificate.created_s < evidence.certificate_s:
        return evidence  # of a call that was served before the route had its present certificate
    if state is None:
        state = AuditEvidence(allowed, signed=signed)
    elif (state.allowed, state.signed) != (allowed, signed):
        # what was too much for an earlier certificate may be within this one
        state, alarm = judged_again(state, allowed, audits_per_false_rollback, signed=signed)
        canary = CanaryStart() if canary is not None else None
    state = observe(state, result, episode=episode, now_s=now_s, ends_after_s=ends_after_s)
    return structs.replace(
        evidence,
        state=state,
        certificate_s=certificate.created_s,
        alarm=alarm or must_roll_back(state, audits_per_false_rollback),
        n_specialist_differed=evidence.n_specialist_differed + (result in "sb"),
        n_llm_differed=evidence.n_llm_differed + (result in "lb"),
        canary=canary,
    )


def with_due(evidence: RouteEvidence, *, missed: bool) -> RouteEvidence:
    """The evidence after an audit was due, and made or missed."""
    n_due, n_missed = evidence.n_due + 1, evidence.n_missed + missed
    if n_due >= WINDOW_DUE:
        n_due, n_missed = n_due // 2, n_missed // 2
    return structs.replace(evidence, n_due=n_due, n_missed=n_missed)


def unwatched(route: Route, evidence: RouteEvidence | None, *, audit_share: float | None = None) -> str:
    """Why audits do not show whether a serving route keeps its promise, as a sentence; "" where they do.

    Args:
        route: the route.
        evidence: of its audits; None where there was none.
        audit_share: of the gateway; None: unknown.
    """
    if route.state not in ("live", "canary") or route.certificate is None:
        return ""
    if allowed_loss(route.certificate) >= 1:
        why = "its certificate covers so few calls that every served answer may differ, so no audit can speak against it"
    elif audit_share == 0:
        why = "audit_share is 0, so no call of it is audited"
    elif evidence is not None and evidence.missed_too_many:
        why = f"{evidence.n_missed} of its last {evidence.n_due} due audits failed or were skipped"
    else:
        return ""
    return f"{route.id} ({route.task_name}) is not watched: {why}"
