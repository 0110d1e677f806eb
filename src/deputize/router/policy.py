"""Which model answers a call: a pure function of route, prediction, override and a sticky key. No I/O, no clock.

Everything that is not plainly allowed goes to the LLM: a route fails closed.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, TypeAlias

from deputize.core.certificate_age import expired
from deputize.core.contracts import DEFER
from deputize.core.decision_reason import DecisionReason
from deputize.core.records import Decision, Prediction, Record, Route

Override: TypeAlias = Literal["llm", "slm", "auto"]
"""The model a caller asks for (header x-deputize-route)."""


class RoutingPlan(Record, frozen=True):
    """The decision about a request before any model is asked."""

    ask_specialist: bool
    may_serve: bool
    """False in shadow: the specialist is asked, the LLM answers."""
    reason: DecisionReason
    """Why the LLM answers, or live / canary / override where the specialist may."""
    route: Route | None = None
    min_confidence: float | None = None
    """The confidence from which the specialist's answer is served; None: whatever it is."""


def plan(
    route: Route | None, *, override: Override = "auto", canary_key: str = "", now_s: float = 0.0
) -> RoutingPlan:
    """The plan for a request: may the specialist be asked, and may its answer be used.

    Args:
        route: the route that the table matched, None where nothing did.
        override: the model the caller asks for. "slm" lifts threshold, shadow and canary, but never
            opens a closed route.
        canary_key: session, episode or request id; the same key is always on the same side of a canary, and stays in
            it as its share grows. '' is never in a canary.
        now_s: Unix seconds, for the age of the certificate; 0: not known.
    """

    def to_llm(reason: DecisionReason) -> RoutingPlan:
        return RoutingPlan(ask_specialist=False, may_serve=False, reason=reason, route=route)

    def to_specialist(reason: DecisionReason, *, may_serve: bool = True) -> RoutingPlan:
        threshold = None if route is None or override == "slm" else route.threshold
        return RoutingPlan(
            ask_specialist=True, may_serve=may_serve, reason=reason, route=route, min_confidence=threshold
        )

    if override == "llm":
        return to_llm("override")
    if route is None:
        return to_llm("no_route")
    if route.state == "rolled_back":
        return to_llm("rolled_back")
    if route.state == "closed" or route.certificate is None or not route.specialist:
        return to_llm("closed")
    if expired(route.certificate, now_s):
        return to_llm("certificate_expired")
    if override == "slm":
        return to_specialist("override")
    if route.state == "shadow":
        return to_specialist("shadow", may_serve=False)
    if route.state == "canary":
        inside = in_canary(route.id, canary_key, route.share)
        return to_specialist("canary") if inside else to_llm("outside_canary")
    return to_specialist("live") if route.state == "live" else to_llm("closed")


def decide(
    planned: RoutingPlan, prediction: Prediction | None, *, failure: DecisionReason = "worker_error"
) -> Decision:
    """Which model answers, and why.

    Args:
        planned: the plan of the request.
        prediction: the specialist's answer; None where it was not asked or failed.
        failure: why there is no prediction although the plan asked for one.
    """
    route = planned.route
    if route is None or not planned.ask_specialist:
        return Decision(reason=planned.reason, route_id=route.id if route else "")
    if prediction is None:
        return Decision(reason=failure, route_id=route.id, specialist=route.specialist)
    served, reason = planned.may_serve, planned.reason
    least = planned.min_confidence
    if served and prediction.answer is None:
        served, reason = False, "contract"
    elif served and prediction.answer == DEFER and route.contract.may_defer:
        served, reason = False, "defer"
    elif served and least is not None and not prediction.confidence >= least:
        served = False
        reason = "out_of_distribution" if prediction.out_of_distribution else "below_threshold"
    # a certificate says nothing of an answer that was served whatever its confidence
    certified = route.certificate if served and least is not None else None
    return Decision(
        served_by="slm" if served else "llm",
        reason=reason,
        route_id=route.id,
        confidence=prediction.confidence,
        certificate_id=certified.id if certified is not None else "",
        specialist=route.specialist,
        specialist_ms=prediction.latency_ms,
    )


def in_canary(route_id: str, key: str, share: float) -> bool:
    """True where a key falls into the canary share of a route; monotone in the share."""
    if share >= 1.0:
        return True
    if not key:
        return False
    digest = blake2b(f"{route_id}\x1f{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < share
