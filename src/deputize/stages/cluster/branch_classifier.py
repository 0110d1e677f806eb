"""Fitting of the linear classifier that separates, from the request alone, tasks that share one template."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from deputize.core.group_order import groups_in_order
from deputize.core.records import BranchClassifier
from deputize.core.subjects import Subjects
from deputize.core.template_key import branch_features

MAX_FEATURES = 3000
MAX_TEXTS = 8000
FOLDS = 3
MAX_ERROR = 0.02
"""Share of the assigned requests that may go to the wrong branch (cross-validated by group)."""
MIN_ASSIGNED = 0.6
"""Share of the requests of every branch that must be assigned; with less the classifier is not used."""


def fit_branch_classifier(
    texts: Sequence[str],
    branches: Sequence[str],
    groups: Sequence[str],
    subjects: Subjects | None = None,
    *,
    seed: int = 0,
) -> tuple[BranchClassifier | None, tuple[str, str] | None]:
    """The classifier that finds the branch of a text from its words, cross-validated over groups.

    Args:
        texts: the user's part of the requests.
        branches: the true branch of each.
        groups: the group of each; a group is never in two folds.
        subjects: the data subject of each; a word of too few of them is no feature. None: every word may be one.
        seed: of the draw of texts and folds.

    Returns:
        (classifier, None), or (None, the two branches that are hardest to tell apart) where no margin keeps the error
        under MAX_ERROR and assigns MIN_ASSIGNED of every branch.
    """
    names = sorted(set(branches))
    rows = list(range(len(texts)))
    if len(rows) > MAX_TEXTS:
        rows = sorted(random.Random(seed).sample(rows, MAX_TEXTS))
    x = [branch_features(texts[i]) for i in rows]
    if subjects is not None and subjects.least > 1:
        common = Subjects([subjects.names[i] for i in rows], subjects.least).shared(x)
        x = [[word for word in words if word in common] for words in x]
    y = [names.index(branches[i]) for i in rows]
    folds = _folds([groups[i] for i in rows], seed)
    scored: list[tuple[float, bool, int]] = []
    confused: Counter[tuple[int, int]] = Counter()
    for fold in range(FOLDS):
        train = [i for i in range(len(rows)) if folds[i] != fold]
        if len({y[i] for i in train}) < len(names):
            return None, _worst(confused, names)
        model = _fit([x[i] for i in train], [y[i] for i in train], names, 0.0)
        for i in (i for i in range(len(rows)) if folds[i] == fold):
            best, lead = _best(model, x[i])
            scored.append((lead, best == y[i], y[i]))
            if best != y[i]:
                confused[(min(best, y[i]), max(best, y[i]))] += 1
    margin = _margin(scored, Counter(y))
    if margin is None:
        return None, _worst(confused, names)
    return _fit(x, y, names, margin), None


def _folds(groups: Sequence[str], seed: int) -> list[int]:
    names = groups_in_order(groups)
    random.Random(seed).shuffle(names)
    fold = {name: i % FOLDS for i, name in enumerate(names)}
    return [fold[g] for g in groups]


def _worst(confused: Counter[tuple[int, int]], names: Sequence[str]) -> tuple[str, str]:
    pair = min(confused, key=lambda p: (-confused[p], p)) if confused else (0, 1)
    return names[pair[0]], names[pair[1]]


def _margin(scored: Sequence[tuple[float, bool, int]], sizes: Counter[int]) -> float | None:
    """The smallest lead from which on the error is small; None where too little of some branch is left then."""
    ordered = sorted(scored, key=lambda row: -row[0])
    wrong, cut = 0, 0
    for n, (_, right, _) in enumerate(ordered, 1):
        wrong += not right
        if wrong <= MAX_ERROR * n:
            cut = n
    if cut == 0:
        return None
    left = Counter(branch for _, _, branch in ordered[:cut])
    if any(left[b] < MIN_ASSIGNED * n for b, n in sizes.items()):
        return None
    return max(0.0, round(ordered[cut - 1][0] - 1e-4, 4))


def _fit(x: Sequence[list[str]], y: Sequence[int], names: Sequence[str], margin: float) -> BranchClassifier:
    import numpy as np
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import LogisticRegression

    df = Counter(word for words in x for word in words)
    least = 3 if len(x) >= 100 else 2
    kept = sorted((w for w in df if df[w] >= least), key=lambda w: (-df[w], w))[: 4 * MAX_FEATURES]
    column = {w: i for i, w in enumerate(kept)}
    indices = [column[w] for words in x for w in words if w in column]
    pointers = np.concatenate([[0], np.cumsum([sum(w in column for w in words) for words in x])])
    matrix: Any = csr_matrix((np.ones(len(indices)), indices, pointers), shape=(len(x), max(1, len(kept))))
    model: Any = LogisticRegression(C=1.0, max_iter=300, class_weight="balanced").fit(matrix, y)
    coef, bias = model.coef_, model.intercept_
    if len(names) == 2:
        coef, bias = np.vstack([-coef / 2, coef / 2]), np.array([-bias[0] / 2, bias[0] / 2])
    strength = np.ptp(coef, axis=0)
    order = np.argsort(-strength, kind="stable")[:MAX_FEATURES]
    weights = {
        kept[j]: [round(float(v), 3) for v in coef[:, j]]
        for j in order.tolist()
        if kept and strength[j] > 0.01
    }
    return BranchClassifier(
        branches=list(names), weights=weights, bias=[round(float(b), 3) for b in bias], margin=margin
    )


def _best(classifier: BranchClassifier, words: Sequence[str]) -> tuple[int, float]:
    scores = list(classifier.bias)
    for word in words:
        for i, weight in enumerate(classifier.weights.get(word, ())):
            scores[i] += weight
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    return order[0], scores[order[0]] - scores[order[1]]
