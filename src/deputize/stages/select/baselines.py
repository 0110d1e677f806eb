"""What needs no language model at all: always the commonest answer, and a linear model over words and characters.

Fitted on train, measured on dev.
"""

from __future__ import annotations

import json
import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np

from deputize.core.contracts import action_of
from deputize.core.records import Answer, Contract
from deputize.engines.local.hashed import idf_of, vectors

MOST_FITTED = 4000
"""Train texts a probe fits on; it only has to tell whether the rung is worth training."""


def decision_of(answer: Answer, contract: Contract) -> str:
    """The part of an answer that a classifier could give: a label, the tools called, or all compared fields."""
    if contract.kind == "tool_call":
        return action_of(answer)
    if contract.kind == "json" and isinstance(answer, dict):
        free = {f.name for f in contract.fields if f.type == "free"}
        return json.dumps(
            {k: v for k, v in answer.items() if k not in free}, sort_keys=True, ensure_ascii=False
        )
    return str(answer)


def majority(train: Sequence[str], dev: Sequence[str]) -> float | None:
    """Accuracy on dev of always giving train's commonest answer; None where either side is empty."""
    if not train or not dev:
        return None
    commonest = Counter(train).most_common(1)[0][0]
    return float(np.mean([d == commonest for d in dev]))


def linear(
    train_texts: Sequence[str],
    train: Sequence[str],
    dev_texts: Sequence[str],
    dev: Sequence[str],
    *,
    seed: int,
) -> float | None:
    """Accuracy on dev of TF-IDF + logistic regression; None where train holds fewer than two answers."""
    if not dev or len(set(train)) < 2:
        return None
    from sklearn.linear_model import LogisticRegression

    chosen = np.arange(len(train))
    if len(chosen) > MOST_FITTED:
        chosen = np.random.default_rng(seed).choice(chosen, MOST_FITTED, replace=False)
    texts = [train_texts[int(i)] for i in chosen]
    answers = [train[int(i)] for i in chosen]
    if len(set(answers)) < 2:
        return None
    idf_F = idf_of(texts)
    rows_NF = vectors(texts, idf_F)
    active_A = np.unique(rows_NF.indices)
    fit = LogisticRegression(C=20.0, max_iter=60, tol=1e-2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # stopped early on purpose
        fit.fit(rows_NF[:, active_A], answers)
    said = fit.predict(vectors(dev_texts, idf_F)[:, active_A])
    return float(np.mean(said == np.array(dev)))
