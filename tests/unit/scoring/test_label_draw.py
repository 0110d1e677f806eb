"""Labels that were not drawn at random are noticed where a sign shows it, and random ones are left alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from deputize.scoring.label_draw import LEVEL, episode_sizes, rank_sum_p, signs_of_choice


def test_the_p_value_is_that_of_the_rank_sum_test() -> None:
    rng = np.random.default_rng(0)
    chosen, value = rng.random(300) < 0.4, rng.integers(0, 6, 300).astype(float)
    value[chosen] += rng.random(int(chosen.sum())) < 0.3
    theirs = mannwhitneyu(value[chosen], value[~chosen], method="asymptotic", use_continuity=False).pvalue
    assert rank_sum_p(chosen, value) == pytest.approx(theirs, rel=0.02)


def test_a_random_draw_is_left_alone() -> None:
    rng, n = np.random.default_rng(1), 1000
    noticed = sum(
        bool(
            signs_of_choice(rng.random(200) < 0.3, {"size": rng.integers(1, 9, 200), "sure": rng.random(200)})
        )
        for _ in range(n)
    )
    assert noticed / n <= 2 * LEVEL + 3 * np.sqrt(2 * LEVEL / n)


def test_one_label_an_episode_is_noticed_where_episodes_differ_in_length() -> None:
    rng = np.random.default_rng(2)
    sizes = rng.choice([1, 2, 8], 200)
    groups = [f"e{e}" for e, size in enumerate(sizes) for _ in range(size)]
    first = np.concatenate([np.arange(size) == 0 for size in sizes])
    found = signs_of_choice(first, {"length": episode_sizes(groups), "place": np.arange(len(groups))})
    assert found == ["length"]


def test_corrections_and_the_newest_calls_are_noticed() -> None:
    rng = np.random.default_rng(3)
    differs = rng.random(600) < 0.3
    corrected = differs & (rng.random(600) < 0.7)
    assert signs_of_choice(corrected, {"differ": differs, "sure": rng.random(600)}) == ["differ"]
    newest = np.arange(600) >= 500
    assert signs_of_choice(newest, {"place": np.arange(600)}) == ["place"]


def test_of_a_few_labels_or_equal_values_nothing_is_said() -> None:
    assert rank_sum_p(np.arange(300) < 10, np.arange(300)) == 1.0
    assert rank_sum_p(np.arange(300) < 100, np.ones(300)) == 1.0
    with pytest.raises(ValueError, match="2 calls, 3 values"):
        rank_sum_p([True, False], [1, 2, 3])
