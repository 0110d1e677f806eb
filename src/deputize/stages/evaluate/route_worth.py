"""The worth of a certified route: it saves money, or, where the LLM costs nothing, time; else it is refused with the
numbers."""

from __future__ import annotations

from deputize.core.percentages import percent
from deputize.scoring.call_costs import CallCosts, colder_cache_usd, expected_usd


def weighed(costs: CallCosts) -> CallCosts:
    """The costs by which thresholds are compared: in dollars, or in seconds where the LLM has no price and its time is
    known.

    An LLM of one's own that is there anyway costs nothing a call; what a route can save then is waiting. Audits are not
    waited for. A wrong answer with a price is counted in dollars always.
    """
    if costs.llm_usd > 0 or costs.error_usd > 0 or costs.llm_s is None:
        return costs
    return CallCosts(llm_usd=costs.llm_s, specialist_usd=costs.specialist_s)


def not_worth(share: float, errors: float, costs: CallCosts) -> str:
    """Why a certified route saves nothing, for a reader; "" where it saves money, or time.

    Args:
        share: of the calls that it serves.
        errors: share of the calls that are served and wrong.
        costs: of one call.
    """
    counted = weighed(costs)
    route = float(expected_usd(share, errors, counted))
    if route < counted.llm_usd:
        return ""
    if counted is not costs:
        return (
            f"certified, but slower than the LLM, and nothing else would be saved, since the LLM has no price: {_times(costs)}; "
            f"with the route, which serves {percent(share)}, a call takes {route:.2g} s on average"
        )
    audits = share * costs.audit_share * costs.llm_usd
    return (
        f"certified, but the route would cost more than it saves: a call costs {costs.llm_usd:.2g} USD with the LLM and "
        f"{route:.2g} USD with the route, which serves {percent(share)} (specialist {costs.specialist_usd:.2g}, LLM for the "
        f"others {(1 - share) * costs.llm_usd:.2g}, its colder cache {colder_cache_usd(costs.cache_usd, share):.2g}, audits "
        f"{audits:.2g}, wrong answers {errors * costs.error_usd:.2g})"
        + (f"; {_times(costs)}" if costs.llm_s else "")
    )


def _times(costs: CallCosts) -> str:
    assert costs.llm_s is not None
    return f"a call takes {costs.specialist_s:.2g} s here and {costs.llm_s:.2g} s with the LLM (median of the log)"
