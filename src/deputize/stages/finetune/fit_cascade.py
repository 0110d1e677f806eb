"""Fit of a cascade on validation: weights of its members, and the confidence from which the first decides alone.

Legend: N texts, C choices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from deputize.core.contracts import agree
from deputize.core.records import Answer, Contract
from deputize.specialists.base import ClosedScores, RawPrediction, choose_each
from deputize.specialists.cascade import NEVER_ALONE, CascadeSettings, pooled
from deputize.specialists.closed_answers import ClosedAnswers

Floats = npt.NDArray[np.float64]

MIN_FIT = 50
"""Validation texts below which nothing is fitted and the first never decides alone."""
EXIT_SHARE = 0.1
"""Part of epsilon that wrong answers of the first alone may take up on validation."""
PRIOR = 3.0
"""Strength of the pull of the weights towards the defaults, in texts."""


def fit_cascade(
    answers: ClosedAnswers,
    first: ClosedScores,
    second: ClosedScores,
    truth: Sequence[Answer],
    contract: Contract,
    epsilon: float,
) -> CascadeSettings:
    """The settings of a cascade of two members.

    Args:
        answers: of both members.
        first: scores of the cheap member on validation.
        second: of the expensive one.
        truth: the LLM's answers.
        contract: of the task.
        epsilon: the loss to be certified.
    """
    defaults = CascadeSettings()
    if len(truth) < MIN_FIT:
        return defaults
    targets = [answers.indices(answer) for answer in truth]
    (alone,) = _weights([first], targets, [defaults.alone])
    mine, other = _weights([first, second], targets, [defaults.first, defaults.second])
    said = choose_each(answers, pooled((first, alone)))
    right = [agree(one.answer, answer, contract) for one, answer in zip(said, truth, strict=True)]
    return CascadeSettings(alone=alone, first=mine, second=other, exit_log_p=_exit(said, right, epsilon))


def _weights(
    members: Sequence[ClosedScores], targets: Sequence[list[int] | None], start: Sequence[float]
) -> list[float]:
    """The weights under which the LLM's answers are the likeliest, none negative; in doubt those to start from."""
    from scipy.optimize import minimize

    asked = [
        (q, rows, np.array([t[q] for n in rows if (t := targets[n]) is not None], dtype=int))
        for q in range(len(members[0].log_ps))
        if (rows := [n for n, t in enumerate(targets) if t is not None and t[q] >= 0])
    ]
    start_W = np.array(start)

    def loss(weight_W: Floats) -> tuple[float, Floats]:
        value = PRIOR * float(((weight_W - start_W) ** 2).sum())
        slope_W = 2 * PRIOR * (weight_W - start_W)
        for q, rows, label_N in asked:
            log_p_WNC = np.stack([member.log_ps[q][rows].astype(float) for member in members])
            sum_NC = np.tensordot(weight_W, log_p_WNC, axes=1)
            sum_NC -= sum_NC.max(axis=1, keepdims=True)
            p_NC = np.exp(sum_NC)
            total_N = p_NC.sum(axis=1)
            at_N = np.arange(len(label_N))
            value -= float((sum_NC[at_N, label_N] - np.log(total_N)).sum())
            mean_WN = (log_p_WNC * (p_NC / total_N[:, None])).sum(axis=2)
            slope_W -= (log_p_WNC[:, at_N, label_N] - mean_WN).sum(axis=1)
        return value, slope_W

    found = minimize(loss, start_W, jac=True, bounds=[(0.0, None)] * len(members), method="L-BFGS-B").x
    return [float(weight) for weight in found]


def _exit(said: Sequence[RawPrediction], right: Sequence[bool], epsilon: float) -> float:
    """The lowest log-probability from which the first errs so rarely that hardly any of epsilon is used up."""
    log_p_N = np.array([one.raw_confidence.log_p for one in said])
    order = np.argsort(-log_p_N, kind="stable")
    n_wrong_N = np.cumsum(~np.array(right, dtype=bool)[order])
    last_of_tie_N = np.append(np.diff(log_p_N[order]) < 0, True)
    allowed = np.flatnonzero((n_wrong_N <= EXIT_SHARE * epsilon * len(right)) & last_of_tie_N)
    return float(log_p_N[order[allowed[-1]]]) if allowed.size else NEVER_ALONE
