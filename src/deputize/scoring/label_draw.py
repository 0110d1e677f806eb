"""Signs that calls with a label were not drawn at random, as a claim by prediction-powered terms would need.

Were each call labelled with the same chance, nothing about a call could tell labelled ones from others: not the length
of its episode, its place in the log, the specialist's confidence, or whether the two answers differ. Each is compared
by its mean rank among labelled calls, which under a random draw is that of a draw without replacement from all of them.
What shows none of these signs may still be no random draw: only who labelled can know.

Pure. Shape letter: N calls.

References:
    Wilcoxon, "Individual comparisons by ranking methods", Biometrics Bulletin 1, 1945 (the rank-sum test, here with
    ties).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

LEVEL = 1e-3
"""Of each sign: so seldom is a random draw taken for none by it."""
MIN_EACH = 20
"""Labelled calls, and others, below which a sign is not looked at."""


def signs_of_choice(has_label_N: ArrayLike, signs: Mapping[str, ArrayLike]) -> list[str]:
    """Those of the signs, in their order, by which labelled calls differ from the others more than a random draw would.

    Args:
        has_label_N: whether a call has a label.
        signs: in words -> its value for each call.
    """
    has_label = np.asarray(has_label_N, dtype=bool)
    return [words for words, value_N in signs.items() if rank_sum_p(has_label, value_N) < LEVEL]


def rank_sum_p(chosen_N: ArrayLike, value_N: ArrayLike) -> float:
    """Two-sided p-value of "the chosen are a random draw", by the mean rank of a value; 1 where there are too few, or
    all are equal.

    Raises:
        ValueError: arrays of different length.
    """
    chosen = np.asarray(chosen_N, dtype=bool)
    rank = _ranks(np.asarray(value_N, dtype=float))
    if chosen.shape != rank.shape:
        raise ValueError(f"{chosen.size} calls, {rank.size} values")
    n, n_chosen = chosen.size, int(chosen.sum())
    if min(n_chosen, n - n_chosen) < MIN_EACH or not rank.std() > 0:
        return 1.0
    spread = rank.std(ddof=1) * math.sqrt((n - n_chosen) / (n * n_chosen))
    return float(2 * ndtr(-abs(rank[chosen].mean() - rank.mean()) / spread))


def episode_sizes(groups: Sequence[str]) -> NDArray[np.int64]:
    """For each call how many calls its episode has among them. [N]"""
    _, at_N, size_G = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    return np.asarray(size_G[at_N], dtype=np.int64)


def _ranks(value_N: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0, the mean one for equal values."""
    _, at_N, count_U = np.unique(value_N, return_inverse=True, return_counts=True)
    middle_U = np.cumsum(count_U) - (count_U + 1) / 2
    return np.asarray(middle_U[at_N], dtype=float)
