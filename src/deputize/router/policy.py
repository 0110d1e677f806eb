"""Which model answers a call: a pure function of route, prediction, override and a sticky key. No I/O, no clock.

Everything that is not plainly allowed goes to the LLM: a route fails closed.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import Literal, TypeAlias

from deputize.core.contracts import DEFER
from deputize.core.records import Decision, Prediction, Record, Route

Override: TypeAlias = Literal["llm", "slm", "auto"]
"""What the caller asks for (header x-deputize-route)."""
OVERRIDES: frozenset[str] = frozenset({"llm", "slm", "auto"})


class RoutingPlan(Record, frozen=True):
    """What to do with a request before any model was asked."""

    ask_specialist: bool
    may_serve: bool
    """False in shadow: the specialist is asked, the LLM answers."""
    reason: str
    """Why the LLM answers, or live / canary / override where the specialist may."""


def plan(route: Route | None, *, override: str = "auto", canary_key: str = "") -> RoutingPlan:
    """Whether a request goes to the specialist at all, and whether its answer may be used.

    Args:
        route: what the table matched, None where nothing did.
        override: llm, slm or auto; any other value counts as auto.
        canary_key: session, episode or request id; the same key is always on the same side of a canary, and stays in
            it as its share grows. '' is never in a canary.
    """
    if override == "llm":
        return RoutingPlan(ask_specialist=False, may_serve=False, reason="override")
    if route is None:
        return RoutingPlan(ask_specialist=False, may_serve=False, reason="no_route")
    if route.state == "rolled_back":
        return RoutingPlan(ask_specialist=False, may_serve=False, reason="rolled_back")
    if route.state == "closed" or route.certificate is None or not route.specialist:
        return RoutingPlan(ask_specialist=False, may_serve=False, reason="closed")
    if override == "slm":
        return RoutingPlan(ask_specialist=True, may_serve=True, reason="override")
    if route.state == "shadow":
        return RoutingPlan(ask_specialist=True, may_serve=False, reason="shadow")
    if route.state == "canary":
        if not in_canary(route.id, canary_key, route.share):
            return RoutingPlan(ask_specialist=False, may_serve=False, reason="outside_canary")
        return RoutingPlan(ask_specialist=True, may_serve=True, reason="canary")
    if route.state == "live":
        return RoutingPlan(ask_specialist=True, may_serve=True, reason="live")
    return RoutingPlan(ask_specialist=False, may_serve=False, reason="closed")


def decide(
    route: Route | None,
    prediction: Prediction | None,
    *,
    override: str = "auto",
    canary_key: str = "",
    failure: str = "",
) -> Decision:
    """Which model answers, and why.

    Args:
        route: what the table matched, None where nothing did.
        prediction: the specialist's answer; None where it was not asked or failed.
        override: llm, slm or auto. "slm" lifts threshold, shadow and canary, but never opens a closed route.
        canary_key: see `plan`.
        failure: why there is no prediction although the plan asked for one: worker_error, timeout, ...
    """
    planned = plan(route, override=override, canary_key=canary_key)
    if route is None or not planned.ask_specialist:
        return Decision(reason=planned.reason, route_id=route.id if route else "")
    certificate_id = route.certificate.id if route.certificate else ""
    if prediction is None:
        return Decision(reason=failure or "worker_error", route_id=route.id, certificate_id=certificate_id)
    served = planned.may_serve
    reason = planned.reason
    if served and prediction.answer is None:
        served, reason = False, "contract"
    elif served and prediction.answer == DEFER and route.contract.may_defer:
        served, reason = False, "defer"
    elif served and override != "slm" and not prediction.confidence >= route.threshold:
        served, reason = False, "below_threshold"
    return Decision(
        served_by="slm" if served else "llm",
        reason=reason,
        route_id=route.id,
        confidence=prediction.confidence,
        certificate_id=certificate_id,
        specialist_ms=prediction.latency_ms,
    )


def in_canary(route_id: str, key: str, share: float) -> bool:
    """Whether a key falls into the canary share of a route; monotone in the share."""
    if share >= 1.0:
        return True
    if not key:
        return False
    digest = blake2b(f"{route_id}\x1f{key}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64 < share
