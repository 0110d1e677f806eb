"""Which rung of the ladder serves a task: decided on dev alone, before a calibration label is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deputize.core.artifacts import Specialist
from deputize.stages.evaluate.evaluation import Evaluation

MARGINS = (0.02, 0.05)
"""Least and largest share by which a dearer rung has to serve more."""


@dataclass(frozen=True)
class MethodChoice:
    """The chosen rung and why."""

    index: int
    scores: list[float]
    """Share servable on dev, one per rung."""
    reason: str


def in_order_of_cost(specialists: Sequence[Specialist], plan: Sequence[str]) -> list[Specialist]:
    """Specialists from the cheapest method to the most expensive: in the plan's order, then by cost."""
    place = {method: at for at, method in enumerate(plan)}
    return sorted(specialists, key=lambda s: (place.get(s.method, len(plan)), s.cost, s.model))


def dev_score(dev: Evaluation, epsilon: float) -> float:
    """How much a rung could serve at about this loss: hindsight coverage, averaged over epsilon / 2, epsilon, 2 epsilon.

    One epsilon alone is decided by one or two errors on a small dev set.
    """
    return sum(dev.servable(epsilon * factor) for factor in (0.5, 1.0, 2.0)) / 3


def settled(dev: Evaluation, epsilon: float) -> bool:
    """Whether a rung serves so much of dev that no dearer one could be chosen before it, whatever it answered."""
    return len(dev) > 0 and dev_score(dev, epsilon) >= 1 - MARGINS[0]


def choose(rungs: Sequence[Specialist], measured: Sequence[Evaluation], epsilon: float) -> MethodChoice:
    """The cheapest rung whose servable share on dev is within a margin of the best one's.

    The margin is one standard error of the best share (at least .02, at most .05): a dearer rung has to earn its place
    by more than chance. Where nothing can be served by any, the most accurate rung is chosen, for the report.

    Args:
        rungs: in order of cost.
        measured: on dev, one per rung.
        epsilon: the loss to be certified.
    """
    scores = [dev_score(m, epsilon) for m in measured]
    best = max(scores)
    if best <= 0:
        by_accuracy = [m.accuracy or 0.0 for m in measured]
        index = by_accuracy.index(max(by_accuracy))
        return MethodChoice(
            index, scores, f"no rung could serve anything on dev; {rungs[index].method} agrees most often"
        )
    n_groups = max(1, len(set(measured[scores.index(best)].groups)))
    margin = min(MARGINS[1], max(MARGINS[0], math.sqrt(best * (1 - best) / n_groups)))
    index = next(i for i, score in enumerate(scores) if score >= best - margin)
    leader = rungs[scores.index(best)].method
    if index == scores.index(best):
        reason = f"{rungs[index].method} could serve the most on dev ({best:.0%})"
    else:
        reason = f"{rungs[index].method} is cheaper and could serve {scores[index]:.0%} on dev, {leader} {best:.0%}"
    return MethodChoice(index, scores, reason)
