"""Decisions of the continuous loop: when there is enough new to convert again, and which routes have gone bad.

Pure: what was recorded of calls goes in, a decision with its reason comes out. No clock, no store, no training.

References:
    Belcak et al., "Small Language Models are the Future of Agentic AI", arXiv 2506.02153, section 6, S6;
    Ville's inequality, by which an e-process under its null ever reaches 1/delta with probability at most delta.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from deputize.core.records import Call, Certificate, Route
from deputize.scoring.intervals import clopper_pearson
from deputize.scoring.monitor import AuditEvidence, e_value, observe, verdict

MIN_BASELINE_EPISODES = 30
"""Episodes that the LLM did alone, with known outcome, before a route's outcomes are judged against theirs."""


@dataclass(frozen=True, slots=True)
class WatchedCall:
    """Facts of a call that a decision needs: none of its text."""

    served_by: Literal["llm", "slm"]
    episode: str
    route_id: str = ""
    certificate_id: str = ""
    confidence: float | None = None
    agrees: bool | None = None
    """Result of an audit, for which both models were asked; None where there was none."""
    success: bool | None = None
    """Outcome of the workflow; None where nobody reported it."""


def watched_call(call: Call) -> WatchedCall:
    """The facts of a recorded call."""
    success = call.outcome.success if call.outcome is not None else None
    decision = call.decision
    if decision is None:
        return WatchedCall(served_by="llm", episode=call.episode or call.id, success=success)
    return WatchedCall(
        served_by=decision.served_by,
        episode=call.episode or call.id,
        route_id=decision.route_id,
        certificate_id=decision.certificate_id,
        confidence=decision.confidence,
        agrees=decision.shadow_agrees,
        success=success,
    )


@dataclass(frozen=True)
class RouteHealth:
    """State of one route by the evidence since its certificate."""

    route_id: str
    task_name: str
    certificate_id: str
    seen_in: Literal["audits", "outcomes"]
    """audits: the LLM was asked as well; outcomes: how episodes ended that the route had a part in."""
    n: int
    n_bad: int
    allowed: float
    """The rate of bad ones that the route may have."""
    e_value: float
    """Evidence against "the rate is at most the allowed one"; 1/delta is enough."""
    verdict: Literal["roll back", "promote", "wait"]

    def sentence(self) -> str:
        """The state as a sentence."""
        what = "audited calls differed" if self.seen_in == "audits" else "episodes with outcomes failed"
        return (
            f"{self.route_id} ({self.task_name}): {self.n_bad} of {self.n} {what}, {self.allowed:.1%} allowed "
            f"(e-value {self.e_value:.3g})"
        )


def allowed_loss(certificate: Certificate) -> float:
    """How often a served answer may differ: the certificate allows epsilon of all calls, served or not."""
    served = certificate.share_served
    if certificate.n_served and certificate.n_calibration:
        served = certificate.n_served / certificate.n_calibration
    return min(1.0, certificate.epsilon / served) if served > 0 else certificate.epsilon


def audited_loss(one: WatchedCall, route: Route) -> float | None:
    """1 or 0 for an audited call that the route serves, or would serve in shadow; None for any other call."""
    if one.agrees is None or not _of(one, route):
        return None
    if one.served_by == "llm" and (one.confidence is None or one.confidence < route.threshold):
        return None  # the specialist's answer would not have been used
    return 0.0 if one.agrees else 1.0


def _of(one: WatchedCall, route: Route) -> bool:
    """True for a call of the route as it is certified now; an earlier specialist's calls say nothing of it."""
    return (
        route.certificate is not None
        and one.route_id == route.id
        and one.certificate_id == route.certificate.id
    )


def audits(calls: Sequence[WatchedCall], route: Route, *, delta: float = 0.01) -> RouteHealth | None:
    """The state of a route by its audited calls, in their order; None where it has none or cannot be watched."""
    if route.certificate is None:
        return None
    losses = [loss for one in calls if (loss := audited_loss(one, route)) is not None]
    return _health(losses, route, route.certificate, allowed_loss(route.certificate), "audits", delta)


