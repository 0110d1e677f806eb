"""Linear heads over the states of texts: one multinomial logistic regression per closed question.

Legend: N texts, S states of a text, C choices.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deputize.specialists.state_heads import Head, scores_of

Floats = npt.NDArray[np.float32]

NEVER_CHOSEN = -30.0
"""Bias of a choice that no example was answered with."""
HELD_OUT_PART = 5
"""One group in so many is held out to choose the penalty."""
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3)
"""Inverses of the L2 penalty that are compared, on standardised states."""
MAX_COMPARED = 3000
"""Texts on which penalties are compared: the best one hardly moves with more."""
MAX_ITERATIONS = 100
MIN_SPREAD = 1e-3
"""Least standard deviation that a state is divided by: some never vary."""


class HeadExamples(NamedTuple):
    """Texts to fit heads on."""

    states_NS: Floats
    targets: list[list[int] | None]
    """For each question the index of its choice, -1 where it was not asked; None: the answer is none of the choices."""
    weights_N: npt.NDArray[np.float64]
    group_N: npt.NDArray[np.int64]

    def take(self, chosen: npt.NDArray[np.int64]) -> HeadExamples:
        """Some of them."""
        return HeadExamples(
            self.states_NS[chosen],
            [self.targets[i] for i in chosen],
            self.weights_N[chosen],
            self.group_N[chosen],
        )


def fit_heads(examples: HeadExamples, sizes: Sequence[int], strength: float) -> list[Head]:
    """One head per question, over states as they are: standardisation is part of the weights.

    Args:
        examples: to fit on.
        sizes: choices of each question.
        strength: inverse of the L2 penalty.
    """
    mean_S, spread_S = examples.states_NS.mean(0), np.maximum(examples.states_NS.std(0), MIN_SPREAD)
    x_NS = (examples.states_NS - mean_S) / spread_S
    heads = []
    for q, n_choices in enumerate(sizes):
        asked = np.array(
            [n for n, t in enumerate(examples.targets) if t is not None and t[q] >= 0], dtype=int
        )
        labels = np.array([t[q] for n in asked if (t := examples.targets[n]) is not None], dtype=int)
        weight_CS = np.zeros((n_choices, x_NS.shape[1]), np.float32)
        bias_C = np.full(n_choices, NEVER_CHOSEN, np.float32)
        _fit_question(x_NS[asked], labels, examples.weights_N[asked], strength, weight_CS, bias_C)
        weight_CS /= spread_S
        heads.append((weight_CS, (bias_C - weight_CS @ mean_S).astype(np.float32)))
    return heads


def _fit_question(
    x_NS: Floats,
    labels_N: npt.NDArray[np.int64],
    weights_N: npt.NDArray[np.float64],
    strength: float,
    weight_CS: Floats,
    bias_C: Floats,
) -> None:
    """Fills in the weights and biases of the choices that were made."""
    seen = np.unique(labels_N)
    if len(seen) < 2:
        bias_C[seen] = 0.0
        return
    from sklearn.linear_model import LogisticRegression

    fit = LogisticRegression(C=strength, max_iter=MAX_ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what has not converged by then orders the answers as well
        fit.fit(x_NS, labels_N, sample_weight=weights_N)
    if len(seen) == 2:  # sklearn keeps one row for two classes
        weight_CS[seen[1]], bias_C[seen] = fit.coef_[0], (0.0, float(fit.intercept_[0]))
    else:
        weight_CS[fit.classes_], bias_C[fit.classes_] = fit.coef_, fit.intercept_


def best_strength(
    examples: HeadExamples, sizes: Sequence[int], strengths: Sequence[float] = STRENGTHS
) -> float:
    """The strength under which answers of groups held out are the likeliest; the middle one where too little can be
    held out.

    Args:
        examples: to fit on; the first MAX_COMPARED are used.
        sizes: choices of each question.
        strengths: to compare.
    """
    some = examples.take(np.arange(min(len(examples.targets), MAX_COMPARED)))
    is_held_N = some.group_N % HELD_OUT_PART == 0
    held, rest = some.take(np.flatnonzero(is_held_N)), some.take(np.flatnonzero(~is_held_N))
    if not held.targets or not rest.targets:
        return strengths[len(strengths) // 2]
    return max(strengths, key=lambda c: _log_likelihood(fit_heads(rest, sizes, c), held))


def _log_likelihood(heads: Sequence[Head], held: HeadExamples) -> float:
    scores = scores_of(heads, held.states_NS)
    return sum(
        float(weight * log_p_NC[n, t[q]])
        for q, log_p_NC in enumerate(scores)
        for n, (t, weight) in enumerate(zip(held.targets, held.weights_N, strict=True))
        if t is not None and t[q] >= 0
    )
