"""The statistics of a route: which thresholds may be claimed to be safe, and in which words.

Knows nothing of models, files or calls: arrays in, verdicts out. Shape letters: N independent units, L thresholds of
a grid, strict to permissive. A unit is one random call of one group (docs/concepts/certificates.md says why).

References:
    Angelopoulos et al., "Learn then Test", arXiv 2110.01052 (fixed-sequence testing).
    Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", arXiv 2010.09686.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr, bdtrc

from deputize.scoring.call_costs import CallCosts, expected_usd

Floats: TypeAlias = NDArray[np.float64]
CertificateKind = Literal[
    "not_worse_than_llm", "not_worse_than_repeats", "not_worse_on_labels", "not_worse_by_judge"
]
"""not_worse_than_llm: over all calls at most epsilon worse than the LLM; not_worse_than_repeats: the same, with the LLM's disagreement with its own
repeated samples as its loss; not_worse_on_labels: against the right answers at most epsilon worse than the LLM; not_worse_by_judge: as an LLM
judges it, worse than the LLM's answer on at most epsilon."""

Losses: TypeAlias = Callable[[NDArray[np.bool_]], Floats]
"""From a mask of N units to the losses of those in it beyond the LLM's."""
MAX_THRESHOLDS = 50
MOST_CELLS = 4_000_000
"""Units times thresholds that are bet on at a time: 32 MB an array."""
SLACK_ERRORS = 2
"""Wrong units that the first threshold tested can bear, where enough are served."""
NEVER = -math.inf
"""The confidence of a call that must not be served whatever the threshold: no answer, DEFER, out of distribution."""


@dataclass(frozen=True)
class SequenceTest:
    """Result of fixed-sequence testing of a grid of thresholds."""

    kind: CertificateKind
    epsilon: float
    delta: float
    thresholds_L: Floats
    p_values_L: Floats
    n_served_L: NDArray[np.int64]
    n_errors_L: NDArray[np.int64]
    """Served units the specialist got wrong."""
    n_units: int
    n_passed: int
    """The first n_passed thresholds are certified, all of them at once."""
    served_limit: float | None = None
    """The share of wrong answers among the served that is claimed not to be exceeded as well; None: nothing is claimed of it."""
    n_episodes: int = 0
    """Episodes that were tested whole (scoring.episode_bets); then the units are all their calls. 0: each unit is independent."""

    largest_episode: int = 0
    """Calls of the largest group of the log, where episodes were tested whole: nothing is known of longer ones."""

    @property
    def n_independent(self) -> int:
        """Independent units, or episodes."""
        return self.n_episodes or self.n_units


def binomial_tail(n_errors: int, n: int, limit: float) -> float:
    """P[Bin(n, limit) <= n_errors]: the exact p-value of "the error rate is above limit". 1 where n is 0."""
    if n <= 0:
        return 1.0
    return float(bdtr(min(n_errors, n), n, limit))


def units_needed(epsilon: float, delta: float, errors: int = 0) -> int:
    """The fewest independent units that can carry a claim at `epsilon` when `errors` of them are wrong.

    Raises:
        ValueError: epsilon or delta outside (0, 1), or a negative number of errors.
    """
    if not (0 < epsilon < 1 and 0 < delta < 1 and errors >= 0):
        raise ValueError(f"epsilon and delta must lie in (0, 1), errors >= 0: {epsilon}, {delta}, {errors}")
    high = errors + 1
    while binomial_tail(errors, high, epsilon) > delta:
        high *= 2
    low = high // 2
    while low < high:  # the tail falls with n, so bisection finds the first n at or below delta
        middle = (low + high) // 2
        if binomial_tail(errors, middle, epsilon) <= delta:
            high = middle
        else:
            low = middle + 1
    return high


def threshold_grid(confidence_N: ArrayLike, size: int = MAX_THRESHOLDS) -> Floats:
    """At most `size` thresholds, strict to permissive, at even steps of share served; from validation, before calibration is seen.

    Calls with a confidence of 0 or less (NEVER) are not servable and give no threshold. Empty where none is.

    Args:
        confidence_N: the specialist's confidences on validation.
        size: at most so many thresholds.
    """
    confidence = np.asarray(confidence_N, dtype=float)
    servable = np.sort(confidence[confidence > 0])[::-1]
    if servable.size == 0:
        return np.empty(0)
    at = np.unique(np.round(np.linspace(1, servable.size, size)).astype(int)) - 1
    return np.unique(servable[at])[::-1]


