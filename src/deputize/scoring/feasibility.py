"""Feasibility of certificates, before anything is trained: how many independent groups a claim needs, and when they
will be there.

Knows nothing of models: counts of groups and calls in, numbers and a sentence out.

References:
    Clopper and Pearson, 1934: the exact binomial bound that `certificates.exact_p` inverts.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence

import numpy as np

from deputize.core.certification import DeltaSpending, Feasibility
from deputize.core.percentages import percent, whole_percent
from deputize.scoring.certificates import units_needed
from deputize.scoring.intervals import clopper_pearson

MOST_GROUPS = 10**9
"""Groups beyond which nobody waits."""


def smallest_epsilon(n_units: int, delta: float, errors: int = 0) -> float:
    """The least loss that `n_units` independent units could be certified at, if `errors` of them are served and wrong.

    1.0 where there is no unit. With no error it is 1 - delta ** (1 / n).

    Raises:
        ValueError: delta outside (0, 1), or more errors than units.
    """
    if not (0 < delta < 1 and 0 <= errors <= max(n_units, 0)):
        raise ValueError(f"delta must lie in (0, 1) and errors in 0..n: {delta}, {errors}, {n_units}")
    if n_units <= 0:
        return 1.0
    # the upper end of a two-sided interval of level 1 - 2 delta is the one-sided bound at delta
    return clopper_pearson(errors, n_units, 1 - 2 * delta)[1] if delta < 0.5 else 1 - delta ** (1 / n_units)


def expected_units(sizes_G: Sequence[int], largest: int) -> float:
    """Expected number of units that the size-weighted draw keeps of groups with these sizes (see `draw_calls`).

    Args:
        sizes_G: calls of the task in each group.
        largest: the size at which a group is certain to be kept.
    """
    return float(np.minimum(1.0, np.asarray(sizes_G, dtype=float) / max(1, largest)).sum())


def feasibility(
    n_groups: int,
    n_units: float,
    epsilon: float,
    spending: DeltaSpending,
    *,
    fresh_level: float,
    growth: Callable[[int], float],
    groups_per_day: float | None = None,
    largest_share: float | None = None,
    n_with_reserve: float = 0.0,
) -> Feasibility:
    """Certificates that `n_groups` groups of a task can carry.

    Args:
        n_groups: independent groups of the task in the log, over all splits.
        n_units: calibration units expected of them (fewer: calibration is a part, and the draw is by size).
        epsilon: the loss to be claimed.
        spending: the level that is left for the test.
        fresh_level: the level of a test on groups that no test has seen.
        growth: calibration units of a log of so many groups of the task, at the largest share that calibration can
            have of it; rising.
        groups_per_day: new groups of the task in a day; None where the log has no times.
        largest_share: of the task's calls, those of the largest group, where that is why there are few units.
        n_with_reserve: units there are where no training reads the log's reserve; 0: it has none, or `n_units` counts
            it.
    """
    needed, units = units_needed(epsilon, spending.test_level), math.floor(n_units + 1e-9)
    possible = units >= needed
    more = 0 if possible else _more_groups(n_groups, n_units, epsilon, spending, fresh_level, growth)
    days = more / groups_per_day if more and groups_per_day else (None if more else 0.0)
    smallest = smallest_epsilon(units, spending.test_level)
    have = _units_words(n_groups, units, math.floor(n_with_reserve + 1e-9), largest_share)
    return Feasibility(
        n_groups=n_groups,
        n_units=units,
        n_needed=needed,
        epsilon=epsilon,
        delta=spending.delta,
        test_level=spending.test_level,
        n_earlier=spending.n_earlier,
        smallest_epsilon=smallest,
        possible=possible,
        n_more_groups=more,
        days=days,
        sentence=_sentence(have, needed, epsilon, spending, smallest, more, days),
    )


def _more_groups(
    n_groups: int,
    n_units: float,
    epsilon: float,
    spending: DeltaSpending,
    fresh_level: float,
    growth: Callable[[int], float],
) -> int:
    """Groups that are missing: for a test of all of them at what is left of delta, or of new ones alone, whichever is
    sooner."""
    needed = units_needed(epsilon, spending.test_level)
    if n_units > 0 and growth(n_groups) >= needed:
        # the task has another share of calibration than it could have by itself: it grows with the log as it is
        more = math.ceil(needed * n_groups / n_units) - n_groups
    else:
        more = groups_for(needed, growth) - n_groups
    if spending.n_earlier:
        more = min(more, groups_for(units_needed(epsilon, fresh_level), growth))
    return max(1, more)


def groups_for(n_needed: int, growth: Callable[[int], float]) -> int:
    """The fewest groups that give so many calibration units.

    Args:
        n_needed: units.
        growth: calibration units of so many groups; rising.
    """
    return bisect_left(range(MOST_GROUPS), True, key=lambda n: growth(n) + 1e-9 >= n_needed)


def _units_words(n_groups: int, n_units: int, n_with_reserve: int, largest_share: float | None) -> str:
    have = (
        f"{n_groups:,} independent episode{'' if n_groups == 1 else 's'} "
        f"give about {n_units:,} calibration unit{'' if n_units == 1 else 's'}"
    )
    if n_with_reserve > n_units:
        have += f" ({n_with_reserve:,} where no language model is tuned)"
    if largest_share is not None:
        have += (
            f", since one episode has {whole_percent(largest_share)} of the calls and each call counts alike"
        )
    return have


def _sentence(
    have: str,
    n_needed: int,
    epsilon: float,
    spending: DeltaSpending,
    smallest: float,
    n_more: int,
    days: float | None,
) -> str:
    spent = ""
    if spending.n_earlier:
        tests = "an earlier test" if spending.n_earlier == 1 else f"{spending.n_earlier} earlier tests"
        spent = f", of which {tests} on the same episodes left {spending.test_level:.2g} for this one"
    need = f"{n_needed:,} are needed for epsilon {epsilon:g} at delta {spending.delta:g}{spent}"
    if not n_more:
        return f"{have}; {need}"
    rounded = math.ceil(smallest * 1000) / 1000
    reach = (
        f"The smallest epsilon within reach is {percent(rounded)} (`--epsilon {rounded:g}`)"
        if smallest < 0.5
        else "No useful epsilon is within reach"
    )
    wait = f", about {_days(days)} at the rate of this log" if days is not None else ""
    new = "new" if spending.n_earlier else "more"
    return f"{have}; {need}. {reach}; about {n_more:,} {new} episodes would do{wait}"


def _days(days: float) -> str:
    if days < 1:
        return "a day"
    return f"{math.ceil(days):,} day{'' if math.ceil(days) == 1 else 's'}"
