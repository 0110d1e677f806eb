"""A short race of candidates: all are tuned on few examples, the better half on twice as many, until one is left.

References:
    Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", arXiv 1502.07943
    (successive halving).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from deputize.core.deadline import Deadline
from deputize.core.percentages import percent

FIRST_EXAMPLES = 64
"""Of the first round."""
LEAST_S = 2.0
"""Seconds below which a candidate is not begun with."""

Trial = Callable[[str, int, float], "float | None"]
"""(candidate, examples, seconds) -> accuracy on validation after tuning on so many examples; None where there was no
time."""


class Race(NamedTuple):
    """Outcome of a race."""

    winner: str
    why_lost: dict[str, str]
    """Candidate -> in one sentence why it is not the winner."""
    scores: dict[str, float]
    """Candidate -> accuracy in the last round that it ran in."""


def successive_halving(
    names: Sequence[str], trial: Trial, deadline: Deadline, *, n_train: int, first: int = FIRST_EXAMPLES
) -> Race:
    """Runs the race. Where time runs out, the best so far wins; among equals the one that was named first.

    Args:
        names: candidates, the most promising first.
        trial: tunes one and measures it.
        deadline: no trial is begun after it; each round gets the same part of the time, each trial the same part of its
            round.
        n_train: examples that there are.
        first: examples of the first round.
    """
    left, n_examples, scores = list(names), min(first, n_train), dict[str, float]()
    why: dict[str, str] = {}
    n_rounds = max(1, (len(names) - 1).bit_length())
    for at in range(n_rounds):
        if len(left) == 1:
            break
        until = deadline.part(1 / (n_rounds - at))
        found = _round(left, trial, n_examples, until)
        if not found:
            break
        scores |= found
        order = sorted(left, key=lambda name: -found.get(name, -1.0))  # stable: among equals the first named
        kept, best = order[: -(-len(left) // 2)], order[0]
        for name in order[len(kept) :]:
            why[name] = _sentence(found.get(name), found[best], best, at + 1, n_examples)
        left, n_examples = [name for name in left if name in kept], min(2 * n_examples, n_train)
    winner = max(left, key=lambda name: scores.get(name, -1.0))
    for name in left:
        if name != winner:
            why[name] = (
                f"no time was left to race it to the end against {winner}"
                if scores
                else f"no time for a race; {winner} was the more promising"
            )
    return Race(winner, why, scores)


def _round(names: Sequence[str], trial: Trial, n_examples: int, until: Deadline) -> dict[str, float]:
    found: dict[str, float] = {}
    for at, name in enumerate(names):
        seconds = until.left_s() / (len(names) - at)
        if seconds < LEAST_S:
            break
        score = trial(name, n_examples, seconds)
        if score is not None:
            found[name] = score
    return found


def _sentence(own: float | None, best: float, winner: str, at: int, n_examples: int) -> str:
    if own is None:
        return f"round {at} of the race had no time for it; {winner} had {percent(best)}"
    return f"lost round {at} of the race: {percent(own)} of validation right after {n_examples} examples, {winner} {percent(best)}"
