"""Linear classifiers over hashed n-grams, one model per closed question: multinomial logistic regression, or margins.

Knows nothing of prompts or routes. Weights are kept for the buckets seen in train only, as float16.

Whoever writes into a prompt can add words of another class until its sum is ahead. What the text says for the answer
that it had before
stays in it: so a text that says more against its likeliest answer than every text of train is not decided.

Legend: N texts, F buckets, A active buckets, C choices, Q questions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from deputize.core.errors import BadInput
from deputize.core.records import Answer
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import Slot
from deputize.specialists.base import ClosedScores, RawPrediction, choose_each
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.hashed_features import checked_buckets, counts_of, idf_of_counts, vectors_of_counts
from deputize.specialists.registry import StoredSpecialist

Floats = npt.NDArray[np.float32]
LINEAR_FILE = "linear.npz"
MIN_TEXTS = 50
"""Texts of train with fewer of which nothing is known of how much they say against their answers."""
IN_SAMPLE = 1.1
"""A new text says somewhat more against its likeliest choice than one that the weights were fitted on."""
STORED = 1.02
"""Weights are stored as float16: the text that says the most may not say more than it did."""
N_PARTS = 3
"""Of cross-validation."""
UNDECIDED = -30.0
"""Log-probability of every choice where a text says more than that."""


class LinearModel:
    """Weights of one or more questions over the same features."""

    def __init__(
        self,
        active_A: npt.NDArray[np.int32],
        idf_F: Floats,
        weights: list[Floats],
        biases: list[Floats],
        variant: LinearSettings | None = None,
        most_against_Q: Floats | None = None,
    ) -> None:
        self.active_A, self.idf_F, self.variant = active_A, idf_F, variant
        self.weights, self.biases = weights, biases
        """Per question [A, C] and [C]; a choice never seen has bias -inf."""
        self.most_against_Q = (
            np.full(len(weights), np.inf, np.float32) if most_against_Q is None else most_against_Q
        )
        """Per question the most that a text may say against its likeliest choice, in nats."""

    def log_p(self, texts: Sequence[str]) -> list[Floats]:
        """Log-probabilities per question, [N, C]. Where a text says too much against its likeliest choice all are
        alike, and lower than any other."""
        rows_NA = self._rows(counts_of(texts, self.idf_F.shape[0] // 2))
        out = self._log_p(rows_NA)
        for log_p_NC, weights_AC, most in zip(out, self.weights, self.most_against_Q, strict=True):
            undecided_N = against(rows_NA, weights_AC, log_p_NC) > most
            log_p_NC[undecided_N] = UNDECIDED
        return out

    def log_p_of_counts(self, counts_NF: Any) -> list[Floats]:
        """Log-probabilities of counts, whatever the texts say against them."""
        return self._log_p(self._rows(counts_NF))

    def _rows(self, counts_NF: Any) -> Any:
        return vectors_of_counts(counts_NF, self.idf_F)[:, self.active_A]

    def _log_p(self, rows_NA: Any) -> list[Floats]:
        out = []
        for weights_AC, bias_C in zip(self.weights, self.biases, strict=True):
            logits_NC = rows_NA @ weights_AC + bias_C
            logits_NC = logits_NC - logits_NC.max(axis=1, keepdims=True)
            out.append((logits_NC - np.log(np.exp(logits_NC).sum(axis=1, keepdims=True))).astype(np.float32))
        return out

    def most_said_against(self, counts_NF: Any) -> Floats:
        """Per question, the most that any of some texts says against its likeliest choice. Shape [Q]."""
        rows_NA = self._rows(counts_NF)
        most = [
            against(rows_NA, weights_AC, log_p_NC).max(initial=0.0)
            for weights_AC, log_p_NC in zip(self.weights, self._log_p(rows_NA), strict=True)
        ]
        return np.array(most, np.float32)

    def save(self, path: Path) -> None:
        """Writes the arrays; never a vocabulary, never a pickle."""
        other_F = np.delete(self.idf_F, self.active_A)
        arrays: dict[str, npt.NDArray[np.generic]] = {
            "active": self.active_A,
            "idf": self.idf_F[self.active_A].astype(np.float16),
            "n_buckets": np.array(self.idf_F.shape[0]),
            "unseen_idf": np.array(other_F.max(initial=0.0)),
            "most_against": self.most_against_Q,
        }
        for i, (weights_AC, bias_C) in enumerate(zip(self.weights, self.biases, strict=True)):
            arrays[f"weights_{i}"], arrays[f"bias_{i}"] = weights_AC.astype(np.float16), bias_C
        with path.open("wb") as out:
            np.savez(out, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: Path) -> LinearModel:
        """Reads what `save` wrote. Raises Tampered where it says more buckets than there are."""
        with np.load(path, allow_pickle=False) as stored:
            active_A = stored["active"]
            # a bucket outside counts in the length of a row, where the model was fitted so
            n_buckets = checked_buckets(int(stored["n_buckets"]))
            idf_F = np.full(n_buckets, float(stored["unseen_idf"]), np.float32)
            idf_F[active_A] = stored["idf"].astype(np.float32)
            count = sum(name.startswith("weights_") for name in stored.files)
            weights = [stored[f"weights_{i}"].astype(np.float32) for i in range(count)]
            biases = [stored[f"bias_{i}"] for i in range(count)]
            most_against_Q = stored["most_against"]
        return cls(active_A, idf_F, weights, biases, most_against_Q=most_against_Q)


def against(rows_NA: Any, weights_AC: Floats, log_p_NC: Floats) -> Floats:
    """For each text the sum of what its features say for the second choice and against the likeliest one, in nats.
    Shape [N]."""
    if log_p_NC.shape[1] < 2:
        return np.zeros(log_p_NC.shape[0], np.float32)
    best_N2 = np.argsort(log_p_NC, axis=1)[:, -2:]
    cells = rows_NA.tocoo()
    second_K, first_K = best_N2[cells.row].T
    said_K = cells.data * (weights_AC[cells.col, second_K] - weights_AC[cells.col, first_K])
    sums_N = np.bincount(cells.row, np.maximum(said_K, 0.0), minlength=log_p_NC.shape[0])
    return np.asarray(sums_N, np.float32)


class LinearPredictor:
    """Predicts closed answers with a linear model."""

    kind = "linear"

    def __init__(self, model: LinearModel, answers: ClosedAnswers) -> None:
        self.model, self.answers = model, answers

    def save(self, folder: Path) -> None:
        """Writes the weights into a folder."""
        self.model.save(folder / LINEAR_FILE)

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text. An answer is None for an action whose arguments a classifier cannot write."""
        return choose_each(self.answers, self.scores(texts)) if texts else []

    def scores(self, texts: Sequence[str]) -> ClosedScores:
        """Log-probabilities of the choices of each question."""
        return ClosedScores(self.model.log_p(texts), [0] * len(texts))


