"""Labels of some calls: no term is too small on average, however labels were chosen, and random ones give the right
mean."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from deputize.scoring import certificates as c
from deputize.scoring.partial_labels import prediction_powered, with_bounds

Floats = NDArray[np.float64]


def drawn(
    rng: np.random.Generator, n: int, rates: tuple[float, float, float], share: float
) -> tuple[Floats, Floats, Floats]:
    """(whether the two answers differ, the true difference, the same where a call is labelled at random).

    Args:
        rng: of the draw.
        n: units.
        rates: of calls on which the LLM alone is right, the specialist alone, neither of two that differ.
        share: of calls with a label.
    """
    u = rng.random(n)
    llm, both, neither = rates[0], rates[0] + rates[1], sum(rates)
    truth = np.where(u < llm, 1.0, np.where(u < both, -1.0, 0.0))
    labels = np.where(rng.random(n) < share, truth, np.nan)
    return (u < neither).astype(float), truth, labels


def test_what_is_not_known_counts_as_the_worst_that_it_can_be() -> None:
    differs, known = np.array([0.0, 1.0, 1.0, 1.0]), np.array([np.nan, np.nan, -1.0, 0.0])
    assert with_bounds(differs, known).tolist() == [0.0, 1.0, -1.0, 0.0]
    assert prediction_powered(differs, np.zeros(4)).tolist() == [0.0, 0.0, 0.0, 0.0], "all are labelled"
    assert prediction_powered(differs, np.full(4, np.nan)).tolist() == differs.tolist(), "none is"
    assert prediction_powered([], []).size == 0


def test_terms_of_random_labels_have_the_mean_of_the_truth_and_are_at_most_one() -> None:
    rng = np.random.default_rng(0)
    means, truths = [], []
    for _ in range(400):
        differs, truth, labels = drawn(rng, 300, (0.06, 0.05, 0.04), 0.3)
        terms = prediction_powered(differs, labels)
        assert terms.max(initial=0.0) <= 1.0
        assert with_bounds(differs, labels).mean() >= truth.mean()
        means.append(terms.mean())
        truths.append(truth.mean())
    assert np.mean(means) == pytest.approx(0.01, abs=4 * np.std(means) / 20)
    assert np.std(means) < 0.06


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
@pytest.mark.parametrize("rates", [(0.10, 0.05, 0.05), (0.05, 0.0, 0.1), (0.25, 0.2, 0.0)])
def test_false_claims_pass_no_more_often_than_the_level(
    rates: tuple[float, float, float], share: float
) -> None:
    """The truth is exactly epsilon = .05; 1,000 draws of 300 units."""
    rng = np.random.default_rng(5)
    passed = np.zeros(2)
    for _ in range(1000):
        differs, _, labels = drawn(rng, 300, rates, share)
        for at, terms in enumerate((with_bounds, prediction_powered)):
            passed[at] += c.betting_p(terms(differs, labels), 0.05, 0.05)[0] <= 0.05
    assert (passed / 1000 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 1000)).all(), passed


def test_labels_of_the_llms_errors_alone_break_only_the_claim_that_takes_them_for_random() -> None:
    """Negative control: only calls on which the LLM is wrong have a label, as with corrections. True loss .15, .05
    claimed."""
    rng = np.random.default_rng(1)
    passed = np.zeros(2)
    for _ in range(200):
        differs, truth, _ = drawn(rng, 400, (0.2, 0.05, 0.05), 1.0)
        labels = np.where(truth < 0, truth, np.nan)
        for at, terms in enumerate((with_bounds, prediction_powered)):
            passed[at] += c.betting_p(terms(differs, labels), 0.05, 0.05)[0] <= 0.05
    assert passed[0] == 0 and passed[1] > 150


def test_random_labels_certify_what_bounds_cannot() -> None:
    """Both are wrong equally often, on different calls: .2 differ, and .5 of 1,500 have a label."""
    rng = np.random.default_rng(2)
    passed = np.zeros(2)
    for _ in range(50):
        differs, _, labels = drawn(rng, 1500, (0.08, 0.08, 0.04), 0.5)
        for at, terms in enumerate((with_bounds, prediction_powered)):
            passed[at] += c.betting_p(terms(differs, labels), 0.05, 0.05)[0] <= 0.05
    assert passed[0] == 0 and passed[1] >= 25, passed
