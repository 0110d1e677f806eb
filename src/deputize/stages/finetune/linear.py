"""The rung `linear`: fits what engines.local.classes reads with.

Legend: N texts, A active buckets, C choices.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deputize.engines.local.classes import LinearModel
from deputize.engines.local.forms import Closed
from deputize.engines.local.hashed import idf_of, vectors
from deputize.stages.finetune.data import Lesson


def fit_linear(
    lessons: Sequence[Lesson], form: Closed, *, strength: float = 20.0, max_iter: int | None = None
) -> LinearModel:
    """One multinomial logistic regression per question.

    Args:
        lessons: train.
        form: the questions.
        strength: inverse of the L2 penalty.
        max_iter: of the solver; 120, and 40 from 4,000 lessons on, where stopping early also served more calls.
    """
    from sklearn.linear_model import LogisticRegression

    max_iter = max_iter or (120 if len(lessons) < 4000 else 40)
    texts = [lesson.text for lesson in lessons]
    weights_N = np.array([lesson.weight for lesson in lessons], dtype=np.float64)
    idf_F = idf_of(texts)
    rows_NF = vectors(texts, idf_F)
    active_A = np.unique(rows_NF.indices).astype(np.int32)
    rows_NA = rows_NF[:, active_A]
    targets = [form.indices(lesson.answer) for lesson in lessons]
    all_weights, all_biases = [], []
    for q, question in enumerate(form.questions):
        n_choices = len(question.choices)
        weights_AC = np.zeros((len(active_A), n_choices), np.float32)
        bias_C = np.full(n_choices, -30.0, np.float32)
        asked = [n for n, t in enumerate(targets) if t is not None and t[q] >= 0]
        labels_N = np.array([t[q] for n in asked if (t := targets[n]) is not None], dtype=int)
        seen = np.unique(labels_N)
        if len(seen) == 1:
            bias_C[seen[0]] = 0.0
        elif len(seen) > 1:
            fit = LogisticRegression(C=strength, max_iter=max_iter, tol=1e-4)
            fit.fit(rows_NA[asked], labels_N, sample_weight=weights_N[asked])
            if len(seen) == 2:  # sklearn keeps one row for two classes
                weights_AC[:, seen[1]], bias_C[seen] = fit.coef_[0], (0.0, float(fit.intercept_[0]))
            else:
                weights_AC[:, fit.classes_], bias_C[fit.classes_] = fit.coef_.T, fit.intercept_
        all_weights.append(weights_AC)
        all_biases.append(bias_C)
    return LinearModel(active_A, idf_F, all_weights, all_biases)
