"""Feasibility of certificates, before anything is trained: how many independent groups a claim needs, and when they will be there.

Knows nothing of models: counts of groups and calls in, numbers and a sentence out.

References:
    Clopper and Pearson, 1934: the exact binomial bound that `certificates.exact_p` inverts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deputize.scoring.certificates import percent, units_needed
from deputize.scoring.intervals import clopper_pearson


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


@dataclass(frozen=True)
class Feasibility:
    """Verdict on whether the groups of a task can carry a certificate, and what would be enough."""

    n_groups: int
    """Independent groups of the task in the whole log."""
    n_units: int
    """Calibration units to be expected of them."""
    n_needed: int
    """Units without a single error that the claim needs."""
    epsilon: float
    delta: float
    smallest_epsilon: float
    """The least loss that `n_units` could be certified at, without a single error."""
    n_more_groups: int
    """Groups that are missing in the whole log; 0 where there are enough."""
    days: float | None
    """Days until they are there, at the rate of the log; None where the log has no times."""

    @property
    def possible(self) -> bool:
        """True if a specialist without an error would be certified."""
        return self.n_units >= self.n_needed

    def sentence(self) -> str:
        """The verdict as a sentence."""
        have = (
            f"{self.n_groups:,} independent episode{'' if self.n_groups == 1 else 's'} "
            f"give about {self.n_units:,} calibration unit{'' if self.n_units == 1 else 's'}"
        )
        need = f"{self.n_needed:,} are needed for epsilon {self.epsilon:g} at delta {self.delta:g}"
        if self.possible:
            return f"{have}; {need}"
        reach = (
            f"the smallest epsilon within reach is {percent(math.ceil(self.smallest_epsilon * 1000) / 1000)}"
            if self.smallest_epsilon < 0.5
            else "no useful epsilon is within reach"
        )
        wait = f", about {_days(self.days)} at the rate of this log" if self.days is not None else ""
        return f"{have}; {need}. {reach[0].upper()}{reach[1:]}; about {self.n_more_groups:,} more episodes would do{wait}"


def feasibility(
    n_groups: int,
    n_units: float,
    epsilon: float,
    delta: float,
    *,
    groups_per_day: float | None = None,
) -> Feasibility:
    """Certificates that `n_groups` groups of a task can carry.

    Args:
        n_groups: independent groups of the task in the log, over all splits.
        n_units: calibration units expected of them (fewer: calibration is a part, and the draw is by size).
        epsilon: the loss to be claimed.
        delta: the level of the test.
        groups_per_day: new groups of the task in a day; None where the log has no times.
    """
    needed = units_needed(epsilon, delta)
    share = n_units / n_groups if n_groups and n_units > 0 else 0.25
    more = max(0, math.ceil(needed / share) - n_groups) if n_units < needed else 0
    days = more / groups_per_day if more and groups_per_day else (0.0 if not more else None)
    units = math.floor(n_units)
    return Feasibility(
        n_groups=n_groups,
        n_units=units,
        n_needed=needed,
        epsilon=epsilon,
        delta=delta,
        smallest_epsilon=smallest_epsilon(units, delta),
        n_more_groups=more,
        days=days,
    )


def _days(days: float) -> str:
    if days < 1:
        return "a day"
    return f"{math.ceil(days):,} day{'' if math.ceil(days) == 1 else 's'}"