def every_threshold(confidence_N: ArrayLike) -> Floats:
    """Every confidence of the calibration units themselves as a threshold, strict to permissive.

    Walking them one by one is walking all numbers from infinity down: between two of them the served units are the same. The
    strictest false threshold is fixed by the calls to come, not by these units, and it is tested before any other false one;
    so the fixed sequence holds as it does for thresholds fixed beforehand. Leaving some of them out would break that.

    Args:
        confidence_N: of all units to be tested; those of 0 or less and infinite ones give no threshold.
    """
    confidence = np.asarray(confidence_N, dtype=float)
    return np.unique(confidence[(confidence > 0) & np.isfinite(confidence)])[::-1]


def exact_p(n_errors_L: ArrayLike, n: int, epsilon: float) -> Floats:
    """p-values of E[D] > epsilon for D in {0, 1} from so many errors among n units: the binomial tail, one each.

    Where the LLM is right by definition (claims of agreement), the loss difference of a unit is 1 when it was served
    and wrong, else 0. Its sum is then binomial and nothing tighter than this tail exists.
    """
    n_errors = np.atleast_1d(np.asarray(n_errors_L, dtype=int))
    if n == 0:
        return np.ones(n_errors.size)
    return np.asarray(bdtr(n_errors, n, epsilon), dtype=float)


def betting_p(difference_NL: ArrayLike, epsilon: float, delta: float) -> Floats:
    """p-values of E[D] > epsilon for D of at most 1 by betting, one per column. Rows must be in a random order.

    With Z = (D + 1) / 2 and m = (1 + epsilon) / 2 the capital prod(1 + nu_i (m - Z_i)) is a supermartingale while the
    claim is false, for any nu_i that depends on earlier units only; p = 1 / its maximum (Ville). `delta` only tunes
    the stakes: the p-value holds at every level.
    """
    difference = np.asarray(difference_NL, dtype=float)
    difference = difference[:, None] if difference.ndim == 1 else difference
    n, n_columns = difference.shape
    if n == 0:
        return np.ones(n_columns)
    z_NL, m = (difference + 1) / 2, (1 + epsilon) / 2
    seen_N1 = np.arange(1, n + 1)[:, None]
    mean_NL = (0.5 + np.cumsum(z_NL, axis=0)) / (seen_N1 + 1)
    variance_NL = (0.25 + np.cumsum((z_NL - mean_NL) ** 2, axis=0)) / (seen_N1 + 1)
    # predictable: units before this one
    earlier_NL = np.vstack([np.full((1, n_columns), 0.25), variance_NL[:-1]])
    stake_NL = np.minimum(np.sqrt(2 * math.log(1 / delta) / (n * earlier_NL)), 0.75 / (1 - m))
    capital_NL = np.cumsum(np.log1p(stake_NL * (m - z_NL)), axis=0)
    return np.asarray(np.exp(-np.maximum(capital_NL.max(axis=0), 0.0)), dtype=float)


def fixed_sequence(p_values_L: ArrayLike, delta: float) -> int:
    """How many thresholds pass when tested in order, each at delta, stopping at the first that does not.

    All passed ones hold together with probability 1 - delta (Learn then Test, section 3).
    """
    # what is no number has not passed
    failed = np.flatnonzero(~(np.asarray(p_values_L, dtype=float) <= delta))
    return int(failed[0]) if failed.size else int(np.size(p_values_L))


