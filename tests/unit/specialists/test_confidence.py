"""Confidence from raw_confidence, and the gate for what was never seen."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.specialists.confidence import (
    ConfidenceCalibration,
    RawConfidence,
    fit_calibration,
)

logs = st.floats(-40, 0)
margins = st.lists(st.floats(0, 40), min_size=1, max_size=5)


@given(logs, margins)
def test_plain_confidence_is_the_answers_probability(log_p: float, lead: list[float]) -> None:
    raw_confidence = RawConfidence.of([log_p], lead)
    assert ConfidenceCalibration().confidence(raw_confidence) == pytest.approx(np.exp(log_p))
    assert raw_confidence.min_margin <= raw_confidence.mean_margin + 1e-9


def test_nothing_to_choose_is_certain() -> None:
    assert ConfidenceCalibration().confidence(RawConfidence.of([], [])) == 1.0


def some(n: int, seed: int) -> tuple[list[RawConfidence], list[bool]]:
    rng = np.random.default_rng(seed)
    log_ps = -rng.exponential(0.5, size=n)
    right = [bool(rng.random() < np.exp(2 * lp)) for lp in log_ps]
    return [RawConfidence(float(lp), float(-1 / lp), float(-1 / lp)) for lp in log_ps], right


def test_a_fit_is_monotone_and_tells_right_from_wrong() -> None:
    given_, right = some(300, 0)
    fit = fit_calibration(given_, right)
    assert fit.kind == "logistic"
    assert all(w >= 0 for w in fit.weights)
    fresh, truth = some(2000, 1)
    confidence = np.array([fit.confidence(s) for s in fresh])
    assert abs(confidence.mean() - np.mean(truth)) < 0.05
    assert confidence[np.array(truth)].mean() > confidence[~np.array(truth)].mean() + 0.1


def test_too_few_errors_leave_it_plain() -> None:
    given_, _ = some(50, 2)
    assert fit_calibration(given_, [True] * 50).kind == "plain"
    assert fit_calibration([], []).kind == "plain"


@given(st.lists(st.booleans(), min_size=20, max_size=60), st.integers(0, 5))
def test_confidence_stays_within_bounds(right: list[bool], seed: int) -> None:
    given_, _ = some(len(right), seed)
    fit = fit_calibration(given_, right)
    for raw_confidence in [*given_, RawConfidence(-500.0, 0.0, 0.0), RawConfidence(0.0, 30.0, 30.0)]:
        assert 0.0 <= fit.confidence(raw_confidence) <= 1.0
