"""Shares as people read them. Pure."""

from __future__ import annotations


def percent(share: float) -> str:
    """A share as a short percentage, with three digits at most: .02 -> "2 %", .005 -> "0.5 %"."""
    return f"{100 * share:.3g} %"


def whole_percent(share: float) -> str:
    """A share as a percentage without decimals: .984 -> "98 %"."""
    return f"{100 * share:.0f} %"