class ClosedQuestions(Protocol):
    """Closed questions about a text, and which choice of each an answer makes."""

    @property
    def questions(self) -> list[Slot]: ...

    def indices(self, answer: Answer) -> list[int] | None: ...


class LinearSettings(NamedTuple):
    """How the linear model is fitted."""

    min_groups: int
    """Groups a feature must occur in to count. What fewer hold (order numbers, names) tells one call from another only."""
    strength: float
    """Inverse of the L2 penalty."""
    is_margin: bool = False
    """One support vector machine per choice in the place of multinomial logistic regression."""


FEWEST_GROUPS = 2
"""What one episode alone holds may be about one person; with a weight of its own it could be found out from the
model's confidence (the leak test finds every planted secret then)."""
CAREFUL = LinearSettings(5, 20.0)
"""What is tried where the one chosen gives planted secrets away: pieces of numbers that two or three share are still
rare."""
LARGE = LinearSettings(5, 3.0, is_margin=True)
"""For large tasks: with many choices the margin says better which answers are right, and fits in a tenth of the time."""
SMALL = (LinearSettings(FEWEST_GROUPS, 200.0), CAREFUL, LinearSettings(5, 200.0))
"""What is compared on small tasks."""
HELD_OUT_PART = 5
"""One group in so many is held out for the scale of a margin."""
SCALES: tuple[float, ...] = tuple(2 ** (n / 2) for n in range(0, 11))
DEFAULT_SCALE = 4.0
"""Where too little can be held out."""
CROSS_VALIDATED = 20_000
"""Texts times choices up to which it is; larger tasks have enough to learn from anyway."""


def fit_linear(
    texts: Sequence[str],
    answers: Sequence[Answer],
    questions: ClosedQuestions,
    *,
    groups: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    variant: LinearSettings | None = None,
    subjects: Subjects | None = None,
) -> LinearModel:
    """One linear classifier per question.

    Args:
        texts: pruned prompts of train.
        answers: the LLM's.
        questions: closed, about each text.
        groups: what may not be torn apart; each text is its own where None.
        weights: of the examples; equal where None.
        variant: None for the one of SMALL with the highest likelihood in cross-validation over groups (LARGE on large
            tasks); nothing but these texts is looked at.
        subjects: of the texts: a feature that too few of them have counts as little as one of too few groups. None:
            any.
    """
    groups = [str(n) for n in range(len(texts))] if groups is None else groups
    data = _FitData(
        counts_of(texts),
        [questions.indices(answer) for answer in answers],
        _numbered(groups),
        np.ones(len(texts)) if weights is None else np.asarray(weights, dtype=np.float64),
        _numbered(groups if subjects is None else subjects.names),
        1 if subjects is None else subjects.least,
    )
    sizes = [len(question.choices) for question in questions.questions]
    if variant is None:
        small = len(texts) * sum(sizes) <= CROSS_VALIDATED
        variant = max(SMALL, key=lambda v: _cross_validated(data, sizes, v)) if small else LARGE
    model = _fit(data, sizes, variant)
    if len(texts) >= MIN_TEXTS:
        model.most_against_Q = _most_against(data, sizes, model, variant)
    return model


