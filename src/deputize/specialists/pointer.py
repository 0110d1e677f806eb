"""A pointer: a log-linear model that picks one value of an answer out of the spans in its prompt.

The words around a span and its shape tell which one is meant. No vocabulary is kept: features are hashed, shapes
hold no letters of the traffic.

Legend: K spans of one text, N rows (spans of all texts), F hashed features.

References:
    Vinyals, Fortunato, Jaitly, "Pointer networks", arXiv 1506.03134 (here with a log-linear score instead of
    attention).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from deputize.core.subjects import Subjects
from deputize.specialists.linear_model import FEWEST_GROUPS
from deputize.specialists.tokenized_text import MAX_PIECES, TokenizedText, shape_of

Floats = npt.NDArray[np.float64]

N_FEATURES = 1 << 16
MAX_CANDIDATES = 400
"""Places of one text that are scored; of more the first ones count (and a text with so many is hardly sure of any)."""
COPIED = 0.8
"""Share of the train values that must stand in their prompts before a pointer is fitted."""
FIXED = 3
"""Answers from which a recurring value that stands nowhere in the prompt (null, "unknown") is a span too."""


class CopySpan(NamedTuple):
    """A value that a slot could have, and its hashed features."""

    text: str
    features: list[int]
    places: tuple[int, ...] = ()
    """First pieces of the runs that it stands for; none for a fixed value."""


def _hash(feature: str) -> int:
    return crc32(feature.encode()) % N_FEATURES


class Pointer:
    """One value slot: which shapes its values have, which fixed values it has, and the weights."""

    def __init__(
        self,
        shapes: Sequence[str],
        lengths: Sequence[int],
        fixed: Sequence[str],
        ordinary: Sequence[str] = (),
    ) -> None:
        """
        Args:
            shapes: of the values in train.
            lengths: of the values, in pieces.
            fixed: values that need not stand in the prompt.
            ordinary: shapes of single pieces that recur in train.
        """
        self.shapes, self.lengths, self.fixed = sorted(shapes), sorted(lengths), list(fixed)
        self.ordinary = sorted(ordinary)
        self.weights_F: Floats = np.zeros(N_FEATURES)
        self._known = frozenset(shapes)
        self._usual = frozenset(ordinary).union(*(shape.split(" ") for shape in shapes))

    def copy_spans(self, tokenized: TokenizedText) -> list[CopySpan]:
        """Everything in a text that has a shape seen in train, then the fixed values."""
        found: list[tuple[int, int, str, str, str]] = []
        for i, j, shape in tokenized.runs(self.lengths):
            text = tokenized.between(i, j)
            if shape in self._known:
                found.append((i, j, shape, text, "as it stands"))
            elif text[:1].islower():
                raised = text[0].upper() + text[1:]
                if (shape_raised := shape_of(raised)) in self._known:
                    found.append((i, j, shape_raised, raised, "raised"))
            if len(found) >= MAX_CANDIDATES:
                break
        total, ranks = Counter(shape for _, _, shape, _, _ in found), Counter[str]()
        repeats = Counter(text for *_, text, _ in found)
        out = []
        for i, j, shape, text, how in found:
            ranks[shape] += 1
            out.append(
                CopySpan(
                    text,
                    _features(tokenized, i, j, shape, how, ranks[shape], total[shape], repeats[text]),
                    (i,),
                )
            )
        n = min(len(found), 3)
        out += [
            CopySpan(text, [_hash(f"fixed {k}"), _hash(f"fixed {k} of {n}")])
            for k, text in enumerate(self.fixed)
        ]
        return out

    def _overlooks(self, tokenized: TokenizedText, chosen: Sequence[CopySpan]) -> bool:
        """True where a piece of a shape that does not recur in train stands where a value is more likely to stand.

        It may be the value, which is no span then; a wrong value of a known shape would be chosen with confidence.
        A shape that recurs in train and was no value there is none here: names and dates are next to every order
        number.
        """
        odd = [i for i, s in enumerate(tokenized.shapes) if s not in self._usual]
        at = {place for c in chosen for place in c.places}
        if not odd or not at:
            return False
        likely = max(self._place_score(tokenized, i) for i in odd)
        return likely > 0 and likely >= max(self._place_score(tokenized, i) for i in at)

    def _place_score(self, tokenized: TokenizedText, i: int) -> float:
        return float(self.weights_F[_place_features(tokenized, i)].sum())

    def best(self, tokenized: TokenizedText) -> tuple[str, float, float] | None:
        """(value, its log-probability, its lead in nats over the next one); None where no span stands there."""
        spans = self.copy_spans(tokenized)
        if not spans:
            return None
        scores_K = np.array([self.weights_F[c.features].sum() for c in spans])
        p_K = np.exp(scores_K - scores_K.max())
        p_K /= p_K.sum()
        # the same value at several places is one answer
        by_text: dict[str, float] = {}
        for span, p in zip(spans, p_K, strict=True):
            by_text[span.text] = by_text.get(span.text, 0.0) + float(p)
        (text, first), *rest = sorted(by_text.items(), key=lambda pair: -pair[1])
        if self._overlooks(tokenized, [c for c in spans if c.text == text]):
            return None
        second = rest[0][1] if rest else 0.0
        log_p = float(np.log(max(first, 1e-30)))
        return text, min(log_p, 0.0), log_p - float(np.log(max(second, 1e-30)))


def _place_features(tokenized: TokenizedText, i: int) -> list[int]:
    """The features of a place that do not depend on what stands there."""
    before = tokenized.gaps[i - 1] if i else "^"
    left, left2 = (tokenized.words[i - 1] if i else "^"), (tokenized.words[i - 2] if i > 1 else "^")
    return [
        _hash(feature)
        for feature in (
            f"left {left}",
            f"left {left2} {left}",
            f"before {before}",
            f"label {left}{before}",
            f"head {tokenized.heads[i]}",
            f"head {tokenized.heads[i]} {left}",
        )
    ]


def _features(
    tokenized: TokenizedText, i: int, j: int, shape: str, how: str, rank: int, total: int, repeats: int
) -> list[int]:
    before = tokenized.gaps[i - 1] if i else "^"
    after = tokenized.gaps[j - 1] if j < len(tokenized.spans) else "$"
    left, left2 = (tokenized.words[i - 1] if i else "^"), (tokenized.words[i - 2] if i > 1 else "^")
    right, right2 = (
        (tokenized.words[j] if j < len(tokenized.words) else "$"),
        (tokenized.words[j + 1] if j + 1 < len(tokenized.words) else "$"),
    )
    return [
        _hash(feature)
        for feature in (
            f"shape {shape}",
            f"how {how}",
            f"left {left}",
            f"left {left2} {left}",
            f"before {before}",
            f"label {left}{before}",
            f"right {right}",
            f"right {right} {right2}",
            f"after {after}",
            f"both {left} {right}",
            f"first {tokenized.words[i]}",
            f"last {tokenized.words[j - 1]}",
            f"whole {' '.join(tokenized.words[i:j])}",
            f"pieces {j - i}",
            f"head {tokenized.heads[i]}",
            f"head {tokenized.heads[i]} {left}",
            f"rank {min(rank, 4)}",
            f"from end {min(total - rank, 3)}",
            f"repeats {min(repeats, 3)}",
        )
    ]


def fit_pointer(
    tokenized_texts: Sequence[TokenizedText],
    wanted: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    subjects: Subjects | None = None,
    strength: float = 10.0,
) -> Pointer | None:
    """A pointer fitted to where a slot's values stand; None where too few of them are in their texts.

    Args:
        tokenized_texts: texts of train.
        wanted: the slot's text for each.
        groups: of the texts; each is its own where None. A feature of one group alone gets no weight, and a value that
            does not stand in its text is kept only where FIXED groups have it.
        subjects: of the texts: a feature or a kept value that too few of them have is none. None: any.
        strength: inverse of the L2 penalty.
    """
    groups = [str(n) for n in range(len(tokenized_texts))] if groups is None else groups
    subjects = subjects or Subjects(groups, 1)
    pointer = _untrained(tokenized_texts, wanted, groups, subjects)
    rows = _SpanRows()
    for tokenized, value, group, subject in zip(tokenized_texts, wanted, groups, subjects.names, strict=True):
        rows.add(pointer.copy_spans(tokenized), value, group, subject)
    if not rows.n_texts or rows.n_texts < COPIED * len(wanted):
        return None
    active_A, weights_A = rows.fit(min(FEWEST_GROUPS, len(set(groups))), subjects.least, strength)
    pointer.weights_F[active_A] = weights_A
    return pointer


def _untrained(
    tokenized_texts: Sequence[TokenizedText], wanted: Sequence[str], groups: Sequence[str], subjects: Subjects
) -> Pointer:
    """A pointer that knows shapes, lengths and fixed values, with all weights 0."""
    shapes, lengths = set[str](), set[int]()
    absent: dict[str, set[str]] = {}
    seen: dict[str, set[str]] = {}
    every = range(1, MAX_PIECES + 1)
    for tokenized, value, group in zip(tokenized_texts, wanted, groups, strict=True):
        for shape in set(tokenized.shapes):
            seen.setdefault(shape, set()).add(group)
        exact = [(i, j, shape) for i, j, shape in tokenized.runs(every) if tokenized.between(i, j) == value]
        if exact:
            shapes.update(shape for _, _, shape in exact)
            lengths.update(j - i for i, j, _ in exact)
        elif value.lower() not in tokenized.text.lower():
            absent.setdefault(value, set()).add(group)
    often = sorted(absent.items(), key=lambda pair: -len(pair[1]))[:8]
    common = subjects.shared([value] for value in wanted)
    fixed = [value for value, who in often if len(who) >= min(FIXED, len(set(groups))) and value in common]
    enough = min(FEWEST_GROUPS, len(set(groups)))
    shared = subjects.shared(tokenized.shapes for tokenized in tokenized_texts)
    ordinary = [shape for shape, who in seen.items() if len(who) >= enough and shape in shared]
    return Pointer(sorted(shapes), sorted(lengths), fixed, ordinary)


class _SpanRows:
    """The spans of all texts whose value is among them, as rows of a log-linear model over each text's spans."""

    def __init__(self) -> None:
        self.n_texts = 0
        self._rows: list[list[int]] = []
        self._owner: list[int] = []
        """Per row the number of its text."""
        self._is_value: list[bool] = []
        self._groups_with: dict[int, set[str]] = {}
        self._subjects_with: dict[int, set[str]] = {}

    def add(self, spans: Sequence[CopySpan], value: str, group: str, subject: str) -> None:
        """Takes the spans of one text, unless none of them is its value."""
        right = [c.text == value for c in spans]
        if not any(right):
            return
        self._rows += [c.features for c in spans]
        for feature in {f for c in spans for f in c.features}:
            self._groups_with.setdefault(feature, set()).add(group)
            self._subjects_with.setdefault(feature, set()).add(subject)
        self._owner += [self.n_texts] * len(spans)
        self._is_value += right
        self.n_texts += 1

    def fit(
        self, min_groups: int, min_subjects: int, strength: float
    ) -> tuple[npt.NDArray[np.int64], Floats]:
        """(active features, their weights), each [A]; a feature of too few groups or subjects has weight 0."""
        from scipy import sparse
        from scipy.optimize import minimize

        columns = np.concatenate([np.array(r) for r in self._rows])
        active_A, packed = np.unique(columns, return_inverse=True)
        ends = np.cumsum([0, *map(len, self._rows)])
        x_NA = sparse.csr_matrix((np.ones(len(packed)), packed, ends), shape=(len(self._rows), len(active_A)))
        shared = [
            len(self._groups_with[int(f)]) >= min_groups and len(self._subjects_with[int(f)]) >= min_subjects
            for f in active_A
        ]
        x_NA = x_NA.multiply(shared).tocsr()
        owner_N, hit_N, n_texts = np.array(self._owner), np.array(self._is_value), self.n_texts

        def loss(w_A: Floats) -> tuple[float, Floats]:
            scores_N = x_NA @ w_A
            top = np.full(n_texts, -np.inf)
            np.maximum.at(top, owner_N, scores_N)
            e_N = np.exp(scores_N - top[owner_N])
            all_p = e_N / np.bincount(owner_N, e_N, n_texts)[owner_N]
            right = np.maximum(np.bincount(owner_N, e_N * hit_N, n_texts), 1e-30)
            right_p = e_N * hit_N / right[owner_N]
            value = (
                -np.log(np.bincount(owner_N, all_p * hit_N, n_texts).clip(1e-30)).sum()
                + 0.5 * (w_A @ w_A) / strength
            )
            return float(value), x_NA.T @ (all_p - right_p) + w_A / strength

        start = np.zeros(len(active_A))
        found = minimize(loss, start, jac=True, method="L-BFGS-B", options={"maxiter": 100})
        weights_A: Floats = found.x
        return active_A, weights_A
