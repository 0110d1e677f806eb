"""Tests on whole episodes: false as rarely as promised, stronger where calls of an episode err by themselves, and
MAPIE as an oracle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from deputize.core.episode_bet import EpisodeBet
from deputize.scoring import certificates as c
from deputize.scoring.episode_bets import certify_episodes, choose_bet

KIND: c.CertificateKind = "not_worse_than_llm"


def episodes(
    rng: np.random.Generator, n: int, size: int, rate: float, alike: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(confidence, wrong, episode) of n episodes of `size` calls; a part `alike` of the calls is as wrong as its
    episode."""
    shared = rng.random((n, size)) < alike
    wrong = np.where(shared, rng.random((n, 1)), rng.random((n, size))) < rate
    return np.full(n * size, 0.9), wrong.ravel(), np.repeat(np.arange(n), size)


def test_the_p_value_is_that_of_the_capital_multiplied_out() -> None:
    confidence = np.array([0.9, 0.8, 0.7, 0.9, 0.6, 0.0])
    wrong = np.array([False, True, False, False, True, True])
    group = np.array([0, 0, 1, 2, 2, 1])
    bet = EpisodeBet(stake=0.9, start=0.9, largest=2)
    made = certify_episodes(KIND, confidence, wrong, group, bet, 0.1, 0.05, served_limit=0.3)
    assert made.thresholds_L.tolist() == [0.9, 0.8, 0.7, 0.6]
    assert made.n_served_L.tolist() == [2, 3, 4, 5] and made.n_errors_L.tolist() == [0, 1, 1, 2]
    assert (made.n_units, made.n_episodes, made.n_independent) == (6, 3, 3)
    for threshold, p in zip(made.thresholds_L, made.p_values_L, strict=True):
        capitals = []
        for allowed, counted in ((0.1, np.ones(6, bool)), (0.3, confidence >= threshold)):
            lost = (confidence >= threshold) & wrong
            sums = [(lost - allowed)[(group == g) & counted].sum() for g in range(3)]
            capitals.append(np.prod([1 - 0.9 / (1 - allowed) * s / 2 for s in sums]))
        assert p == pytest.approx(min(1.0, 1 / min(capitals)))


def test_what_was_not_evaluated_is_served_at_every_threshold() -> None:
    bet = EpisodeBet(stake=0.5, start=0.9, largest=1)
    made = certify_episodes(KIND, [np.inf, 0.95], [True, False], [0, 1], bet, 0.1, 0.05)
    assert made.thresholds_L.tolist() == [0.9] and made.n_errors_L.tolist() == [1]


@pytest.mark.parametrize(
    ("group", "words"), [([0, 0, 0], "more than the largest"), ([0], "2 confidences|3 confidences")]
)
def test_what_does_not_fit_is_refused(group: list[int], words: str) -> None:
    bet = EpisodeBet(stake=0.5, start=0.9, largest=2)
    with pytest.raises(ValueError, match=words):
        certify_episodes(KIND, [0.9] * 3, [False] * 3, group, bet, 0.1, 0.05)


@pytest.mark.parametrize("alike", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("stake", [0.5, 0.97])
def test_at_the_border_of_the_claim_it_is_false_as_rarely_as_promised(alike: float, stake: float) -> None:
    rng, bet, n = np.random.default_rng(3), EpisodeBet(stake=stake, start=0.9, largest=4), 500
    passed = sum(
        certify_episodes(KIND, *episodes(rng, 120, 4, 0.1, alike), bet, 0.1, 0.05).n_passed > 0
        for _ in range(n)
    )
    assert passed / n <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / n)


def test_long_hard_episodes_weigh_as_much_as_their_calls() -> None:
    """One call of each episode would find a loss of .05; over calls it is .11, and .10 is claimed."""
    rng, bet, n = np.random.default_rng(4), EpisodeBet(stake=0.9, start=0.9, largest=10), 300
    passed = 0
    for _ in range(n):
        size = np.where(rng.random(150) < 0.2, 10, 1)
        group = np.repeat(np.arange(150), size)
        wrong = rng.random(group.size) < np.repeat(np.where(size > 1, 0.13, 0.03), size)
        passed += certify_episodes(KIND, np.full(group.size, 0.9), wrong, group, bet, 0.1, 0.05).n_passed > 0
    assert passed / n <= 0.05


