"""The comparison of a specialist in shadow with the LLM, from recorded calls: numbers only, no text.

Pure: calls in, figures out.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from itertools import pairwise

import msgspec

from deputize.core.records import Call, Record, Route
from deputize.scoring.intervals import clopper_pearson

BANDS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)
"""Edges of the bands of confidence that agreement is shown for."""


class ConfidenceBand(Record):
    """Agreement of the answers with a confidence in [low, high)."""

    low: float
    high: float
    """1 is in the last band."""
    n: int
    n_agreed: int


class ShadowComparison(Record):
    """Figures of the calls that a specialist was asked beside the LLM: had it served them."""

    route_id: str
    task_name: str
    specialist: str
    threshold: float
    allowed: float
    """Mean loss that the calls it would have served may have."""
    n_compared: int
    n_deferred: int
    """Of them, left to the LLM by the specialist itself."""
    n_served: int
    """Of them, answered with enough confidence to be served."""
    n_differed: int
    """Of those, answered otherwise than the LLM did."""
    differed_low: float
    differed_high: float
    """Exact 95 % interval of the share that differed among the served."""
    llm_ms: tuple[float, float]
    """Median and 95th percentile of the LLM's latency."""
    specialist_ms: tuple[float, float]
    """The same of the specialist's."""
    llm_usd: float
    """What the LLM cost for the calls compared."""
    specialist_usd: float
    """What the specialist would have cost for them."""
    saved_usd: float
    """What would have been saved on the calls that would have been served."""
    first_s: float
    """Unix seconds of the first and last call compared; 0 where there is none."""
    last_s: float
    bands: list[ConfidenceBand] = msgspec.field(default_factory=list)

    @property
    def share_served(self) -> float:
        """Of the calls compared."""
        return self.n_served / self.n_compared if self.n_compared else 0.0


class _Said(msgspec.Struct, frozen=True):
    """Answer of a specialist to one call, as far as it counts here."""

    confidence: float
    agrees: bool
    deferred: bool
    ms: float


def said_by(call: Call, route: Route) -> _Said | None:
    """The answer of a route's specialist to a call in shadow; None where it was not compared."""
    decision = call.decision
    if decision is None or decision.route_id != route.id:
        return None
    if decision.challenger is not None and decision.challenger.specialist == route.specialist:
        one = decision.challenger
        return _Said(one.confidence, one.agrees, one.deferred, one.latency_ms)
    if (
        decision.reason == "shadow"
        and decision.specialist == route.specialist
        and decision.shadow_agrees is not None
    ):
        ms = decision.specialist_ms or 0.0
        return _Said(decision.confidence or 0.0, decision.shadow_agrees, decision.deferred, ms)
    return None


def compared(
    calls: Iterable[Call],
    route: Route,
    *,
    allowed: float,
    llm_usd: Callable[[Call], float],
    specialist_usd: Callable[[float], float],
    since_s: float = 0.0,
) -> ShadowComparison:
    """The comparison; the calls are read once, as a stream.

    Args:
        calls: recorded, in any order.
        route: in shadow, or a challenger.
        allowed: mean loss that served calls may have.
        llm_usd: price of a call.
        specialist_usd: price of some seconds of the specialist.
        since_s: Unix seconds; earlier calls do not count.
    """
    said: list[_Said] = []
    times: list[float] = []
    llm_ms: list[float] = []
    paid = saved = own = 0.0
    for call in calls:
        one = said_by(call, route) if (call.timestamp or 0.0) >= since_s else None
        if one is None:
            continue
        usd, own_usd = llm_usd(call), specialist_usd(one.ms / 1e3)
        said.append(one)
        times.append(call.timestamp or 0.0)
        llm_ms.append(call.latency_ms or 0.0)
        paid, own = paid + usd, own + own_usd
        saved -= own_usd
        if is_served(one, route):
            saved += usd
    served = [one for one in said if is_served(one, route)]
    n_differed = sum(not one.agrees for one in served)
    low, high = clopper_pearson(n_differed, len(served)) if served else (0.0, 1.0)
    return ShadowComparison(
        route_id=route.id,
        task_name=route.task_name,
        specialist=route.specialist,
        threshold=route.threshold,
        allowed=allowed,
        n_compared=len(said),
        n_deferred=sum(one.deferred for one in said),
        n_served=len(served),
        n_differed=n_differed,
        differed_low=low,
        differed_high=high,
        llm_ms=_median_and_95(llm_ms),
        specialist_ms=_median_and_95([one.ms for one in said]),
        llm_usd=paid,
        specialist_usd=own,
        saved_usd=saved,
        first_s=min(times, default=0.0),
        last_s=max(times, default=0.0),
        bands=_bands([one for one in said if not one.deferred]),
    )


def is_served(one: _Said, route: Route) -> bool:
    """True where the specialist's answer would have been served."""
    return not one.deferred and one.confidence >= route.threshold


def _bands(said: list[_Said]) -> list[ConfidenceBand]:
    out = []
    for low, high in pairwise(BANDS):
        inside = [one for one in said if low <= one.confidence < high or (high == 1.0 == one.confidence)]
        if inside:
            agreed = sum(one.agrees for one in inside)
            out.append(ConfidenceBand(low=low, high=high, n=len(inside), n_agreed=agreed))
    return out


def _median_and_95(values: list[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 0.0
    ordered = sorted(values)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
