"""Decisions of the continuous loop: when there is enough new to convert again, and which routes have gone bad.

Pure: what was recorded of calls goes in, a decision with its reason comes out. No clock, no store, no training.

References:
    Belcak et al., "Small Language Models are the Future of Agentic AI", arXiv 2506.02153, section 6, S6;
    `scoring.monitor` for how evidence is weighed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

from deputize.core.percentages import percent
from deputize.core.records import Call, Decision, Route
from deputize.scoring.intervals import clopper_pearson
from deputize.scoring.monitor import (
    AUDITS_PER_FALSE_ROLLBACK,
    AuditEvidence,
    harm,
    must_roll_back,
    observe,
)
from deputize.stages.refine.route_evidence import RouteEvidence, audit_result, with_audit

MIN_BASELINE_EPISODES = 30
"""Episodes that the LLM did alone, with known outcome, before a route's outcomes are judged against theirs."""


UNDECIDED = Decision()
"""The LLM answered and nobody decided: an imported call."""


@dataclass(frozen=True, slots=True)
class WatchedCall:
    """Facts of a call that a decision needs: none of its text."""

    episode: str
    decision: Decision = UNDECIDED
    at_s: float = 0.0
    """Unix seconds; 0 where the log has no time."""
    success: bool | None = None
    """Outcome of the workflow; None where nobody reported it."""


def watched_call(call: Call) -> WatchedCall:
    """The facts of a recorded call."""
    return WatchedCall(
        episode=call.episode or call.id,
        decision=call.decision or UNDECIDED,
        at_s=call.timestamp or 0.0,
        success=call.outcome.success if call.outcome is not None else None,
    )


@dataclass(frozen=True)
class RouteHealth:
    """State of one route by the evidence about its specialist."""

    route_id: str
    task_name: str
    specialist: str
    certificate_id: str
    """The newest certificate, by which the evidence is judged."""
    seen_in: Literal["audits", "outcomes"]
    """audits: the LLM was asked as well; outcomes: how episodes ended that the route had a part in."""
    n: int
    n_bad: int
    allowed: float
    """The rate of bad ones that the route may have."""
    e_value: float
    """Evidence against "the rate is at most the allowed one", begun again at every audit and summed."""
    verdict: Literal["roll back", "wait"]
    n_llm_differed: int | None = None
    """Audits in which the LLM, asked twice, differed from itself; None where it is asked once."""

    def sentence(self) -> str:
        """The state as a sentence."""
        what = "audited calls differed" if self.seen_in == "audits" else "episodes with outcomes failed"
        itself = (
            "" if self.n_llm_differed is None else f", {self.n_llm_differed} between two answers of the LLM"
        )
        return (
            f"{self.route_id} ({self.task_name}): {self.n_bad} of {self.n} {what}{itself}, {percent(self.allowed)} allowed "
            f"(e-value {self.e_value:.3g})"
        )


def audits(
    calls: Sequence[WatchedCall],
    route: Route,
    *,
    since_s: float = 0.0,
    audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK,
) -> RouteHealth | None:
    """The state of a route by its audited calls, in their order; None where it has none or cannot be watched.

    Args:
        calls: recorded calls, by time.
        route: the route.
        since_s: Unix seconds; earlier calls do not count.
        audits_per_false_rollback: see `scoring.monitor.false_rollback_bound`.
    """
    if route.certificate is None:
        return None
    evidence = RouteEvidence(route_id=route.id, specialist=route.specialist)
    results = [audit_result(one.decision, route) if one.at_s >= since_s else None for one in calls]
    n_of = Counter(one.episode for one, result in zip(calls, results, strict=True) if result is not None)
    for one, result in zip(calls, results, strict=True):
        if result is not None:
            evidence = with_audit(
                evidence,
                result,
                route.certificate,
                audits_per_false_rollback=audits_per_false_rollback,
                episode=one.episode if n_of[one.episode] > 1 else "",
                now_s=one.at_s,
            )
            if evidence.alarm:  # evidence that was enough once stays enough, however it went on
                break
    return health_of(evidence, route)


def health_of(evidence: RouteEvidence, route: Route) -> RouteHealth | None:
    """The state of a route by the evidence of its audits; None where there is none."""
    state = evidence.state
    if state is None or state.allowed >= 1 or route.certificate is None:
        return None
    return RouteHealth(
        route_id=route.id,
        task_name=route.task_name,
        specialist=route.specialist,
        certificate_id=route.certificate.id,
        seen_in="audits",
        n=state.n_audits,
        n_bad=evidence.n_specialist_differed,
        allowed=state.allowed,
        e_value=harm(state),
        verdict="roll back" if evidence.alarm else "wait",
        n_llm_differed=evidence.n_llm_differed if state.signed else None,
    )


