"""Intervals cover what they should, with groups counted as groups."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.scoring import intervals as iv


def test_known_values() -> None:
    assert iv.wilson(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-3))  # type: ignore[comparison-overlap]
    assert iv.clopper_pearson(5, 10) == (pytest.approx(0.1871, abs=1e-3), pytest.approx(0.8129, abs=1e-3))  # type: ignore[comparison-overlap]
    assert iv.clopper_pearson(0, 30)[1] == pytest.approx(1 - 0.025 ** (1 / 30))
    assert iv.wilson(0, 0) == iv.clopper_pearson(0, 0) == (0.0, 1.0)


@given(st.integers(1, 500), st.data())
def test_intervals_hold_the_estimate(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    for low, high in (iv.wilson(hits, n), iv.clopper_pearson(hits, n)):
        assert 0 <= low <= hits / n + 1e-12 and hits / n - 1e-12 <= high <= 1


def test_groups_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    hits = np.repeat(rng.random(40) < 0.8, 10)
    alike = iv.proportion_interval(hits, [str(i // 10) for i in range(400)])
    alone = iv.proportion_interval(hits, [str(i) for i in range(400)])
    assert alike[1] - alike[0] > 2 * (alone[1] - alone[0])
    assert iv.effective_n(iv.grouped(np.ones(400), [str(i // 10) for i in range(400)])) == 40


def test_clustered_intervals_cover() -> None:
    rng = np.random.default_rng(1)
    groups = [str(i // 5) for i in range(200)]
    covered_share = covered_difference = 0
    for _ in range(300):
        rate = np.repeat(rng.beta(8, 2, size=40), 5)  # mean .8, alike within a group
        low, high = iv.proportion_interval(rng.random(200) < rate, groups)
        covered_share += low <= 0.8 <= high
        difference = (rng.random(200) > rate).astype(float) - (rng.random(200) < 0.1)
        low, high = iv.difference_interval(difference, groups, n_draws=400)
        covered_difference += low <= 0.1 <= high
    assert covered_share / 300 > 0.91
    assert covered_difference / 300 > 0.90


def test_no_error_seen_is_not_no_error_possible() -> None:
    low, high = iv.difference_interval(np.zeros(100), [str(i) for i in range(100)])
    assert low == 0 and 0.02 < high < 0.06
    assert iv.difference_interval([], []) == (-1.0, 1.0)


def brute_coverage(confidence: list[float], loss: list[int], epsilon: float) -> float:
    best = 0.0
    for threshold in confidence:
        served = [s >= threshold for s in confidence]
        if sum(a for a, b in zip(loss, served, strict=True) if b) / len(loss) <= epsilon + 1e-12:
            best = max(best, sum(served) / len(served))
    return best


@given(
    st.lists(st.tuples(st.sampled_from([0.1, 0.3, 0.5, 0.9]), st.integers(0, 1)), min_size=1, max_size=40),
    st.floats(0, 0.5),
)
def test_coverage_is_the_best_threshold(rows: list[tuple[float, int]], epsilon: float) -> None:
    confidence, loss = [r[0] for r in rows], [r[1] for r in rows]
    share, threshold = iv.coverage_at(confidence, loss, epsilon)
    assert share == pytest.approx(brute_coverage(confidence, loss, epsilon))
    assert share == pytest.approx(np.mean(np.array(confidence) >= threshold))


def test_coverage_counts_only_what_counts() -> None:
    share, threshold = iv.coverage_at([0.9, 0.8, -np.inf, 0.7], [0, 0, 1, 1], 0.0, counts_N=[1, 0, 0, 1])
    assert (share, threshold) == (0.5, 0.9)  # of equal shares the strictest threshold
    assert iv.coverage_at([], [], 0.1) == (0.0, float("inf"))
    assert iv.coverage_at([-np.inf], [0], 0.5)[0] == 0.0


def test_curve_rows_rise_in_share() -> None:
    rng = np.random.default_rng(4)
    confidence = rng.random(300)
    loss = (rng.random(300) > confidence).astype(float)
    rows = iv.curve(confidence, loss, [str(i) for i in range(300)], [0.9, 0.5, 0.1])
    assert [r.share_served for r in rows] == sorted(r.share_served for r in rows)
    assert all(r.loss_low <= r.loss <= r.loss_high for r in rows)
    assert iv.curve([], [], [], [0.5])[0].share_served == 0.0
