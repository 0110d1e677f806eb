"""Choice of the method that serves a task: on validation alone, before a calibration label is seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from deputize.core.artifacts import Finetuned, Specialist
from deputize.core.percentages import whole_percent
from deputize.core.records import Task
from deputize.scoring.intervals import coverage_around
from deputize.stages.evaluate.evaluation import Evaluation

MARGINS = (0.02, 0.05)
"""Least and largest share by which a more expensive method has to serve more."""


@dataclass(frozen=True)
class MethodChoice:
    """The chosen method and why."""

    index: int
    scores: list[float]
    """Share servable on validation, one per method."""
    reason: str


def in_order_of_cost(specialists: Sequence[Specialist], plan: Sequence[str]) -> list[Specialist]:
    """Specialists from the cheapest method to the most expensive: in the plan's order, then by cost.

    A cascade comes before its most expensive member, which most of its calls never reach, and after smaller ones with
    that member.
    """
    place: dict[str, float] = {method: at for at, method in enumerate(plan)}

    def place_of(method: str) -> float:
        base, mark, _ = method.partition(":")
        if mark:  # a method with something more: after that method
            return place_of(base) + 0.25
        return place.get(method, place.get(method.rpartition("+")[2], len(plan) + 0.5) - 0.5)

    return sorted(specialists, key=lambda s: (place_of(s.method), s.cost, s.method.count("+"), s.model))


def validation_score(validation: Evaluation, epsilon: float) -> float:
    """The share of the calls meant for code that a method could serve at about this loss."""
    return coverage_around(validation.confidence_N, validation.loss_N, epsilon, validation.counts_N)


def is_decided(validation: Evaluation, epsilon: float) -> bool:
    """True if a method serves so much of validation that no more expensive one could be chosen, whatever it
    answered."""
    return len(validation) > 0 and validation_score(validation, epsilon) >= 1 - MARGINS[0]


def choose(
    methods: Sequence[str],
    evaluations: Sequence[Evaluation],
    epsilon: float,
    *,
    is_cross_fitted: bool = False,
) -> MethodChoice:
    """The cheapest method whose servable share on validation is within a margin of the best one's.

    The margin is one standard error of the best share (at least .02, at most .05): a more expensive method has to earn
    its place by more than chance. Where nothing can be served by any, the most accurate one is chosen, for the report.

    Args:
        methods: in order of cost.
        evaluations: on validation, one per method.
        epsilon: the loss to be certified.
        is_cross_fitted: the evaluations are of train, by cross-fitting.
    """
    where = "by cross-fitting on train" if is_cross_fitted else "on validation"
    scores = [validation_score(e, epsilon) for e in evaluations]
    best = max(scores)
    if best <= 0:
        by_accuracy = [e.accuracy or 0.0 for e in evaluations]
        index = by_accuracy.index(max(by_accuracy))
        return MethodChoice(
            index,
            scores,
            f"no method could serve anything {where}; {methods[index]} agrees most often",
        )
    leader = scores.index(best)
    n_groups = max(1, len(set(evaluations[leader].groups)))
    margin = min(MARGINS[1], max(MARGINS[0], math.sqrt(best * (1 - best) / n_groups)))
    index = next(i for i, score in enumerate(scores) if score >= best - margin)
    if index == leader:
        reason = f"{methods[index]} could serve the most {where} ({whole_percent(best)})"
    else:
        reason = (
            f"{methods[index]} is cheaper and could serve {whole_percent(scores[index])} {where}, "
            f"{methods[leader]} {whole_percent(best)}"
        )
    return MethodChoice(index, scores, reason)


def sound(task: Task, finetuned: Finetuned) -> list[Specialist]:
    """A task's specialists but those that give planted secrets away: no figure of theirs makes up for that."""
    return [s for s in finetuned.specialists if s.task_id == task.id and (s.leak is None or not s.leak.leaks)]
