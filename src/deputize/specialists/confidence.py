"""Calibrated confidence out of the log-probabilities of an answer, and the detector of out-of-distribution requests.

Knows nothing of models. A certificate never depends on these fits: they only order the answers.

Legend: N texts, K features, D dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from deputize.core.records import Record
from deputize.specialists.hashed_features import idf_of, vectors

Floats = npt.NDArray[np.float32]


class RawConfidence(NamedTuple):
    """Log-probability and margins of an answer's decisions and values; keys and free text do not count."""

    log_p: float
    """Log-probability of the answer: closed choices renormalised over their set."""
    min_margin: float
    """Least lead, in nats, of a chosen token over the next best."""
    mean_margin: float

    @classmethod
    def of(cls, log_ps: Sequence[float], margins: Sequence[float]) -> RawConfidence:
        """Of the log-probabilities and margins of meaningful tokens; certain where nothing had to be chosen."""
        capped = [min(m, 30.0) for m in margins] or [30.0]
        return cls(sum(log_ps), min(capped), sum(capped) / len(capped))


class ConfidenceCalibration(Record):
    """Confidence out of raw confidence: the probability itself, or a logistic fit where validation had enough errors."""

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
    """A logistic fit on validation, non-negative in every feature; plain with fewer than `least` right or wrong answers."""
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


class OutOfDistributionDetector:
    """Conformal p-value of a text's distance to the nearest of the texts trained on.

    Texts are kept only as random projections of hashed n-grams (unit length, float16), at most `most` of them.

    References:
        Bates et al., "Testing for outliers with conformal p-values", arXiv 2104.08279.
    """

    def __init__(self, train_ND: Floats, idf_F: Floats, distances_N: Floats, seed: int) -> None:
        self.train_ND, self.idf_F, self.distances_N, self.seed = train_ND, idf_F, distances_N, seed
        self._projection_FD = _projection(idf_F.shape[0], train_ND.shape[1], seed)

    @classmethod
    def fit(
        cls, texts: Sequence[str], groups: Sequence[str], *, seed: int, most: int = 2048, n_dims: int = 192
    ) -> OutOfDistributionDetector:
        """A detector for texts of train: each one's distance to its nearest of another group is the reference.

        Calls of one group (episode) contain each other; a new call has none of its own group to be near to.
        """
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(texts))[:most]
        chosen = [texts[i] for i in order]
        group_N = np.array([groups[i] for i in order])
        idf_F = idf_of(chosen, 1 << 12)
        detector = cls(np.zeros((0, n_dims), np.float32), idf_F, np.zeros(0, np.float32), seed)
        detector.train_ND = detector._project(chosen)
        similar_NN = detector.train_ND @ detector.train_ND.T
        similar_NN[group_N[:, None] == group_N[None, :]] = -1.0
        nearest_N = similar_NN.max(axis=1, initial=-1.0)
        detector.distances_N = np.sort(1 - nearest_N[nearest_N > -1.0])
        return detector

    def _project(self, texts: Sequence[str]) -> Floats:
        rows_ND: Floats = vectors(texts, self.idf_F) @ self._projection_FD
        length_N1 = np.linalg.norm(rows_ND, axis=1, keepdims=True)
        unit_ND: Floats = np.asarray(rows_ND / np.maximum(length_N1, 1e-9), dtype=np.float32)
        return unit_ND

    def p_values(self, texts: Sequence[str]) -> list[float]:
        """For each text (1 + #{reference distances >= its own}) / (n + 1)."""
        if not len(self.distances_N):
            return [1.0] * len(texts)
        nearest_N = 1 - (self._project(texts) @ self.train_ND.T).max(axis=1)
        n = len(self.distances_N)
        # half a float16 step of slack, so that a text trained on is as near after storage as before
        return [float((1 + n - np.searchsorted(self.distances_N, d - 1e-3)) / (n + 1)) for d in nearest_N]

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The detector as arrays, for storage."""
        return {
            "train": self.train_ND.astype(np.float16),
            "idf": self.idf_F.astype(np.float16),
            "distances": self.distances_N.astype(np.float32),
            "seed": np.array(self.seed),
        }

    @classmethod
    def of_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]]) -> OutOfDistributionDetector:
        """A stored detector."""
        train, idf, distances = (arrays[k].astype(np.float32) for k in ("train", "idf", "distances"))
        return cls(train, idf, distances, int(arrays["seed"]))


def _projection(n_rows: int, n_dims: int, seed: int) -> Floats:
    rng = np.random.default_rng(seed + 7)
    return (rng.integers(0, 2, size=(n_rows, n_dims), dtype=np.int8) * 2 - 1).astype(np.float32) / np.float32(
        n_dims**0.5
    )
