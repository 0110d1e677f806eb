"""Test of two groups of calls by a cheap classifier: could one specialist serve both as well as one for each?"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from deputize.core.template_key import opening
from deputize.stages.cluster.recurring_lines import PromptCall

MIN_LEARNABLE = 30
"""Fewer calls say nothing of whether one classifier serves two fragments."""
MAX_CALLS = 1200
LOSS = 0.03
"""The accuracy that the joint classifier may lose against one for each."""
_CHARS = 3000


def serves_both(a: Sequence[PromptCall], b: Sequence[PromptCall]) -> bool:
    """Check whether one linear model over both sets of calls predicts the answers about as well as one model each.

    True where there is nothing to test: too few calls, or answers that are not drawn from a small set.
    """
    xa, ya = _sample(a)
    xb, yb = _sample(b)
    if not xa or not xb:
        return True
    alone = (_accuracy(xa, ya, [], []) * len(xa) + _accuracy(xb, yb, [], []) * len(xb)) / (len(xa) + len(xb))
    both = (_accuracy(xa, ya, xb, yb) * len(xa) + _accuracy(xb, yb, xa, ya) * len(xb)) / (len(xa) + len(xb))
    return both >= alone - LOSS


def answer_class(call: PromptCall) -> str:
    """The class of a reply for a classifier: its label, tools, or the short values of its fields."""
    reply = call.reply
    if reply.shape in ("short", "tool"):
        return reply.text
    if reply.fields is not None:
        return "|".join(f"{k}={v}" for k, v in sorted(reply.fields.items()) if len(v) <= 24)
    return reply.shape


def _sample(members: Sequence[PromptCall]) -> tuple[list[str], list[str]]:
    """Texts and answers that occur often enough to be predicted; ([], []) where those are too few."""
    answers = [answer_class(call) for call in members]
    counts = Counter(answers)
    kept = [(call, y) for call, y in zip(members, answers, strict=True) if counts[y] >= 5]
    if len(kept) < max(MIN_LEARNABLE, 0.6 * len(members)):
        return [], []
    if len(kept) > MAX_CALLS:
        kept = random.Random(0).sample(kept, MAX_CALLS)
    texts = ["\n".join(opening(call.example.request))[-_CHARS:] for call, _ in kept]
    return texts, [y for _, y in kept]


def _accuracy(x: list[str], y: list[str], more_x: list[str], more_y: list[str]) -> float:
    """Two-fold accuracy on (x, y), trained on the other half of it and on all of (more_x, more_y)."""
    from sklearn.feature_extraction.text import HashingVectorizer
    from sklearn.linear_model import RidgeClassifier

    if len(set(y)) < 2 and not more_y:
        return 1.0
    vectorizer: Any = HashingVectorizer(n_features=2**15, ngram_range=(1, 2), alternate_sign=False)
    vectors, more = vectorizer.transform(x), (vectorizer.transform(more_x) if more_x else None)
    order = list(range(len(x)))
    random.Random(1).shuffle(order)
    hits = 0
    for test, train in ((order[::2], order[1::2]), (order[1::2], order[::2])):
        features: Any = vectors[train]
        labels = [y[i] for i in train]
        if more is not None:
            from scipy.sparse import vstack

            features, labels = vstack([features, more]), labels + more_y
        if len(set(labels)) < 2:
            hits += sum(y[i] == labels[0] for i in test)
            continue
        model: Any = RidgeClassifier().fit(features, labels)
        hits += int((model.predict(vectors[test]) == [y[i] for i in test]).sum())
    return hits / len(x)
