"""A small network that scores the candidates of one choice by features of their own, so that it also scores ones that
were never seen.

Trained as a log-linear model over the candidates of each choice. A few thousand weights over features that say nothing
of words: nothing of a prompt can be read back from them.

Legend: K candidates of one choice, N candidates of all choices, G choices, D features, H hidden units.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

N_HIDDEN = 32
EPOCHS, CHOICES_PER_STEP, LEARNING_RATE, WEIGHT_DECAY = 30, 64, 3e-3, 1e-3
_CLIP = 6.0
"""Standard deviations beyond which a feature counts no more."""


class CandidateScorer:
    """One hidden layer over standardised features."""

    def __init__(self, arrays: dict[str, Floats]) -> None:
        """
        Args:
            arrays: mean [D], scale [D], w1 [D, H], b1 [H], w2 [H], w3 [D].
        """
        self.arrays = arrays

    def scores(self, x_KD: Floats) -> Floats:
        """The score of each candidate; exp of it is its share, up to a factor. Shape [K]."""
        a = self.arrays
        z_KD = np.clip((x_KD - a["mean"]) / a["scale"], -_CLIP, _CLIP)
        found: Floats = np.tanh(z_KD @ a["w1"] + a["b1"]) @ a["w2"] + z_KD @ a["w3"]
        return found

    def log_p(self, x_KD: Floats) -> npt.NDArray[np.float64]:
        """Log-probabilities of the candidates of one choice. Shape [K]."""
        scores_K = self.scores(x_KD).astype(np.float64)
        shifted_K = scores_K - scores_K.max()
        return np.asarray(shifted_K - np.log(np.exp(shifted_K).sum()))


def fit_scorer(
    choices: Sequence[Floats],
    hits: Sequence[npt.NDArray[np.bool_]],
    *,
    weights: Sequence[float] | None = None,
    seed: int = 0,
) -> CandidateScorer | None:
    """A scorer under which the right candidates of each choice are likely; None without choices.

    Args:
        choices: features of the candidates, [K, D] each.
        hits: which of them are right, [K] each, at least one.
        weights: of the choices; equal where None.
        seed: of the first weights and of the order.
    """
    if not choices:
        return None
    x_ND = np.concatenate(choices).astype(np.float32)
    hit_N = np.concatenate(hits)
    starts_G = np.cumsum([0, *(len(one) for one in choices)])
    weight_G = np.ones(len(choices)) if weights is None else np.asarray(weights, dtype=float)
    rng = np.random.default_rng(seed)
    mean_D, scale_D = x_ND.mean(axis=0), np.maximum(x_ND.std(axis=0), 1e-3)
    z_ND = np.clip((x_ND - mean_D) / scale_D, -_CLIP, _CLIP).astype(np.float32)
    n_features = z_ND.shape[1]
    params: dict[str, Any] = {
        "w1": rng.normal(0, 1 / np.sqrt(n_features), (n_features, N_HIDDEN)).astype(np.float32),
        "b1": np.zeros(N_HIDDEN, np.float32),
        "w2": np.zeros(N_HIDDEN, np.float32),
        "w3": np.zeros(n_features, np.float32),
    }
    adam = _Adam(params)
    for epoch in range(EPOCHS):
        order_G = rng.permutation(len(choices))
        rate = LEARNING_RATE * (1 - epoch / EPOCHS)
        for at in range(0, len(order_G), CHOICES_PER_STEP):
            some_G = order_G[at : at + CHOICES_PER_STEP]
            rows = np.concatenate([np.arange(starts_G[g], starts_G[g + 1]) for g in some_G])
            owner_N = np.repeat(np.arange(len(some_G)), [starts_G[g + 1] - starts_G[g] for g in some_G])
            adam.step(_gradient(params, z_ND[rows], hit_N[rows], owner_N, weight_G[some_G]), rate)
    return CandidateScorer({"mean": mean_D.astype(np.float32), "scale": scale_D.astype(np.float32), **params})


def _gradient(
    params: dict[str, Any],
    z_ND: Floats,
    hit_N: npt.NDArray[np.bool_],
    owner_N: npt.NDArray[np.int64],
    weight_G: npt.NDArray[np.float64],
) -> dict[str, Floats]:
    """The gradient of the mean negative log-likelihood of some choices."""
    hidden_NH = np.tanh(z_ND @ params["w1"] + params["b1"])
    scores_N = hidden_NH @ params["w2"] + z_ND @ params["w3"]
    top_G = np.full(len(weight_G), -np.inf)
    np.maximum.at(top_G, owner_N, scores_N)
    e_N = np.exp(scores_N - top_G[owner_N])
    all_G = np.bincount(owner_N, e_N, len(weight_G))
    right_G = np.maximum(np.bincount(owner_N, e_N * hit_N, len(weight_G)), 1e-12)
    error_N = (e_N / all_G[owner_N] - e_N * hit_N / right_G[owner_N]) * weight_G[owner_N] / weight_G.sum()
    error_N = error_N.astype(np.float32)
    back_NH = (error_N[:, None] * params["w2"][None, :]) * (1 - hidden_NH**2)
    return {
        "w1": z_ND.T @ back_NH,
        "b1": back_NH.sum(axis=0),
        "w2": hidden_NH.T @ error_N,
        "w3": z_ND.T @ error_N,
    }


class _Adam:
    """Adam with decoupled weight decay (Loshchilov and Hutter, arXiv 1711.05101)."""

    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params
        self._first = {name: np.zeros_like(value) for name, value in params.items()}
        self._second = {name: np.zeros_like(value) for name, value in params.items()}
        self._n = 0

    def step(self, gradient: dict[str, Floats], rate: float) -> None:
        """One step down a gradient."""
        self._n += 1
        for name, g in gradient.items():
            m, v = self._first[name], self._second[name]
            m += 0.1 * (g - m)
            v += 0.001 * (g * g - v)
            found = (m / (1 - 0.9**self._n)) / (np.sqrt(v / (1 - 0.999**self._n)) + 1e-8)
            self._params[name] -= rate * (found + WEIGHT_DECAY * self._params[name])
