"""The rung `linear`: multinomial logistic regression over hashed n-grams, one model per closed question.

Knows nothing of prompts or routes. Weights are kept for the buckets seen in train only, as float16.

Legend: N texts, F buckets, A active buckets, C choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deputize.engines.local.forms import Closed
from deputize.engines.local.hashed import vectors
from deputize.engines.local.reading import Reading, choose

Floats = npt.NDArray[np.float32]


class LinearModel:
    """Weights of one or more questions over the same features."""

    def __init__(
        self, active_A: npt.NDArray[np.int32], idf_F: Floats, weights: list[Floats], biases: list[Floats]
    ) -> None:
        self.active_A, self.idf_F = active_A, idf_F
        self.weights, self.biases = weights, biases
        """Per question [A, C] and [C]; a choice never seen has bias -inf."""

    def log_p(self, texts: Sequence[str]) -> list[Floats]:
        """Log-probabilities per question, [N, C]."""
        rows_NA = vectors(texts, self.idf_F)[:, self.active_A]
        out = []
        for weights_AC, bias_C in zip(self.weights, self.biases, strict=True):
            logits_NC = rows_NA @ weights_AC + bias_C
            logits_NC = logits_NC - logits_NC.max(axis=1, keepdims=True)
            out.append((logits_NC - np.log(np.exp(logits_NC).sum(axis=1, keepdims=True))).astype(np.float32))
        return out

    def save(self, path: Path) -> None:
        """Writes the arrays; never a vocabulary, never a pickle."""
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "active": self.active_A,
            "idf": self.idf_F[self.active_A].astype(np.float16),
            "n_buckets": np.array(self.idf_F.shape[0]),
            "unseen_idf": np.array(self.idf_F.max()),
        }
        for i, (weights_AC, bias_C) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays[f"weights_{i}"], arrays[f"bias_{i}"] = weights_AC.astype(np.float16), bias_C
        with path.open("wb") as out:
            np.savez(out, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> LinearModel:
        """Reads what `save` wrote."""
        with np.load(path, allow_pickle=False) as stored:
            active_A = stored["active"]
            # a bucket outside still counts in the length of a row
            idf_F = np.full(int(stored["n_buckets"]), float(stored["unseen_idf"]), np.float32)
            idf_F[active_A] = stored["idf"].astype(np.float32)
            count = sum(name.startswith("weights_") for name in stored.files)
            weights = [stored[f"weights_{i}"].astype(np.float32) for i in range(count)]
            biases = [stored[f"bias_{i}"] for i in range(count)]
        return cls(active_A, idf_F, weights, biases)


class ClassesReader:
    """Reads answers of a closed form with a linear model."""

    def __init__(self, model: LinearModel, form: Closed) -> None:
        self.model, self.form = model, form

    def read(self, texts: Sequence[str], *, prose: bool = True) -> list[Reading]:
        """One reading per text. An answer is None for an action whose arguments a classifier cannot write."""
        if not texts:
            return []
        log_ps = self.model.log_p(texts)
        return [choose(self.form, [lp[i] for lp in log_ps]) for i in range(len(texts))]
