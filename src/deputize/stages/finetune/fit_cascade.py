"""Fit of a cascade on validation: weights of its members, and the confidences from which no further member is asked.

Legend: N texts, C choices, M members that have spoken.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from deputize.core.contracts import agree
from deputize.core.group_order import group_numbers
from deputize.core.records import Answer, Contract
from deputize.scoring.intervals import coverage_around
from deputize.specialists.base import ClosedScores, RawPrediction, choose_each
from deputize.specialists.cascade import (
    NEVER_SURE,
    CascadeSettings,
    CascadeStep,
    default_settings,
    default_weights,
    pooled,
    scores_at,
)
from deputize.specialists.closed_answers import ClosedAnswers

Floats = npt.NDArray[np.float64]
Targets = Sequence[list[int] | None]

MIN_FIT = 50
"""Validation texts below which nothing is fitted and all members speak about every text."""
EXIT_SHARE = 0.1
"""Part of epsilon that wrong answers of one step may take up on validation."""
PRIOR = 3.0
"""Strength of the pull of the weights towards the defaults, in texts."""
SOFTER = (0.5, 0.25)
"""Parts of its weight that a member keeps where all together give planted secrets away."""
N_FOLDS = 5
"""Parts of validation, by group, each judged by weights that were fitted on the others."""


def fit_cascade(
    answers: ClosedAnswers,
    scores_M: Sequence[ClosedScores],
    truth: Sequence[Answer],
    contract: Contract,
    epsilon: float,
) -> CascadeSettings:
    """The settings of a cascade. Those of its first members do not depend on the others.

    Args:
        answers: of all members.
        scores_M: of each member, from cheap to expensive, on validation.
        truth: the LLM's answers.
        contract: of the task.
        epsilon: the loss to be certified.
    """
    if len(truth) < MIN_FIT:
        return default_settings(len(scores_M))
    targets = [answers.indices(answer) for answer in truth]
    steps, open_N = list[CascadeStep](), np.ones(len(truth), dtype=bool)
    for n in range(1, len(scores_M) + 1):
        weights = _weights(scores_M[:n], targets)
        said = choose_each(answers, pooled(scores_M[:n], weights))
        log_p_N = np.array([one.raw_confidence.log_p for one in said])
        is_last = n == len(scores_M)
        exit_log_p = NEVER_SURE if is_last else _exit(log_p_N, _right(said, truth, contract), open_N, epsilon)
        steps.append(CascadeStep(weights=weights, exit_log_p=exit_log_p))
        open_N &= log_p_N < exit_log_p
    return CascadeSettings(steps=steps)


def softer(
    answers: ClosedAnswers,
    scores_M: Sequence[ClosedScores],
    truth: Sequence[Answer],
    contract: Contract,
    epsilon: float,
    settings: CascadeSettings,
) -> Iterator[list[float]]:
    """Factors for the weights of all members together: first all 1, then one member's below 1, from those that can
    serve most of validation, which is worked out only where somebody asks for more than the first.

    Members that keep secrets each by itself can give one away together, where both have a trace of it. Arguments as of
    `fit_cascade`.
    """
    n_members = len(scores_M)
    yield [1.0] * n_members
    found = [
        [part if m == weaker else 1.0 for m in range(n_members)]
        for weaker in range(n_members)
        for part in SOFTER
    ]

    def served(factors: Sequence[float]) -> float:
        said = choose_each(answers, pooled(scores_M, softened(settings, factors).steps[-1].weights))
        log_p_N = np.array([one.raw_confidence.log_p for one in said])
        return coverage_around(log_p_N, ~_right(said, truth, contract), epsilon)

    yield from sorted(found, key=served, reverse=True)


def softened(settings: CascadeSettings, factors: Sequence[float]) -> CascadeSettings:
    """The settings with the weights of all members together each times a factor."""
    last = settings.steps[-1]
    weights = [weight * factor for weight, factor in zip(last.weights, factors, strict=True)]
    return CascadeSettings(
        steps=[*settings.steps[:-1], CascadeStep(weights=weights, exit_log_p=last.exit_log_p)]
    )


def silenced(settings: CascadeSettings, steps: Collection[int]) -> CascadeSettings:
    """The settings with some steps before the last one never deciding."""
    return CascadeSettings(
        steps=[
            CascadeStep(weights=step.weights) if n in steps else step for n, step in enumerate(settings.steps)
        ]
    )


def servable(
    answers: ClosedAnswers,
    scores_M: Sequence[ClosedScores],
    truth: Sequence[Answer],
    groups: Sequence[str],
    contract: Contract,
    epsilon: float,
) -> float:
    """The share of validation that the members could serve together, each part of it with weights fitted on the others.

    With the weights of the same texts more members would always look better. Arguments as of `fit_cascade`; no group is
    in two parts.
    """
    targets = [answers.indices(answer) for answer in truth]
    number = group_numbers(groups)
    fold_N = np.array([number[group] for group in groups]) % N_FOLDS
    confidence_N, right_N = np.zeros(len(truth)), np.zeros(len(truth), dtype=bool)
    for fold in range(N_FOLDS):
        rest, held = np.flatnonzero(fold_N != fold).tolist(), np.flatnonzero(fold_N == fold).tolist()
        weights = _weights([scores_at(s, rest) for s in scores_M], [targets[n] for n in rest])
        said = choose_each(answers, pooled([scores_at(s, held) for s in scores_M], weights))
        confidence_N[held] = [one.raw_confidence.log_p for one in said]
        right_N[held] = _right(said, [truth[n] for n in held], contract)
    return coverage_around(confidence_N, ~right_N, epsilon)


def _right(
    said: Sequence[RawPrediction], truth: Sequence[Answer], contract: Contract
) -> npt.NDArray[np.bool_]:
    return np.array(
        [agree(one.answer, answer, contract) for one, answer in zip(said, truth, strict=True)], dtype=bool
    )


def _weights(scores_M: Sequence[ClosedScores], targets: Targets) -> list[float]:
    """The weights under which the LLM's answers are the likeliest, none negative; in doubt the defaults."""
    from scipy.optimize import minimize

    asked = [
        (q, rows, np.array([t[q] for n in rows if (t := targets[n]) is not None], dtype=int))
        for q in range(len(scores_M[0].log_ps))
        if (rows := [n for n, t in enumerate(targets) if t is not None and t[q] >= 0])
    ]
    start_M = np.array(default_weights(len(scores_M)))

    def loss(weight_M: Floats) -> tuple[float, Floats]:
        value = PRIOR * float(((weight_M - start_M) ** 2).sum())
        slope_M = 2 * PRIOR * (weight_M - start_M)
        for q, rows, label_N in asked:
            log_p_MNC = np.stack([scores.log_ps[q][rows].astype(float) for scores in scores_M])
            sum_NC = np.tensordot(weight_M, log_p_MNC, axes=1)
            sum_NC -= sum_NC.max(axis=1, keepdims=True)
            p_NC = np.exp(sum_NC)
            total_N = p_NC.sum(axis=1)
            at_N = np.arange(len(label_N))
            value -= float((sum_NC[at_N, label_N] - np.log(total_N)).sum())
            mean_MN = (log_p_MNC * (p_NC / total_N[:, None])).sum(axis=2)
            slope_M -= (log_p_MNC[:, at_N, label_N] - mean_MN).sum(axis=1)
        return value, slope_M

    found = minimize(loss, start_M, jac=True, bounds=[(0.0, None)] * len(scores_M), method="L-BFGS-B").x
    return [float(weight) for weight in found]


def _exit(
    log_p_N: Floats, right_N: npt.NDArray[np.bool_], open_N: npt.NDArray[np.bool_], epsilon: float
) -> float:
    """The lowest log-probability from which a step errs so rarely that hardly any of epsilon is used up.

    Args:
        log_p_N: of the step's answers.
        right_N: whether they are right.
        open_N: which texts no step before has decided.
        epsilon: the loss to be certified.
    """
    order = np.flatnonzero(open_N)
    order = order[np.argsort(-log_p_N[order], kind="stable")]
    n_wrong_N = np.cumsum(~right_N[order])
    last_of_tie_N = np.append(np.diff(log_p_N[order]) < 0, True)[: len(order)]
    allowed = np.flatnonzero((n_wrong_N <= EXIT_SHARE * epsilon * len(log_p_N)) & last_of_tie_N)
    return float(log_p_N[order[allowed[-1]]]) if allowed.size else NEVER_SURE
