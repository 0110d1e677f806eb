"""Sizes of a log's splits, as shares of its groups: calibration by what a claim needs, held-out calls a check,
training the rest."""

from __future__ import annotations

from typing import TypeAlias

Shares: TypeAlias = tuple[float, float, float, float]
"""Of train, validation, calibration and test."""
MAX_CALIBRATION, COMMON_CALIBRATION = 0.46, 0.25
"""Largest share of calibration, and its share where more evidence is not needed but welcome."""
ENOUGH = 4
"""Calibration units, as a multiple of what a claim needs at no error, from which more would allow few more errors."""
ENOUGH_CALIBRATION, ENOUGH_VALIDATION, ENOUGH_TEST = 1500, 500, 1000
"""Groups from which a split need not grow with the log."""
MAX_TEST = 0.10
VALIDATION_OF_REST, MIN_VALIDATION, MAX_VALIDATION_OF_REST = 1 / 7, 24, 1 / 4
"""Of what calibration and test leave, validation gets the first share, or as many groups up to the last: methods are
chosen on it."""


def shares_with(calibration: float, n_groups: int) -> Shares:
    """The shares of all splits.

    Args:
        calibration: share of calibration.
        n_groups: of the log.
    """
    test = min(MAX_TEST, ENOUGH_TEST / max(1, n_groups))
    rest = 1 - calibration - test
    least = min(MIN_VALIDATION / max(1, n_groups), rest * MAX_VALIDATION_OF_REST)
    validation = min(ENOUGH_VALIDATION / max(1, n_groups), max(rest * VALIDATION_OF_REST, least))
    return rest - validation, validation, calibration, test


def least_calibration(n_groups: int) -> float:
    """The share of calibration where more evidence is not needed."""
    return min(COMMON_CALIBRATION, ENOUGH_CALIBRATION / max(1, n_groups))


def most_calibration(n_groups: int, *, keeps_reserve: bool) -> float:
    """Largest share of a log's groups that a claim can be tested on.

    Args:
        n_groups: of the log.
        keeps_reserve: what would be validation is calibrated on, since choices are made by cross-fitting.
    """
    return MAX_CALIBRATION + (shares_with(MAX_CALIBRATION, n_groups)[1] if keeps_reserve else 0.0)


def needed_calibration(n_units: float, n_needed: int, most: float) -> float:
    """The share of a site's units that calibration needs; 0 where even the largest share would not do.

    Args:
        n_units: that the groups of the site could give.
        n_needed: of a claim without an error.
        most: largest share of the groups that a claim can be tested on.
    """
    if n_units * most < n_needed:
        return 0.0
    return min(MAX_CALIBRATION, ENOUGH * n_needed / n_units)


def is_short(shares: Shares) -> bool:
    """True where calibration could use more groups than it gets, and a claim is possible: choices are then better
    made by cross-fitting on train than on groups that calibration lacks. At an epsilon and delta of .05 that is so
    below some 550 independent groups."""
    return shares[2] >= MAX_CALIBRATION
