"""What a log can carry is said with the numbers of the test itself."""

from __future__ import annotations

import pytest

from deputize.scoring.certificates import exact_p, units_needed
from deputize.scoring.feasibility import expected_units, feasibility, smallest_epsilon


@pytest.mark.parametrize("n", [5, 31, 59, 149, 600])
@pytest.mark.parametrize("errors", [0, 1, 3])
def test_the_smallest_epsilon_is_where_the_exact_test_begins_to_pass(n: int, errors: int) -> None:
    limit = smallest_epsilon(n, 0.05, errors)
    losses = [1] * errors + [0] * (n - errors)
    assert exact_p(losses, limit + 1e-6)[0] <= 0.05 < exact_p(losses, limit - 1e-6)[0]


def test_nothing_can_be_claimed_of_no_unit() -> None:
    assert smallest_epsilon(0, 0.05) == 1.0
    with pytest.raises(ValueError, match="errors"):
        smallest_epsilon(10, 0.05, 11)


def test_units_of_unequal_groups() -> None:
    assert expected_units([4, 4, 4], 4) == 3.0
    assert expected_units([1, 2, 4, 9], 4) == pytest.approx(0.25 + 0.5 + 1 + 1)
    assert expected_units([], 0) == 0.0


def test_thirty_one_groups_are_told_what_they_can_reach_and_how_long_to_wait() -> None:
    found = feasibility(31, 31 * 0.25, 0.05, 0.05, groups_per_day=20.0)
    assert not found.possible
    assert found.n_units == 7 and found.n_needed == units_needed(0.05, 0.05) == 59
    assert found.n_more_groups == 59 * 4 - 31
    assert found.days == pytest.approx((59 * 4 - 31) / 20)
    text = found.sentence()
    assert "31 independent episodes" in text and "59 are needed for epsilon 0.05" in text
    assert "205 more episodes would do, about 11 days" in text


def test_enough_groups_need_no_advice() -> None:
    found = feasibility(600, 150, 0.02, 0.05)
    assert found.possible and found.n_more_groups == 0 and found.days == 0.0
    assert "more episodes" not in found.sentence()


def test_a_log_without_times_gives_no_days() -> None:
    found = feasibility(100, 25, 0.05, 0.05)
    assert found.days is None and "at the rate" not in found.sentence()
