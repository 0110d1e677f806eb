"""Calibrated confidence out of the log-probabilities of an answer.

Knows nothing of models. A certificate never depends on these fits: they only order the answers.

Legend: N texts, K features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from deputize.core.records import Record


class RawConfidence(NamedTuple):
    """Log-probability and margins of an answer's decisions and values; keys and free text do not count."""

    log_p: float
    """Log-probability of the answer: closed choices renormalised over their set."""
    min_margin: float
    """Least lead, in nats, of a chosen token over the next best."""
    mean_margin: float
    """Mean lead; or what else speaks for an answer, where its predictor has a second opinion."""

    @classmethod
    def of(cls, log_ps: Sequence[float], margins: Sequence[float]) -> RawConfidence:
        """Of the log-probabilities and margins of meaningful tokens; certain where nothing had to be chosen."""
        capped = [min(m, 30.0) for m in margins] or [30.0]
        return cls(sum(log_ps), min(capped), sum(capped) / len(capped))


class ConfidenceCalibration(Record):
    """Confidence out of raw confidence: the probability itself, or a logistic fit where validation had enough
    errors."""

    kind: Literal["plain", "logistic"] = "plain"
    mean: list[float] = msgspec.field(default_factory=list)
    scale: list[float] = msgspec.field(default_factory=list)
    weights: list[float] = msgspec.field(default_factory=list)
    bias: float = 0.0

    def confidence(self, raw_confidence: RawConfidence) -> float:
        """In [0, 1]."""
        if self.kind == "plain":
            return math.exp(min(raw_confidence.log_p, 0.0))
        rows = zip(_features(raw_confidence), self.mean, self.scale, self.weights, strict=True)
        z = self.bias + sum(w * (x - m) / s for x, m, s, w in rows)
        return 1 / (1 + math.exp(-max(-60.0, min(60.0, z))))


def _features(raw_confidence: RawConfidence) -> list[float]:
    # in the logarithm of the odds of error, where confidence is nearly linear
    unsure = -math.log(max(1e-9, -math.expm1(min(raw_confidence.log_p, -1e-9))))
    return [unsure, raw_confidence.min_margin, raw_confidence.mean_margin]


def fit_calibration(
    given: Sequence[RawConfidence], right: Sequence[bool], *, least: int = 8
) -> ConfidenceCalibration:
    """A logistic fit on validation, non-negative in every feature; plain with fewer than `least` right or wrong
    answers."""
    n_right = sum(right)
    if n_right < least or len(right) - n_right < least:
        return ConfidenceCalibration()
    from scipy.optimize import minimize

    x_NK = np.array([_features(s) for s in given])
    y_N = np.array(right, dtype=float)
    mean_K, scale_K = x_NK.mean(axis=0), np.maximum(x_NK.std(axis=0), 1e-3)
    z_NK = (x_NK - mean_K) / scale_K

    def loss(theta: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        logit_N = z_NK @ theta[:-1] + theta[-1]
        p_N = 1 / (1 + np.exp(-np.clip(logit_N, -60, 60)))
        value = np.sum(np.logaddexp(0, logit_N) - y_N * logit_N) + 0.5 * np.sum(theta[:-1] ** 2)
        return float(value), np.append(z_NK.T @ (p_N - y_N) + theta[:-1], np.sum(p_N - y_N))

    n_features = z_NK.shape[1]
    bounds = [(0.0, None)] * n_features + [(None, None)]
    found = minimize(loss, np.zeros(n_features + 1), jac=True, bounds=bounds, method="L-BFGS-B").x
    return ConfidenceCalibration(
        kind="logistic",
        mean=mean_K.tolist(),
        scale=scale_K.tolist(),
        weights=found[:-1].tolist(),
        bias=float(found[-1]),
    )