def _numbered(names: Sequence[str]) -> npt.NDArray[np.int64]:
    number = {name: n for n, name in enumerate(dict.fromkeys(names))}
    return np.array([number[name] for name in names], dtype=np.int64)


class _FitData(NamedTuple):
    """Examples to fit on."""

    counts_NF: Any
    targets: list[list[int] | None]
    group_N: npt.NDArray[np.int64]
    weights_N: npt.NDArray[np.float64]
    subject_N: npt.NDArray[np.int64]
    min_subjects: int

    def take(self, chosen: npt.NDArray[np.int64]) -> _FitData:
        return self._replace(
            counts_NF=self.counts_NF[chosen],
            targets=[self.targets[i] for i in chosen],
            group_N=self.group_N[chosen],
            weights_N=self.weights_N[chosen],
            subject_N=self.subject_N[chosen],
        )


def _parts(data: _FitData) -> Iterator[tuple[_FitData, _FitData]]:
    """(one part, the rest) for each part of the groups."""
    for part in range(N_PARTS):
        held = data.take(np.flatnonzero(data.group_N % N_PARTS == part))
        rest = data.take(np.flatnonzero(data.group_N % N_PARTS != part))
        if len(rest.targets) and len(held.targets):
            yield held, rest


def _most_against(
    data: _FitData, sizes: Sequence[int], model: LinearModel, variant: LinearSettings
) -> Floats:
    """The most that a text of train says against its likeliest choice by a model that has not seen it, so that a new
    text of the same kind says more once in so many texts. On large tasks by the model itself."""
    if len(data.targets) * sum(sizes) > CROSS_VALIDATED:
        return (IN_SAMPLE * model.most_said_against(data.counts_NF)).astype(np.float32)
    found = [_fit(rest, sizes, variant).most_said_against(held.counts_NF) for held, rest in _parts(data)]
    most_Q: Floats = STORED * np.max([model.most_said_against(data.counts_NF), *found], axis=0)
    return most_Q.astype(np.float32)


def _cross_validated(data: _FitData, sizes: Sequence[int], variant: LinearSettings) -> float:
    """Log-probability of the answers, each by a model of the other parts; groups are never torn apart."""
    total = 0.0
    for held, rest in _parts(data):
        for q, lp_NC in enumerate(_fit(rest, sizes, variant).log_p_of_counts(held.counts_NF)):
            total += sum(float(lp_NC[n, t[q]]) for n, t in enumerate(held.targets) if t and t[q] >= 0)
    return total


def _fit(data: _FitData, sizes: Sequence[int], variant: LinearSettings) -> LinearModel:
    active_A = _common(data.counts_NF, data.group_N, variant.min_groups)
    if data.min_subjects > 1:
        active_A = np.intersect1d(active_A, _common(data.counts_NF, data.subject_N, data.min_subjects))
    idf_F = idf_of_counts(data.counts_NF)
    if variant.min_groups <= FEWEST_GROUPS:
        # all excluded features count alike, as if they had never been seen
        kept_F = np.full_like(idf_F, idf_F.max())
        kept_F[active_A] = idf_F[active_A]
        idf_F = kept_F
    else:
        # an excluded feature does not count in the length of a row either: a new order number is no sign of a new task
        idf_F = np.zeros_like(idf_F)
        idf_F[active_A] = 1.0
    rows_NA = vectors_of_counts(data.counts_NF, idf_F)[:, active_A]
    all_weights, all_biases = [], []
    for q, n_choices in enumerate(sizes):
        weights_AC = np.zeros((len(active_A), n_choices), np.float32)
        bias_C = np.full(n_choices, -30.0, np.float32)
        asked = [n for n, t in enumerate(data.targets) if t is not None and t[q] >= 0]
        labels_N = np.array([t[q] for n in asked if (t := data.targets[n]) is not None], dtype=int)
        seen = np.unique(labels_N)
        if len(seen) == 1:
            bias_C[seen[0]] = 0.0
        elif len(seen) and not len(active_A):
            # no feature is common to enough groups: how often each choice was made is all there is
            often_C = np.bincount(labels_N, data.weights_N[asked], n_choices)
            bias_C[seen] = np.log(often_C[seen] / often_C.sum())
        elif len(seen) > 1:
            fit_question = _fit_margin if variant.is_margin else _fit_logistic
            examples = _AskedExamples(rows_NA[asked], labels_N, data.weights_N[asked], data.group_N[asked])
            fit, scale = fit_question(examples, variant.strength)
            if len(seen) == 2:  # sklearn keeps one row for two classes
                weights_AC[:, seen[1]] = scale * fit.coef_[0]
                bias_C[seen] = (0.0, scale * float(fit.intercept_[0]))
            else:
                weights_AC[:, fit.classes_] = scale * fit.coef_.T
                bias_C[fit.classes_] = scale * fit.intercept_
        all_weights.append(weights_AC)
        all_biases.append(bias_C)
    return LinearModel(active_A, idf_F, all_weights, all_biases, variant)