def episode_outcomes(
    calls: Sequence[WatchedCall],
    route: Route,
    *,
    audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK,
) -> RouteHealth | None:
    """The state of a route by the episodes it had a part in, against those that the LLM did alone.

    The allowed rate is the upper 95 % bound of the LLM's own failures plus epsilon. It is measured on other episodes,
    which may be easier or harder; so this asks for a new run, and rolls nothing back.

    Returns:
        None with fewer than MIN_BASELINE_EPISODES of the LLM's, or none of the route's.
    """
    if route.certificate is None:
        return None
    with_specialist = {one.episode for one in calls if one.decision.served_by == "slm"}
    mine = {one.episode for one in calls if one.decision.served_by == "slm" and _of(one.decision, route)}
    failed: dict[str, bool] = {}
    for one in calls:
        if one.success is not None:
            failed[one.episode] = failed.get(one.episode, False) or not one.success
    alone = [bad for episode, bad in failed.items() if episode not in with_specialist]
    if len(alone) < MIN_BASELINE_EPISODES:
        return None
    allowed = clopper_pearson(sum(alone), len(alone))[1] + route.certificate.epsilon
    outcomes = [bad for episode, bad in failed.items() if episode in mine]
    if not outcomes or not 0 < allowed < 1:
        return None
    state, alarm = AuditEvidence(allowed), False
    for bad in outcomes:
        state = observe(state, "s" if bad else ".")
        alarm = must_roll_back(state, audits_per_false_rollback)
        if alarm:
            break
    return RouteHealth(
        route_id=route.id,
        task_name=route.task_name,
        specialist=route.specialist,
        certificate_id=route.certificate.id,
        seen_in="outcomes",
        n=state.n_audits,
        n_bad=round(state.sum_losses),
        allowed=allowed,
        e_value=harm(state),
        verdict="roll back" if alarm else "wait",
    )


def _of(decision: Decision, route: Route) -> bool:
    """True for a call of the route with the specialist that it has now."""
    return decision.route_id == route.id and decision.specialist == route.specialist


@dataclass(frozen=True)
class LoopDecision:
    """Decision on a new run and on routes, and the reason."""

    convert: bool
    reason: str
    roll_back: tuple[RouteHealth, ...] = ()
    """Routes that must go back to the LLM at once."""
    answers: tuple[str, ...] = ()
    """Certificates whose alarm a new run answers, so that it is not started for them again."""


def decide(
    calls: Sequence[WatchedCall],
    routes: Iterable[Route],
    *,
    n_new: int,
    min_new: int,
    evidence: Mapping[tuple[str, str], RouteEvidence] = MappingProxyType({}),
    unfinished: str = "",
    answered: frozenset[str] = frozenset(),
    audits_per_false_rollback: float = AUDITS_PER_FALSE_ROLLBACK,
) -> LoopDecision:
    """Decides whether to convert again, and which routes to roll back.

    Args:
        calls: every recorded call, by time.
        routes: of the route file; closed and rolled back ones are left alone.
        n_new: calls answered by the LLM since the newest run began, which a new run could learn from.
        min_new: so many are reason enough.
        evidence: what the gateway has counted already, by route and specialist; the same audits are not counted again
            from `calls`.
        unfinished: a run that was stopped and can go on; "" where there is none.
        answered: certificates whose alarm has led to a run already.
        audits_per_false_rollback: see `scoring.monitor.false_rollback_bound`.
    """
    open_routes = [r for r in routes if r.state in ("live", "canary", "shadow") and r.certificate is not None]
    by_audits = []
    for route in open_routes:
        counted = evidence.get((route.id, route.specialist))
        recorded = audits(
            calls,
            route,
            since_s=counted.since_s if counted is not None else 0.0,
            audits_per_false_rollback=audits_per_false_rollback,
        )
        health = health_of(counted, route) if counted is not None and counted.state is not None else recorded
        if health is not None:
            by_audits.append(health)
    bad = tuple(h for h in by_audits if h.verdict == "roll back")
    by_outcomes = [
        h
        for r in open_routes
        if (h := episode_outcomes(calls, r, audits_per_false_rollback=audits_per_false_rollback)) is not None
    ]
    alarms = [
        h for h in (*bad, *by_outcomes) if h.verdict == "roll back" and h.certificate_id not in answered
    ]
    convert, why = _run_wanted(
        alarms, n_new=n_new, min_new=min_new, unfinished=unfinished, n_audited=len(by_audits)
    )
    answers = tuple(dict.fromkeys(h.certificate_id for h in alarms)) if convert else ()
    return LoopDecision(convert, why, bad, answers)


def _run_wanted(
    alarms: Sequence[RouteHealth], *, n_new: int, min_new: int, unfinished: str, n_audited: int
) -> tuple[bool, str]:
    """The decision on a new run: (True where it is wanted, the reason)."""
    new = f"{n_new:,} new calls answered by the LLM since the last run"
    told = "; ".join(h.sentence() for h in alarms)
    if n_new >= max(1, min_new):
        return True, f"{new}; {min_new:,} are enough to learn from"
    if alarms and n_new:
        return True, f"alarm: {told}; {new}"
    if unfinished:
        return True, f"run {unfinished} was stopped and goes on"
    why = f"{new}, {min_new:,} wanted"
    if alarms:
        why += f"; alarm without a new call to learn from: {told}"
    elif n_audited:
        why += f"; {n_audited} audited routes keep what they promise"
    return False, why