def outcomes(calls: Sequence[WatchedCall], route: Route, *, delta: float = 0.01) -> RouteHealth | None:
    """The state of a route by the episodes it had a part in, against those that the LLM did alone.

    The allowed rate is the upper 95 % bound of the LLM's own failures plus epsilon. It is measured on other episodes,
    which may be easier or harder; so this asks for a new run, and rolls nothing back.

    Returns:
        None with fewer than MIN_BASELINE_EPISODES of the LLM's, or none of the route's.
    """
    if route.certificate is None:
        return None
    with_specialist = {one.episode for one in calls if one.served_by == "slm"}
    mine = {one.episode for one in calls if one.served_by == "slm" and _of(one, route)}
    failed: dict[str, bool] = {}
    for one in calls:
        if one.success is not None:
            failed[one.episode] = failed.get(one.episode, False) or not one.success
    alone = [bad for episode, bad in failed.items() if episode not in with_specialist]
    if len(alone) < MIN_BASELINE_EPISODES:
        return None
    allowed = clopper_pearson(sum(alone), len(alone))[1] + route.certificate.epsilon
    losses = [float(bad) for episode, bad in failed.items() if episode in mine]
    return _health(losses, route, route.certificate, allowed, "outcomes", delta)


def _health(
    losses: Sequence[float],
    route: Route,
    certificate: Certificate,
    allowed: float,
    seen_in: Literal["audits", "outcomes"],
    delta: float,
) -> RouteHealth | None:
    if not losses or not 0 < allowed < 1:
        return None
    state = AuditEvidence(allowed)
    found: Literal["roll back", "promote", "wait"] = "wait"
    for loss in losses:
        state = observe(state, loss)
        found = verdict(state, delta=delta)
        if found == "roll back":  # evidence that was enough once stays enough, however it went on
            break
    return RouteHealth(
        route_id=route.id,
        task_name=route.task_name,
        certificate_id=certificate.id,
        seen_in=seen_in,
        n=state.n_audits,
        n_bad=round(state.sum_losses),
        allowed=allowed,
        e_value=e_value(state.log_harm),
        verdict=found,
    )


@dataclass(frozen=True)
class LoopDecision:
    """Decision on a new run and on routes, and the reason."""

    convert: bool
    why: str
    roll_back: tuple[RouteHealth, ...] = ()
    """Routes that must go back to the LLM at once."""
    promote: tuple[RouteHealth, ...] = ()
    """Canaries whose audits would carry a larger share; a person does that."""
    answers: tuple[str, ...] = ()
    """Certificates whose alarm a new run answers, so that it is not started for them again."""


def decide(
    calls: Sequence[WatchedCall],
    routes: Iterable[Route],
    *,
    n_new: int,
    min_new: int,
    unfinished: str = "",
    answered: frozenset[str] = frozenset(),
    delta: float = 0.01,
) -> LoopDecision:
    """Decides whether to convert again, and which routes to roll back.

    Args:
        calls: every recorded call, by time.
        routes: of the route file; closed and rolled back ones are left alone.
        n_new: calls answered by the LLM since the newest run began, which a new run could learn from.
        min_new: so many are reason enough.
        unfinished: a run that was stopped and can go on; "" where there is none.
        answered: certificates whose alarm has led to a run already.
        delta: chance that a canary above its allowed rate is promoted.
    """
    open_routes = [r for r in routes if r.state in ("live", "canary", "shadow") and r.certificate is not None]
    by_audits = [h for r in open_routes if (h := audits(calls, r, delta=delta)) is not None]
    by_outcomes = [h for r in open_routes if (h := outcomes(calls, r, delta=delta)) is not None]
    bad = tuple(h for h in by_audits if h.verdict == "roll back")
    canaries = {r.id for r in open_routes if r.state == "canary"}
    good = tuple(h for h in by_audits if h.verdict == "promote" and h.route_id in canaries)
    alarms = [
        h for h in (*bad, *by_outcomes) if h.verdict == "roll back" and h.certificate_id not in answered
    ]
    answers = tuple(dict.fromkeys(h.certificate_id for h in alarms))
    new = f"{n_new:,} new calls answered by the LLM since the last run"
    if n_new >= max(1, min_new):
        return LoopDecision(True, f"{new}; {min_new:,} are enough to learn from", bad, good, answers)
    if alarms and n_new:
        return LoopDecision(
            True, f"alarm: {'; '.join(h.sentence() for h in alarms)}; {new}", bad, good, answers
        )
    if unfinished:
        return LoopDecision(True, f"run {unfinished} was stopped and goes on", bad, good, answers)
    why = f"{new}, {min_new:,} wanted"
    if alarms:
        why += f"; alarm without a new call to learn from: {'; '.join(h.sentence() for h in alarms)}"
    elif by_audits:
        why += f"; {len(by_audits)} audited routes keep what they promise"
    return LoopDecision(False, why, bad, good)
