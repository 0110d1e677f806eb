"""Intervals of measured proportions and differences, and the share that hindsight could have served.

Shape letters: N calls, G groups, B bootstrap draws. Calls of one group are not independent, so every interval here
knows the groups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import betaincinv, ndtri

from deputize.core.task_results import CurvePoint

Interval = tuple[float, float]


def wilson(n_hits: float, n: float, level: float = 0.95) -> Interval:
    """Wilson's score interval of a proportion; (0, 1) where n is 0. `n` may be an effective, fractional number."""
    if n <= 0:
        return 0.0, 1.0
    z = float(ndtri(0.5 + level / 2))
    p = n_hits / n
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (
        0.0 if n_hits == 0 else max(0.0, float(middle - half)),
        1.0 if n_hits == n else min(1.0, float(middle + half)),
    )


def clopper_pearson(n_hits: float, n: float, level: float = 0.95) -> Interval:
    """The exact (conservative) interval of a proportion; (0, 1) where n is 0."""
    if n <= 0:
        return 0.0, 1.0
    tail = (1 - level) / 2
    low = 0.0 if n_hits <= 0 else float(betaincinv(n_hits, n - n_hits + 1, tail))
    high = 1.0 if n_hits >= n else float(betaincinv(n_hits + 1, n - n_hits, 1 - tail))
    return low, high


def highest_rate(n_hits: int, n: int, level: float = 0.95) -> float:
    """The exact one-sided upper end of a proportion; 1 where n is 0."""
    return clopper_pearson(n_hits, n, 2 * level - 1)[1]


@dataclass(frozen=True)
class Grouped:
    """Values summed within groups: all that a cluster estimate needs."""

    sums_G: NDArray[np.float64]
    counts_G: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Mean over calls (not over groups); 0 where there are none."""
        return float(self.sums_G.sum() / self.counts_G.sum()) if self.counts_G.sum() else 0.0


def grouped(values_N: ArrayLike, groups_N: Sequence[str]) -> Grouped:
    """Values summed by group, groups in order of name."""
    values = np.asarray(values_N, dtype=float)
    if values.size == 0:
        return Grouped(np.empty(0), np.empty(0))
    _, inverse = np.unique(np.asarray(groups_N), return_inverse=True)
    return Grouped(
        np.bincount(inverse, weights=values).astype(np.float64), np.bincount(inverse).astype(np.float64)
    )


def effective_n(values: Grouped) -> float:
    """How many independent calls the grouped ones are worth, by the variance of the ratio estimator.

    Between the number of groups and the number of calls; the number of groups where the values do not vary, for then
    nothing is known of how alike the calls of a group are.
    """
    n_groups, n = values.sums_G.size, float(values.counts_G.sum())
    mean = values.mean
    if n_groups < 2 or not 0 < mean < 1:
        return float(n_groups)
    residual_G = values.sums_G - mean * values.counts_G
    variance = n_groups / (n_groups - 1) * float(residual_G @ residual_G) / n**2
    return float(np.clip(mean * (1 - mean) / variance if variance > 0 else n_groups, min(n_groups, n), n))


def proportion_interval(hits_N: ArrayLike, groups_N: Sequence[str], level: float = 0.95) -> Interval:
    """Wilson's interval of a share of calls, with as many calls as the groups are worth."""
    values = grouped(hits_N, groups_N)
    n = effective_n(values)
    return wilson(values.mean * n, n, level)