def test_a_bet_is_chosen_where_it_serves_more_and_not_where_calls_of_an_episode_are_equal() -> None:
    rng = np.random.default_rng(5)

    def chosen(alike: float, size: int, n_calibration: int = 150) -> EpisodeBet | None:
        confidence, wrong, group = episodes(rng, 60, size, 0.04, alike)
        return choose_bet(
            confidence,
            wrong,
            [f"g{g}" for g in group],
            n_calibration=n_calibration,
            largest=size,
            epsilon=0.1,
            delta=0.04,
            served_limit=0.3,
            seed=0,
        )

    found = chosen(0.0, 8)
    assert found is not None and found.largest == 8 and found.start == 0.9
    assert chosen(1.0, 8) is None, "an episode is one answer, which the exact test reads better"
    assert chosen(0.0, 1) is None, "one call of each is all there is"
    assert chosen(0.0, 8, n_calibration=20) is None, "too few for either test"


def test_a_validation_episode_longer_than_the_largest_is_refused() -> None:
    names = [f"g{i // 4}" for i in range(80)]
    given: dict[str, Any] = {
        "n_calibration": 100,
        "largest": 3,
        "epsilon": 0.1,
        "delta": 0.04,
        "served_limit": 0.3,
    }
    with pytest.raises(ValueError, match="validation episode has 4 calls"):
        choose_bet([0.9] * 80, [False] * 80, names, **given, seed=0)


def test_mapie_gives_the_same_exact_p_values_and_the_same_sequence() -> None:
    control = pytest.importorskip("mapie.risk_control.fwer_control")
    methods = pytest.importorskip("mapie.risk_control.methods")
    rng = np.random.default_rng(6)
    errors = rng.random((200, 12)) < np.linspace(0.005, 0.06, 12)
    own = c.exact_p(errors.sum(0), len(errors), 0.05)
    n_wrong = errors.sum(axis=0)
    # a hair below, since MAPIE rounds the number of errors up
    theirs = methods.compute_hoeffding_bentkus_p_value((n_wrong - 1e-9) / 200, 200, 0.05, binary=True)[:, 0]
    assert own == pytest.approx(theirs)
    passed = control.control_fwer(p_values=own, delta=0.05, fwer_method="fixed_sequence")
    assert list(passed) == list(range(c.fixed_sequence(own, 0.05)))


def test_against_mapies_bounds_of_episode_means() -> None:
    """Loss .03, .10 claimed: what MAPIE's own bet on episode means certifies the bet here does too, and
    Hoeffding-Bentkus needs more episodes."""
    methods = pytest.importorskip("mapie.risk_control.methods")
    rng, grid, n, delta = np.random.default_rng(7), np.linspace(0.01, 0.3, 30), 80, 0.05
    bet = EpisodeBet(stake=0.9, start=0.9, largest=6)
    ours, wsr, hoeffding_bentkus = (np.zeros(n, dtype=bool) for _ in range(3))
    for at in range(n):
        confidence, wrong, group = episodes(rng, 60, 6, 0.03, 0.2)
        mean = wrong.reshape(60, 6).mean(axis=1)
        ours[at] = certify_episodes(KIND, confidence, wrong, group, bet, 0.1, delta).n_passed > 0
        _, bound = methods.get_r_hat_plus(
            np.repeat(mean[:, None], grid.size, axis=1), grid, "rcps", "wsr", delta, 0.25
        )
        wsr[at] = bound[0] <= 0.1
        p = methods.compute_hoeffding_bentkus_p_value(np.array([mean.mean()]), 60, 0.1)
        hoeffding_bentkus[at] = p[0, 0] <= delta
    assert ours.mean() > 0.8
    assert (wsr & ~ours).mean() <= 0.05
    assert hoeffding_bentkus.mean() < ours.mean()
