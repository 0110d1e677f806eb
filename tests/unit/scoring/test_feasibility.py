"""What a log can carry is said with the numbers of the test itself."""

from __future__ import annotations

import pytest

from deputize.core.certification import DeltaSpending, Feasibility
from deputize.scoring.certificates import exact_p, units_needed
from deputize.scoring.feasibility import expected_units, feasibility, groups_for, smallest_epsilon


@pytest.mark.parametrize("n", [5, 31, 59, 149, 600])
@pytest.mark.parametrize("errors", [0, 1, 3])
def test_the_smallest_epsilon_is_where_the_exact_test_begins_to_pass(n: int, errors: int) -> None:
    limit = smallest_epsilon(n, 0.05, errors)
    assert exact_p(errors, n, limit + 1e-6)[0] <= 0.05 < exact_p(errors, n, limit - 1e-6)[0]


def test_nothing_can_be_claimed_of_no_unit() -> None:
    assert smallest_epsilon(0, 0.05) == 1.0
    with pytest.raises(ValueError, match="errors"):
        smallest_epsilon(10, 0.05, 11)


def test_units_of_unequal_groups() -> None:
    assert expected_units([4, 4, 4], 4) == 3.0
    assert expected_units([1, 2, 4, 9], 4) == pytest.approx(0.25 + 0.5 + 1 + 1)
    assert expected_units([], 0) == 0.0


def verdict(
    n_groups: int,
    n_units: float,
    epsilon: float,
    level: float = 0.05,
    n_earlier: int = 0,
    per_day: float | None = None,
) -> Feasibility:
    test_level = DeltaSpending(delta=0.05, test_level=level, n_earlier=n_earlier)
    return feasibility(
        n_groups,
        n_units,
        epsilon,
        test_level,
        fresh_level=0.04,
        growth=lambda n: n / 4,
        groups_per_day=per_day,
    )


def test_thirty_one_groups_are_told_what_they_can_reach_and_how_long_to_wait() -> None:
    found = verdict(31, 31 * 0.25, 0.05, per_day=20.0)
    assert not found.possible
    assert found.n_units == 7 and found.n_needed == units_needed(0.05, 0.05) == 59
    assert found.n_more_groups == 59 * 4 - 31
    assert found.days == pytest.approx((59 * 4 - 31) / 20)
    assert "31 independent episodes" in found.sentence and "59 are needed for epsilon 0.05" in found.sentence
    assert "`--epsilon 0.349`" in found.sentence
    assert "205 more episodes would do, about 11 days" in found.sentence


def test_enough_groups_need_no_advice() -> None:
    found = verdict(600, 150, 0.02)
    assert found.possible and found.n_more_groups == 0 and found.days == 0.0
    assert "more episodes" not in found.sentence


def test_a_log_without_times_gives_no_days() -> None:
    found = verdict(100, 25, 0.05)
    assert found.days is None and "at the rate" not in found.sentence


def test_what_earlier_tests_spent_is_said_and_new_episodes_are_counted_alone() -> None:
    found = verdict(300, 75, 0.05, level=0.0016, n_earlier=2)
    assert not found.possible and found.n_needed == units_needed(0.05, 0.0016) == 126
    assert found.n_more_groups == min(126 * 4 - 300, units_needed(0.05, 0.04) * 4)
    assert "2 earlier tests on the same episodes left 0.0016 for this one" in found.sentence
    far = verdict(300, 75, 0.05, level=1e-9, n_earlier=12)
    assert far.n_more_groups == units_needed(0.05, 0.04) * 4 and "new episodes would do" in far.sentence


def test_what_is_missing_is_counted_at_the_share_that_a_log_of_that_size_has() -> None:
    level = DeltaSpending(delta=0.05, test_level=0.05)
    found = feasibility(100, 25, 0.05, level, fresh_level=0.04, growth=lambda n: n / 2 if n > 110 else n / 4)
    assert found.n_more_groups == 118 - 100 and groups_for(59, lambda n: n / 2) == 118
    # a task that gets less than it could have by itself grows with its log
    found = feasibility(150, 25, 0.05, level, fresh_level=0.04, growth=lambda n: n / 2)
    assert found.n_more_groups == 59 * 6 - 150


def test_units_that_a_reserve_would_add_are_in_the_sentence() -> None:
    level = DeltaSpending(delta=0.05, test_level=0.04)
    more = feasibility(240, 110, 0.05, level, fresh_level=0.04, growth=float, n_with_reserve=134)
    said = (
        "240 independent episodes give about 110 calibration units (134 where no language model is tuned); 63"
    )
    assert more.sentence.startswith(said) and more.n_units == 110