class _AskedExamples(NamedTuple):
    """The examples that one question was asked of."""

    rows_NA: Any
    labels_N: npt.NDArray[np.int64]
    weights_N: npt.NDArray[np.float64]
    group_N: npt.NDArray[np.int64]


def _fit_logistic(asked: _AskedExamples, strength: float) -> tuple[Any, float]:
    """Multinomial logistic regression, and the factor on its scores that makes them log-odds."""
    from sklearn.linear_model import LogisticRegression

    # from 4,000 texts on stopping early also served more calls
    max_iter = 120 if len(asked.labels_N) < 4000 else 40
    fit = LogisticRegression(C=strength, max_iter=max_iter, tol=1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the solver is stopped early on purpose
        fit.fit(asked.rows_NA, asked.labels_N, sample_weight=asked.weights_N)
    return fit, 1.0


def _fit_margin(asked: _AskedExamples, strength: float) -> tuple[Any, float]:
    """One linear support vector machine per choice, and the factor on its scores that fits a part held out best."""
    rows_NA, labels_N, weights_N, group_N = asked
    held_N = group_N % HELD_OUT_PART == 0
    scale = DEFAULT_SCALE
    if held_N.any() and len(np.unique(labels_N[~held_N])) == len(np.unique(labels_N)):
        part = _svm(rows_NA[~held_N], labels_N[~held_N], weights_N[~held_N], strength)
        scale = _best_scale(part, rows_NA[held_N], labels_N[held_N])
    return _svm(rows_NA, labels_N, weights_N, strength), scale


def _svm(rows_NA: Any, labels_N: npt.NDArray[np.int64], weights_N: npt.NDArray[np.float64], c: float) -> Any:
    from sklearn.svm import LinearSVC

    fit = LinearSVC(C=c, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what has not converged by then orders the answers as well
        return fit.fit(rows_NA, labels_N, sample_weight=weights_N)


def _best_scale(fit: Any, rows_NA: Any, labels_N: npt.NDArray[np.int64]) -> float:
    """The factor on the scores under which the answers held out are the most likely."""
    scores_NC = fit.decision_function(rows_NA)
    if scores_NC.ndim == 1:
        scores_NC = np.stack([np.zeros_like(scores_NC), scores_NC], axis=1)
    at_N = np.searchsorted(fit.classes_, labels_N)

    def log_likelihood(scale: float) -> float:
        z_NC = scale * scores_NC
        top_N = z_NC.max(axis=1)
        return float(
            (
                z_NC[np.arange(len(at_N)), at_N] - top_N - np.log(np.exp(z_NC - top_N[:, None]).sum(axis=1))
            ).sum()
        )

    return max(SCALES, key=log_likelihood)


def _common(counts_NF: Any, group_N: npt.NDArray[np.int64], min_groups: int) -> npt.NDArray[np.int32]:
    """Buckets that occur in at least so many groups."""
    if min_groups <= 1:
        return np.unique(counts_NF.indices).astype(np.int32)
    n_groups = int(group_N.max(initial=0)) + 1
    entries = counts_NF.tocoo()
    pairs = np.unique(entries.col.astype(np.int64) * n_groups + group_N[entries.row])
    bucket_A, n_A = np.unique(pairs // n_groups, return_counts=True)
    return bucket_A[n_A >= min(min_groups, n_groups)].astype(np.int32)


def load_linear(stored: StoredSpecialist) -> LinearPredictor:
    """The predictor of a stored specialist of kind "linear".

    Raises:
        BadInput: its answers are not closed.
    """
    answers = closed(stored.settings.schema, partly=True)
    if answers is None:
        raise BadInput(f"{stored.folder}: a linear specialist needs closed answers")
    return LinearPredictor(LinearModel.load(stored.folder / LINEAR_FILE), answers)
