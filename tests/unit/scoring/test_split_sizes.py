"""Sizes of splits, and the fewest groups with which a claim can be tested."""

from __future__ import annotations

import pytest

from deputize.scoring.certificates import units_needed
from deputize.scoring.feasibility import groups_for
from deputize.scoring.ledger import level
from deputize.scoring.split_sizes import (
    MAX_CALIBRATION,
    is_short,
    least_calibration,
    most_calibration,
    needed_calibration,
    shares_with,
)


@pytest.mark.parametrize(
    ("epsilon", "with_reserve", "without"),
    [(0.1, 55, 68), (0.05, 111, 137), (0.02, 296, 348), (0.01, 614, 698)],
)
def test_the_fewest_groups_of_a_claim(epsilon: float, with_reserve: int, without: int) -> None:
    needed = units_needed(epsilon, level(0, 0.05))
    for n, kept in ((with_reserve, True), (without, False)):
        found = groups_for(needed, lambda n, kept=kept: n * most_calibration(n, keeps_reserve=kept))  # type: ignore[misc]
        assert found == n
        assert needed_calibration(n, needed, most_calibration(n, keeps_reserve=kept)) == MAX_CALIBRATION
        assert needed_calibration(n - 1, needed, most_calibration(n - 1, keeps_reserve=kept)) == 0


@pytest.mark.parametrize("n_groups", [1, 5, 112, 600, 10_000, 10**6])
@pytest.mark.parametrize("calibration", [0.0015, 0.25, MAX_CALIBRATION])
def test_shares_are_positive_and_sum_to_one(n_groups: int, calibration: float) -> None:
    shares = shares_with(calibration, n_groups)
    assert sum(shares) == pytest.approx(1) and min(shares) > 0 and shares[2] == calibration
    assert is_short(shares) == (calibration == MAX_CALIBRATION)
    assert least_calibration(n_groups) <= 0.25
