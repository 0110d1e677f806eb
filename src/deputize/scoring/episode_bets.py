"""A certificate's test on whole episodes: every call counts, and an episode is one bet.

The exact test looks at one call of an episode. Where the calls of an episode err independently of each other, the others would tell
more, and this test hears them: the sum of "wrong minus epsilon" over the calls of an episode has a mean above 0 where
the loss over calls is above epsilon, whichever episodes are long. A gambler who stakes a fixed part on the opposite multiplies his capital by
1 - stake * sum / largest with each episode; while the claim is false, its expected value is never above 1, so
p = 1 / capital (Markov), whatever the order of the episodes. The stake, and where the walk over the thresholds begins, are fixed on
validation. Where calls of an episode err together, or few episodes are there, the exact test is the stronger one, which is what
`choose_bet` decides.

`largest` is the size of the largest group that the log shows, so it holds no promise for episodes that are longer than any of these: no test does,
since one such episode in a thousand may have most of the errors, and most logs do not show it.

Pure. Shape letters: N calls, G episodes, L thresholds, R draws.

References:
    Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", arXiv 2010.09686.
    Angelopoulos et al., "Learn then Test", arXiv 2110.01052 (fixed-sequence testing).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr

from deputize.core.episode_bet import EpisodeBet
from deputize.scoring.certificates import (
    SLACK_ERRORS,
    CertificateKind,
    Floats,
    SequenceTest,
    fixed_sequence,
    threshold_grid,
    units_needed,
)

STAKES = (0.5, 0.7, 0.9, 0.97)
"""Parts of the largest stake that cannot go broke, of which validation chooses."""
N_DRAWS = 200
"""Calibration sets drawn from validation for the choice."""
N_COMPARED = 25
"""Thresholds at which tests are compared on validation."""
MARGIN = 0.03
"""Share served by which a bet has to be ahead of the exact test on validation."""
MIN_EPISODES = 10
"""Validation episodes below which nothing is chosen."""


def certify_episodes(
    kind: CertificateKind,
    confidence_N: ArrayLike,
    wrong_N: ArrayLike,
    group_N: ArrayLike,
    bet: EpisodeBet,
    epsilon: float,
    delta: float,
    *,
    served_limit: float | None = None,
) -> SequenceTest:
    """Tests every confidence of the calls as a threshold, from `bet.start` down, on whole episodes.

    Args:
        kind: which claim is tested.
        confidence_N: of each call; infinite where it counts as served in any case.
        wrong_N: whether the specialist's answer is wrong.
        group_N: number of its episode, from 0 on.
        bet: fixed before these calls were seen.
        epsilon: the loss over all calls that is claimed not to be exceeded.
        delta: the level of the test.
        served_limit: the loss among the served calls that is claimed not to be exceeded; None: nothing is claimed of them.

    Raises:
        ValueError: arrays of different length, or an episode with more calls than `bet.largest`.
    """
    confidence, wrong = np.asarray(confidence_N, dtype=float), np.asarray(wrong_N, dtype=bool)
    group = np.asarray(group_N, dtype=np.int64)
    if not confidence.shape == wrong.shape == group.shape:
        raise ValueError(f"{confidence.size} confidences, {wrong.size} outcomes, {group.size} episodes")
    size_G = np.bincount(group) if group.size else np.zeros(0, dtype=np.int64)
    if size_G.size and size_G.max() > bet.largest:
        raise ValueError(f"an episode has {size_G.max()} calls, more than the largest ({bet.largest})")
    order = np.argsort(-confidence, kind="stable")
    walk = _Walk(wrong[order], group[order])
    below = confidence[(confidence > 0) & (confidence < bet.start)]
    grid_L = np.append(bet.start, np.unique(below)[::-1])
    at_L = np.searchsorted(-confidence[order], -grid_L, side="right")
    log_L = walk.over_all(size_G, epsilon, bet)[at_L]
    if served_limit is not None:
        log_L = np.minimum(log_L, walk.over_served(served_limit, bet)[at_L])
    p_L = np.exp(-np.maximum(log_L, 0.0))
    return SequenceTest(
        kind=kind,
        epsilon=epsilon,
        delta=delta,
        thresholds_L=grid_L,
        p_values_L=p_L,
        n_served_L=at_L.astype(np.int64),
        n_errors_L=np.append(0, np.cumsum(wrong[order]))[at_L].astype(np.int64),
        n_units=int(confidence.size),
        n_passed=fixed_sequence(p_L, delta),
        served_limit=served_limit,
        n_episodes=int((size_G > 0).sum()),
        largest_episode=bet.largest,
    )


@dataclass(frozen=True)
class _Walk:
    """Calls by falling confidence: the logarithm of the capital after each further call that is served."""

    wrong_N: NDArray[np.bool_]
    group_N: NDArray[np.int64]

    def over_all(self, size_G: NDArray[np.int64], epsilon: float, bet: EpisodeBet) -> Floats:
        """[N + 1], of the claim about all calls: those that are not served have no loss."""
        stake = bet.stake / (1 - epsilon) / bet.largest
        n_wrong_N, _ = self._so_far()
        allowed_N = epsilon * size_G[self.group_N]
        after_N = np.log1p(-stake * (n_wrong_N - allowed_N))
        before_N = np.log1p(-stake * (n_wrong_N - self.wrong_N - allowed_N))
        nothing_served = float(np.log1p(stake * epsilon * size_G).sum())
        return nothing_served + np.append(0.0, np.cumsum(after_N - before_N))

    def over_served(self, limit: float, bet: EpisodeBet) -> Floats:
        """[N + 1], of the claim about the served calls."""
        stake = bet.stake / (1 - limit) / bet.largest
        n_wrong_N, n_served_N = self._so_far()
        after_N = np.log1p(-stake * (n_wrong_N - limit * n_served_N))
        before_N = np.log1p(-stake * (n_wrong_N - self.wrong_N - limit * (n_served_N - 1)))
        return np.append(0.0, np.cumsum(after_N - before_N))

    def _so_far(self) -> tuple[Floats, Floats]:
        """For each call: (served and wrong, served) of its episode, itself included."""
        by_group = np.argsort(self.group_N, kind="stable")
        size_G = np.bincount(self.group_N) if self.group_N.size else np.zeros(0, dtype=np.int64)
        first_N = np.repeat(np.cumsum(size_G) - size_G, size_G)
        total_N = np.append(0, np.cumsum(self.wrong_N[by_group]))
        n_wrong_N, n_served_N = np.empty(self.group_N.size), np.empty(self.group_N.size)
        n_wrong_N[by_group] = total_N[1:] - total_N[first_N]
        n_served_N[by_group] = np.arange(self.group_N.size) - first_N + 1
        return n_wrong_N, n_served_N


def choose_bet(
    confidence_N: ArrayLike,
    wrong_N: ArrayLike,
    groups: Sequence[str],
    *,
    n_calibration: int,
    largest: int,
    epsilon: float,
    delta: float,
    served_limit: float | None,
    seed: int,
) -> EpisodeBet | None:
    """The bet by which calibration would serve most, as far as validation tells; None where the exact test would serve as much.

    Sets of as many episodes as calibration has are drawn from those of validation, and each test walks the thresholds of each.

    Args:
        confidence_N: of validation calls.
        wrong_N: whether the specialist's answers are wrong.
        groups: their episodes.
        n_calibration: episodes of calibration.
        largest: calls that an episode has at most.
        epsilon: the loss to be claimed.
        delta: the level of the test.
        served_limit: the loss to be claimed among the served calls.
        seed: of the draws.

    Raises:
        ValueError: a validation episode with more calls than `largest`.
    """
    confidence, wrong = np.asarray(confidence_N, dtype=float), np.asarray(wrong_N, dtype=bool)
    grid_L = threshold_grid(confidence, N_COMPARED)
    names, group_N = np.unique(np.asarray(groups), return_inverse=True)
    if largest < 2 or names.size < MIN_EPISODES or grid_L.size == 0 or n_calibration < 1:
        return None
    served_NL = confidence[:, None] >= grid_L[None, :]
    size_G = np.bincount(group_N, minlength=names.size).astype(float)
    if size_G.max() > largest:
        raise ValueError(
            f"a validation episode has {size_G.max():g} calls, more than the largest ({largest})"
        )
    sums = (np.zeros((names.size, grid_L.size)), np.zeros((names.size, grid_L.size)))
    for sum_GL, value_NL in zip(sums, (served_NL, served_NL & wrong[:, None]), strict=True):
        np.add.at(sum_GL, group_N, value_NL)
    trial = _Trial(size_G, *sums, largest, epsilon, delta, served_limit)
    rng = np.random.default_rng(seed)
    # validation is a sample itself: each calibration set is drawn from other weights of its episodes (Bayesian bootstrap)
    weight_RG = rng.dirichlet(np.ones(names.size), size=N_DRAWS)
    drawn_RG = rng.multinomial(n_calibration, weight_RG)
    share_L = served_NL.mean(axis=0)
    best, chosen = trial.exact(drawn_RG, share_L, rng) + MARGIN, None
    for stake in STAKES:
        served_F = trial.bet(drawn_RG, share_L, stake)
        first = int(served_F.argmax())
        if served_F[first] > best:
            best = float(served_F[first])
            chosen = EpisodeBet(stake=stake, start=float(grid_L[first]), largest=largest)
    return chosen


@dataclass(frozen=True)
class _Trial:
    """Tests of drawn calibration sets: each gives the mean share served at the last threshold that passes."""

    size_G: Floats
    served_GL: Floats
    wrong_GL: Floats
    largest: int
    epsilon: float
    delta: float
    served_limit: float | None

    def bet(self, drawn_RG: NDArray[np.int64], share_L: Floats, stake: float) -> Floats:
        """By betting on whole episodes, for each threshold that the walk may begin at."""
        over_all_GL = self.wrong_GL - self.epsilon * self.size_G[:, None]
        log_RL = drawn_RG @ np.log1p(-stake / (1 - self.epsilon) * over_all_GL / self.largest)
        if self.served_limit is not None:
            served_GL = self.wrong_GL - self.served_limit * self.served_GL
            log_served_RL = drawn_RG @ np.log1p(-stake / (1 - self.served_limit) * served_GL / self.largest)
            log_RL = np.minimum(log_RL, log_served_RL)
        passed_RL = log_RL >= math.log(1 / self.delta)
        return np.asarray([_mean_served(passed_RL[:, at:], share_L[at:]) for at in range(share_L.size)])

    def exact(self, drawn_RG: NDArray[np.int64], share_L: Floats, rng: np.random.Generator) -> float:
        """By the binomial tail, on one call of an episode, drawn by size."""
        n_RG1 = drawn_RG[:, :, None]
        served_RGL = rng.binomial(n_RG1, self.served_GL / self.largest)
        of_served_GL = np.divide(
            self.wrong_GL, self.served_GL, out=np.zeros_like(self.wrong_GL), where=self.served_GL > 0
        )
        wrong_RL = rng.binomial(served_RGL, of_served_GL).sum(axis=1)
        served_RL = served_RGL.sum(axis=1)
        n_R1 = rng.binomial(drawn_RG, np.minimum(1.0, self.size_G / self.largest)).sum(axis=1)[:, None]
        p_RL = bdtr(wrong_RL, np.maximum(n_R1, wrong_RL + 1), self.epsilon)
        skipped_RL = np.zeros(p_RL.shape, dtype=bool)
        if self.served_limit is not None:
            of_served_RL = bdtr(wrong_RL, np.maximum(served_RL, 1), self.served_limit)
            p_RL = np.maximum(p_RL, np.where(served_RL > 0, of_served_RL, 1.0))
            skipped_RL = served_RL < units_needed(self.served_limit, self.delta, SLACK_ERRORS)
            skipped_RL &= ~skipped_RL.all(axis=1, keepdims=True)
        return _mean_served(skipped_RL | (p_RL <= self.delta), share_L, skipped_RL)


def _mean_served(passed_RL: NDArray[np.bool_], share_L: Floats, skipped_RL: ArrayLike = False) -> float:
    """Mean share served at the last threshold before the first that fails; 0 where that is none, or was not tested."""
    n_passed_R = np.where(passed_RL.all(axis=1), passed_RL.shape[1], passed_RL.argmin(axis=1))
    share_RL = np.where(skipped_RL, 0.0, np.broadcast_to(share_L, passed_RL.shape))
    return float(np.where(n_passed_R > 0, share_RL[np.arange(len(n_passed_R)), n_passed_R - 1], 0.0).mean())