def certify(
    kind: CertificateKind,
    confidence_N: ArrayLike,
    wrong_N: ArrayLike,
    grid_L: ArrayLike,
    epsilon: float,
    delta: float,
    *,
    losses: Losses | None = None,
    served_limit: float | None = None,
) -> SequenceTest:
    """Tests a grid of thresholds, strict to permissive, on calibration units in a random order.

    With `served_limit` each threshold has two hypotheses, and it passes only where both are rejected: then its p-value
    is the larger of the two. The walk begins where enough units are served for that. A false threshold has at least one true hypothesis, so it passes with probability at most
    delta, and the fixed sequence keeps that for all of them (Learn then Test, section 3).

    Args:
        kind: which claim is tested (CertificateKind).
        confidence_N: NEVER or below the grid where a call is not to be served.
        wrong_N: whether the specialist's answer is wrong.
        grid_L: thresholds fixed before these units were seen, or `every_threshold` of them.
        epsilon: the loss that is claimed not to be exceeded.
        delta: the probability with which the claim may be false.
        losses: from a mask of units to their losses beyond the LLM's, at most 1 each; None where the LLM is right by
            definition, so that the loss is whether the answer is wrong, which makes the test exact.
        served_limit: the share of the served answers that may be wrong (beyond the LLM's own loss among them), in
            (0, 1). A loss over all calls says little of the served where few are served.

    Raises:
        ValueError: a grid that is not strict to permissive, arrays of different length, or a limit outside (0, 1).
    """
    confidence, wrong, grid = _checked(confidence_N, wrong_N, grid_L)
    if served_limit is not None:
        grid = grid[_first_testable(confidence, grid, served_limit, delta) :]
    n_served_L = _n_served(confidence, grid)
    n_errors_L = np.append(0, np.cumsum(wrong[np.argsort(-confidence)]))[n_served_L]
    if losses is None:
        p_L = exact_p(n_errors_L, confidence.size, epsilon)
    else:
        p_L = _betting_of_grid(confidence, losses(np.ones_like(wrong)), grid, epsilon, delta)
    if served_limit is not None:
        served_p_L = (
            np.where(n_served_L > 0, bdtr(n_errors_L, np.maximum(n_served_L, 1), served_limit), 1.0)
            if losses is None
            else [betting_p(losses(confidence >= t), served_limit, delta)[0] for t in grid]
        )
        p_L = np.maximum(p_L, served_p_L)
    return SequenceTest(
        kind=kind,
        epsilon=epsilon,
        delta=delta,
        thresholds_L=grid,
        p_values_L=np.asarray(p_L, dtype=float),
        n_served_L=n_served_L,
        n_errors_L=n_errors_L,
        n_units=int(confidence.size),
        n_passed=fixed_sequence(p_L, delta),
        served_limit=served_limit,
    )


def losses_beyond(llm_loss_N: ArrayLike, wrong_N: ArrayLike) -> Losses:
    """The losses of a specialist less the LLM's own, for `certify`.

    Args:
        llm_loss_N: the LLM's own loss in [0, 1].
        wrong_N: whether the specialist's answer is wrong.

    Raises:
        ValueError: of different length.
    """
    llm_loss, wrong = np.asarray(llm_loss_N, dtype=float), np.asarray(wrong_N, dtype=bool)
    if llm_loss.shape != wrong.shape:
        raise ValueError(f"{llm_loss.size} losses of the LLM for {wrong.size} outcomes")
    return lambda mask: wrong[mask] - llm_loss[mask]


def _first_testable(confidence_N: Floats, grid_L: Floats, served_limit: float, delta: float) -> int:
    """Index of the first threshold at which so many units are served that the test of the served ones could pass.

    Where there are enough, it could pass with SLACK_ERRORS of them wrong: one odd unit among the surest must not end the walk. Stricter ones would fail whatever the answers are, and end the walk before it has begun. Only confidences are looked at.
    Given how many units a threshold serves, its errors are binomial all the same; and where the error rate does not fall as
    confidence falls, a start because few units were surer than that can only make errors more frequent.
    """
    if not 0 < served_limit < 1:
        raise ValueError(f"served_limit must lie in (0, 1), not {served_limit}")
    n_served_L = _n_served(confidence_N, grid_L)
    for n_errors in range(SLACK_ERRORS, -1, -1):
        testable = np.flatnonzero(n_served_L >= units_needed(served_limit, delta, n_errors))
        if testable.size:
            return int(testable[0])
    return 0


