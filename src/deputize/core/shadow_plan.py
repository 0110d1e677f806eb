"""The limits of a comparison in shadow that a person has started."""

from __future__ import annotations

import msgspec


class ShadowPlan(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The limits of a comparison that a person has started: afterwards the route is closed."""

    share: float = 1.0
    """Of the route's calls, asked of the specialist as well."""
    until_s: float | None = None
    """Unix seconds; None: no end."""
    budget_usd: float | None = None
    """US dollars of the specialist's time and of second answers of the LLM; None: no limit."""
    only_compare: bool = False
    """The route is not promoted, whatever the comparison shows."""
