"""A short search for the learning rate of a training: each candidate tunes on the same part of train for one pass, and
validation says which is taken.

The usual rate is tried first and stays where no other is better, or where there was no time for another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from deputize.core.deadline import Clock
from deputize.stages.finetune.trainer import TrainingSettings

FACTORS = (1.0, 0.3, 3.0)
"""Of the method's usual learning rate."""
SHARE = 0.15
"""Part of a job's time for the whole search."""
MOST_EXAMPLES = 128
"""Of train, for each trial."""

Trial = Callable[[TrainingSettings, float], "float | None"]
"""(settings, seconds) -> how good validation is after one pass, more is better; None where there was no time for it."""
Item = TypeVar("Item")


def searched(settings: TrainingSettings, trial: Trial, budget_s: float, clock: Clock) -> TrainingSettings:
    """The settings with the learning rate that was best in the trials, which they list.

    Args:
        settings: the usual ones.
        trial: trains and measures.
        budget_s: seconds for all trials; one that would not fit by the time of the first is not begun.
        clock: seconds.
    """
    began, found, first_s = clock(), dict[float, float](), 0.0
    for at, factor in enumerate(FACTORS):
        left_s = budget_s - (clock() - began)
        if left_s <= 0 or (at and left_s < first_s):
            break
        started = clock()
        score = trial(replace(settings, epochs=1, lr=factor * settings.lr), left_s / (len(FACTORS) - at))
        first_s = first_s or clock() - started
        if score is None:
            break
        found[factor * settings.lr] = score
    # among equals the usual one, which was tried first
    best = max(found, key=lambda rate: found[rate], default=settings.lr)
    return replace(settings, lr=best, searched=tuple(found.items()))


def part_of(items: Sequence[Item]) -> list[Item]:
    """At most MOST_EXAMPLES of them, spread over all."""
    return list(items[:: -(-len(items) // MOST_EXAMPLES)]) if len(items) > MOST_EXAMPLES else list(items)