def _checked(
    confidence_N: ArrayLike, wrong_N: ArrayLike, grid_L: ArrayLike
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """The inputs of a test as arrays that fit each other."""
    confidence, wrong = np.asarray(confidence_N, dtype=float), np.asarray(wrong_N, dtype=bool)
    grid = np.asarray(grid_L, dtype=float)
    if confidence.shape != wrong.shape:
        raise ValueError(f"{confidence.size} confidences for {wrong.size} outcomes")
    if np.any(np.diff(grid) >= 0):
        raise ValueError("the grid must fall from strict to permissive")
    return confidence, wrong, grid


def _n_served(confidence_N: Floats, grid_L: Floats) -> NDArray[np.int64]:
    """The number of units with at least each confidence of a grid."""
    # a table of units by thresholds would grow with the square of the units
    return np.searchsorted(np.sort(-confidence_N), -grid_L, side="right")


def _betting_of_grid(
    confidence_N: Floats, difference_N: Floats, grid_L: Floats, epsilon: float, delta: float
) -> Floats:
    """`betting_p` of the units served at each threshold, some thresholds at a time."""
    step = max(1, MOST_CELLS // max(1, confidence_N.size))
    parts = [
        betting_p(difference_N[:, None] * (confidence_N[:, None] >= grid_L[at : at + step]), epsilon, delta)
        for at in range(0, grid_L.size, step)
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def family_levels(
    passes_whole: Sequence[Callable[[float], bool]],
    delta: float,
) -> list[float]:
    """The level of each route where the claims of all routes are to hold at once, with probability 1 - delta.

    Each of K tasks begins with delta / K. A task whose whole sequence of thresholds passes at its level has no
    hypothesis left that could be rejected falsely, so its level goes to the tasks that are left, in equal parts (Holm's
    step, for sequences: Bretz et al. 2009). The order in which tasks are looked at does not matter.

    Args:
        passes_whole: for each task tested, whether all its thresholds pass at a level.
        delta: for all of them together.

    Returns:
        One level per task, in the order given.

    References:
        Holm, 1979; Bretz, Maurer, Brannath and Posch, "A graphical approach to sequentially rejective multiple test
        procedures", Statistics in Medicine 28, 2009.
    """
    levels = [delta / max(1, len(passes_whole))] * len(passes_whole)
    waiting = set(range(len(passes_whole)))
    while True:
        done = next((k for k in sorted(waiting) if passes_whole[k](levels[k])), None)
        if done is None or len(waiting) == 1:
            return levels
        waiting.discard(done)
        for k in waiting:
            levels[k] += levels[done] / len(waiting)


def cheapest(verdict: SequenceTest, share_served_L: ArrayLike, costs: CallCosts) -> int | None:
    """The index of the certified threshold with the least expected cost of a call; None where none is certified.

    Of equal costs the strictest threshold wins.
    """
    if verdict.n_passed == 0:
        return None
    share_L = np.asarray(share_served_L, dtype=float)[: verdict.n_passed]
    errors_L = verdict.n_errors_L[: verdict.n_passed] / max(1, verdict.n_units)
    return int(np.argmin(np.round(expected_usd(share_L, errors_L, costs), 15)))


def contradicted_p(difference_N: ArrayLike, epsilon: float) -> float:
    """p-value of "the mean of D is at most epsilon" on units that certified nothing; a small one contradicts a certificate.

    Args:
        difference_N: the loss of each unit beyond the LLM's, in [-1, 1]; where it is 0 or 1 the binomial tail is exact.
        epsilon: the loss that was claimed not to be exceeded.
    """
    difference = np.asarray(difference_N, dtype=float)
    if difference.size == 0:
        return 1.0
    if np.isin(difference, (0.0, 1.0)).all():
        n_errors = int(difference.sum())
        return 1.0 if n_errors == 0 else float(bdtrc(n_errors - 1, difference.size, epsilon))
    return float(betting_p(-difference, -epsilon, 0.01)[0])


def seed_of(seed: int, *names: str) -> int:
    """A seed for one draw, from the run's seed and what is drawn, the same on every machine."""
    digest = hashlib.blake2b("\x1f".join((str(seed), *names)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big")


def draw_units(groups_N: Sequence[str], seed: int) -> NDArray[np.int64]:
    """One random position of every group, in a random order: the independent units behind a certificate.

    Calls of one group (an episode, or all trials of one task) resemble each other; counting each of them would claim
    more evidence than there is.
    """
    members: dict[str, list[int]] = {}
    for position, group in enumerate(groups_N):
        members.setdefault(group, []).append(position)
    rng = np.random.default_rng(seed)
    picked = [members[group][int(rng.integers(len(members[group])))] for group in members]
    return np.asarray(rng.permutation(np.asarray(picked, dtype=np.int64)), dtype=np.int64)


def draw_calls(groups_N: Sequence[str], largest: int, seed: int) -> NDArray[np.int64]:
    """Positions of independent units that stand for calls, not for groups, in a random order.

    A group of s calls is kept with probability s / `largest` and gives one random call, so that every call is equally
    likely to be drawn and the rate among units is the rate among calls. A group with more than `largest` calls counts
    like one with `largest`. One call of each group instead would estimate the mean over groups, in which a long, hard
    episode weighs as little as a short, easy one.

    Args:
        groups_N: the group of each call.
        largest: the size of the largest group, fixed by numbers of calls alone before an answer is seen.
        seed: of the draw.
    """
    members: dict[str, list[int]] = {}
    for position, group in enumerate(groups_N):
        members.setdefault(group, []).append(position)
    rng = np.random.default_rng(seed)
    picked = []
    for group in members:
        coin, at = rng.random(), int(rng.integers(len(members[group])))
        if coin < len(members[group]) / max(1, largest):
            picked.append(members[group][at])
    return np.asarray(rng.permutation(np.asarray(picked, dtype=np.int64)), dtype=np.int64)