def bootstrap_means(values: Grouped, n_draws: int = 2000, seed: int = 0) -> NDArray[np.float64]:
    """Means over calls of `n_draws` resamples of whole groups. Shape [B]."""
    n_groups = values.sums_G.size
    if n_groups == 0:
        return np.zeros(n_draws)
    rng = np.random.default_rng(seed)
    out = np.empty(n_draws)
    chunk = max(1, 4_000_000 // n_groups)
    even = np.full(n_groups, 1 / n_groups)
    for start in range(0, n_draws, chunk):
        weights_BG = rng.multinomial(n_groups, even, size=min(chunk, n_draws - start))
        out[start : start + len(weights_BG)] = (weights_BG @ values.sums_G) / (weights_BG @ values.counts_G)
    return out


def difference_interval(
    difference_N: ArrayLike, groups_N: Sequence[str], level: float = 0.95, seed: int = 0, n_draws: int = 2000
) -> Interval:
    """Interval of a mean loss difference in [-1, 1] over calls; (-1, 1) where there are none.

    Where differences are 0 or 1 only, Clopper-Pearson with the groups' effective number, which stays honest when no
    error was seen at all; else the percentile bootstrap over groups.
    """
    difference = np.asarray(difference_N, dtype=float)
    binary = bool(np.all((difference == 0) | (difference == 1)))
    return grouped_interval(
        grouped(difference, groups_N), binary=binary, level=level, seed=seed, n_draws=n_draws
    )


def grouped_interval(
    values: Grouped, *, binary: bool, level: float = 0.95, seed: int = 0, n_draws: int = 2000
) -> Interval:
    """The same from sums per group; `binary` says that every difference was 0 or 1."""
    if values.counts_G.sum() == 0:
        return -1.0, 1.0
    if binary:
        n = effective_n(values)
        return clopper_pearson(values.mean * n, n, level)
    means = bootstrap_means(values, n_draws, seed)
    tail = (1 - level) / 2
    return float(np.quantile(means, tail)), float(np.quantile(means, 1 - tail))


def coverage_at(
    confidence_N: ArrayLike, loss_N: ArrayLike, epsilon: float, counts_N: ArrayLike | None = None
) -> tuple[float, float]:
    """The largest share that could have been served at a mean loss of at most epsilon over all N calls, by hindsight.

    An upper bound on what a certificate can give: the threshold is chosen with the outcomes in view.

    Args:
        confidence_N: not finite where a call is not to be served.
        loss_N: loss difference of serving each call.
        epsilon: the loss allowed over all calls.
        counts_N: whether a call counts in the share (one meant for code); all do where None.

    Returns:
        (share of counting calls served, threshold); (0.0, inf) where nothing can be served.
    """
    confidence, loss = np.asarray(confidence_N, dtype=float), np.asarray(loss_N, dtype=float)
    counts = np.ones(confidence.size) if counts_N is None else np.asarray(counts_N, dtype=float)
    if confidence.size == 0 or counts.sum() == 0:
        return 0.0, float("inf")
    order = np.argsort(-confidence, kind="stable")
    ranked = confidence[order]
    last_of_tie = np.append(ranked[:-1] > ranked[1:], True)  # a threshold takes all calls of equal confidence
    within = np.cumsum(loss[order]) / confidence.size <= epsilon + 1e-12
    allowed = np.flatnonzero(last_of_tie & within & np.isfinite(ranked))
    if allowed.size == 0:
        return 0.0, float("inf")
    shares = np.cumsum(counts[order]) / counts.sum()
    best = allowed[int(np.argmax(shares[allowed]))]
    return float(shares[best]), float(ranked[best])


def coverage_around(
    confidence_N: ArrayLike, loss_N: ArrayLike, epsilon: float, counts_N: ArrayLike | None = None
) -> float:
    """The share a method could serve at about this loss: `coverage_at`, averaged over epsilon / 2, epsilon and 2
    epsilon.

    One epsilon alone is decided by one or two errors on a small validation split. Arguments as of `coverage_at`.
    """
    return sum(coverage_at(confidence_N, loss_N, epsilon * f, counts_N)[0] for f in (0.5, 1.0, 2.0)) / 3


def curve(
    confidence_N: ArrayLike,
    loss_N: ArrayLike,
    groups_N: Sequence[str],
    thresholds_L: ArrayLike,
    counts_N: ArrayLike | None = None,
    level: float = 0.95,
    seed: int = 0,
) -> list[CurvePoint]:
    """Share served against loss, with its interval, one point per threshold, strict to permissive."""
    confidence, loss = np.asarray(confidence_N, dtype=float), np.asarray(loss_N, dtype=float)
    counts = np.ones(confidence.size) if counts_N is None else np.asarray(counts_N, dtype=float)
    points = []
    for threshold in np.asarray(thresholds_L, dtype=float):
        served = confidence >= threshold
        lost = loss * served
        low, high = difference_interval(lost, groups_N, level, seed, n_draws=500)
        points.append(
            CurvePoint(
                threshold=float(threshold),
                share_served=float((served * counts).sum() / counts.sum()) if counts.sum() else 0.0,
                loss=float(lost.mean()) if lost.size else 0.0,
                loss_low=low,
                loss_high=high,
            )
        )
    return points
