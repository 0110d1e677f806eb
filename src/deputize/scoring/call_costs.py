"""Expected cost of a call with a route, from what the LLM, its cache, the specialist, audits and wrong answers cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Costs: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class CallCosts:
    """Costs of one call of a task, in US dollars."""

    llm_usd: float
    """Of the LLM."""
    specialist_usd: float
    """Of the specialist, asked alone."""
    audit_share: float = 0.0
    """Share of the served calls for which the LLM is asked as well."""
    error_usd: float = 0.0
    """Price of a served answer that is not the LLM's."""
    cache_usd: float = 0.0
    """What the LLM is cheaper by thanks to its provider's cache, which is colder where calls are served."""
    llm_s: float | None = None
    """Seconds of the LLM for a call, the median of the log; None: the log does not say."""
    specialist_s: float = 0.0
    """Of the specialist, asked alone."""


def expected_usd(share_served_L: ArrayLike, errors_L: ArrayLike, costs: CallCosts) -> Costs:
    """Expected cost of one call of a route in US dollars.

    The specialist always runs, the LLM when the call is not served or is audited, calls left to it find its cache
    colder, and a wrong answer has its price.

    Args:
        share_served_L: share of the calls that are served.
        errors_L: share of the calls that are served and wrong.
        costs: of one call.
    """
    share_L = np.asarray(share_served_L, dtype=float)
    asked_L = 1 - share_L + costs.audit_share * share_L
    wrong_usd = np.asarray(errors_L, dtype=float) * costs.error_usd
    return (
        costs.specialist_usd
        + asked_L * costs.llm_usd
        + colder_cache_usd(costs.cache_usd, share_L)
        + wrong_usd
    )


def colder_cache_usd(cache_usd: float, share_served_L: ArrayLike) -> Costs:
    """Cost of the provider's cache that calls left to the LLM no longer find, since those before them are served.

    Args:
        cache_usd: what the calls are cheaper by where all of them go to the LLM.
        share_served_L: share of them that is served: so likely is it that the call before was, and the cache is not
            warm.
    """
    share_L = np.asarray(share_served_L, dtype=float)
    colder_L: Costs = cache_usd * share_L * (1 - share_L)
    return colder_L
