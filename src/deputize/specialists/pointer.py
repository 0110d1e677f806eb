"""A linear model that fills in arguments: decisions by logistic regression, values by pointing at a place in the prompt.

An answer is written slot by slot as the generate reader does it, but in microseconds: what agents ask for is mostly
copied (an order number, an address), and the words around a place and its shape tell which one is meant. No vocabulary
is kept: features are hashed, shapes hold no letters of the traffic.

Legend: K candidates of one text, N rows (candidates of all texts), F hashed features.

References:
    Vinyals, Fortunato, Jaitly, "Pointer networks", arXiv 1506.03134 (here with a log-linear score instead of attention).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
import numpy.typing as npt

from deputize.core.contracts import DEFER
from deputize.core.records import Answer
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema, Slot, closed
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.linear import (
    FEWEST_GROUPS,
    LinearModel,
    LinearPredictor,
    LinearSettings,
    fit_linear,
)

Floats = npt.NDArray[np.float64]

N_FEATURES = 1 << 16
MAX_PIECES = 6
"""Longest value, in pieces."""
MAX_CANDIDATES = 400
"""Places of one text that are scored; of more the first ones count (and a text with so many is hardly sure of any)."""
COPIED = 0.8
"""Share of the train values that must stand in their prompts before pointing is worth trying."""
FIXED = 3
"""Answers from which a recurring value that stands nowhere in the prompt (null, "unknown") is a candidate too."""

_PIECE = re.compile(r"""[^\s,;:{}()\[\]"'<>|=/*`]+""")
_UPPER, _LOWER, _DIGIT = re.compile(r"[^\W\d_a-z]+"), re.compile(r"[^\W\d_A-Z]+"), re.compile(r"\d+")


class SlotPlace(NamedTuple):
    """A slot's place in an answer: the action ("" where there is none) and the slot's number among its slots."""

    action: str
    slot: int


def steps(form: AnswerSchema, answer: Answer) -> list[tuple[SlotPlace, Slot, str]] | None:
    """The slots of an answer that are written, each with its place and text; None where the form cannot express it."""
    segments = form.segments(answer)
    if segments is None:
        return None
    writing, out = AnswerBuilder(form), []
    for slot, text in segments:
        out.append((_place(writing), slot, text))
        writing.put(text)
    return out


def _place(writing: AnswerBuilder) -> SlotPlace:
    if writing.form.gate is not None and writing.action is None:
        return SlotPlace("", -1)
    return SlotPlace(writing.action or "", len(writing.texts))


class Decisions:
    """The closed slots of a form as questions of their own, each asked only of the answers that have it."""

    def __init__(self, form: AnswerSchema) -> None:
        self.form = form
        found = [(SlotPlace("", -1), form.gate)] if form.gate is not None else []
        if form.kind == "tool_call":
            for action, tools in form.actions.items():
                slots = [slot for tool in tools for slot in tool.slots]
                found += [(SlotPlace(action, n), slot) for n, slot in enumerate(slots)]
        else:
            found += [(SlotPlace("", n), slot) for n, slot in enumerate(form.slots)]
        if form.gate is not None and form.kind != "tool_call":
            # a reply at a mixed site has the gate's choice as its action
            replies = [choice for choice in form.gate.choices if choice != DEFER]
            found = [found[0]] + [(SlotPlace(r, p.slot), s) for r in replies for p, s in found[1:]]
        kept = [(place, s) for place, s in found if s.role == "decision" and s.constant is None]
        self.places = [place for place, _ in kept]
        self.questions = [slot for _, slot in kept]

    def indices(self, answer: Answer) -> list[int] | None:
        """For each question the index of its choice, -1 where the answer does not ask it; None: not in the form."""
        written = steps(self.form, answer)
        if written is None:
            return None
        texts = {place: text for place, _, text in written}
        return [
            slot.choices.index(texts[place]) if place in texts else -1
            for place, slot in zip(self.places, self.questions, strict=True)
        ]


class TokenizedText:
    """A text cut into pieces; values are runs of pieces on one line."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.spans: list[tuple[int, int]] = []
        for match in _PIECE.finditer(text):
            end = match.start() + len(match.group().rstrip(".!?"))
            if end > match.start():
                self.spans.append((match.start(), end))
        self.words = [text[a:b].lower() for a, b in self.spans]
        self.shapes = [shape_of(text[a:b]) for a, b in self.spans]
        self.gaps = [text[a[1] : b[0]] for a, b in zip(self.spans, self.spans[1:], strict=False)]
        self.breaks = ["\n" in gap for gap in self.gaps]
        starts = [text.rfind("\n", 0, a) + 1 for a, _ in self.spans]
        self.heads = [
            text[s : s + 40].split(":")[0].lower() if ":" in text[s : s + 40] else "" for s in starts
        ]

    def runs(self, lengths: Sequence[int]) -> list[tuple[int, int, str]]:
        """(first piece, piece after the last, shape) of every run on one line with one of these lengths."""
        out = []
        for i in range(len(self.spans)):
            shape = self.shapes[i]
            for j in range(i + 1, min(i + MAX_PIECES, len(self.spans)) + 1):
                if j > i + 1:
                    if self.breaks[j - 2]:
                        break
                    shape += shape_of(self.gaps[j - 2]) + self.shapes[j - 1]
                if j - i in lengths:
                    out.append((i, j, shape))
        return out

    def between(self, i: int, j: int) -> str:
        """The text of a run."""
        return self.text[self.spans[i][0] : self.spans[j - 1][1]]


def shape_of(text: str) -> str:
    """A text without its letters and digits: `LH-46698` and `AB-1` are both `A-0`."""
    text = re.sub(r"\s+", " ", text)
    return _DIGIT.sub("0", _LOWER.sub("a", _UPPER.sub("A", text)))


class SpanCandidate(NamedTuple):
    """A value that a slot could have, and what speaks for it."""

    text: str
    features: list[int]


def _hash(feature: str) -> int:
    return crc32(feature.encode()) % N_FEATURES


class Pointer:
    """One value slot: which shapes its values have, which values it takes without reading them, and the weights."""

    def __init__(self, shapes: Sequence[str], lengths: Sequence[int], fixed: Sequence[str]) -> None:
        self.shapes, self.lengths, self.fixed = sorted(shapes), sorted(lengths), list(fixed)
        self.weights_F: Floats = np.zeros(N_FEATURES)
        self._known = frozenset(shapes)

    def candidates(self, page: TokenizedText) -> list[SpanCandidate]:
        """Everything in a text that has a shape seen in train, then the fixed values."""
        found: list[tuple[int, int, str, str, str]] = []
        for i, j, shape in page.runs(self.lengths):
            text = page.between(i, j)
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
                SpanCandidate(
                    text, _features(page, i, j, shape, how, ranks[shape], total[shape], repeats[text])
                )
            )
        n = min(len(found), 3)
        out += [
            SpanCandidate(text, [_hash(f"fixed {k}"), _hash(f"fixed {k} of {n}")])
            for k, text in enumerate(self.fixed)
        ]
        return out

    def best(self, page: TokenizedText) -> tuple[str, float, float] | None:
        """(value, its log-probability, its lead in nats over the next one); None where no candidate stands there."""
        candidates = self.candidates(page)
        if not candidates:
            return None
        scores_K = np.array([self.weights_F[c.features].sum() for c in candidates])
        p_K = np.exp(scores_K - scores_K.max())
        p_K /= p_K.sum()
        # the same value at several places is one answer
        by_text: dict[str, float] = {}
        for candidate, p in zip(candidates, p_K, strict=True):
            by_text[candidate.text] = by_text.get(candidate.text, 0.0) + float(p)
        (text, first), *rest = sorted(by_text.items(), key=lambda pair: -pair[1])
        second = rest[0][1] if rest else 0.0
        log_p = float(np.log(max(first, 1e-30)))
        return text, min(log_p, 0.0), log_p - float(np.log(max(second, 1e-30)))


def _features(
    page: TokenizedText, i: int, j: int, shape: str, how: str, rank: int, total: int, repeats: int
) -> list[int]:
    before = page.gaps[i - 1] if i else "^"
    after = page.gaps[j - 1] if j < len(page.spans) else "$"
    left, left2 = (page.words[i - 1] if i else "^"), (page.words[i - 2] if i > 1 else "^")
    right, right2 = (
        (page.words[j] if j < len(page.words) else "$"),
        (page.words[j + 1] if j + 1 < len(page.words) else "$"),
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
            f"first {page.words[i]}",
            f"last {page.words[j - 1]}",
            f"whole {' '.join(page.words[i:j])}",
            f"pieces {j - i}",
            f"head {page.heads[i]}",
            f"head {page.heads[i]} {left}",
            f"rank {min(rank, 4)}",
            f"from end {min(total - rank, 3)}",
            f"repeats {min(repeats, 3)}",
        )
    ]


def fit_pointer(
    pages: Sequence[TokenizedText],
    wanted: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    subjects: Subjects | None = None,
    strength: float = 10.0,
) -> Pointer | None:
    """Learns where a slot's values stand; None where too few of them stand in their texts.

    Args:
        pages: texts of train.
        wanted: the slot's text for each.
        groups: of the texts; each is its own where None. A feature of one group alone gets no weight, and a value that
            is not read is kept only where FIXED groups have it.
        subjects: of the texts: a feature or a kept value that too few of them have is none. None: any.
        strength: inverse of the L2 penalty.
    """
    from scipy import sparse
    from scipy.optimize import minimize

    groups = [str(n) for n in range(len(pages))] if groups is None else groups
    subjects = subjects or Subjects(groups, 1)
    shapes, lengths = set[str](), set[int]()
    absent: dict[str, set[str]] = {}
    every = range(1, MAX_PIECES + 1)
    for page, value, group in zip(pages, wanted, groups, strict=True):
        exact = [(i, j, shape) for i, j, shape in page.runs(every) if page.between(i, j) == value]
        if exact:
            shapes.update(shape for _, _, shape in exact)
            lengths.update(j - i for i, j, _ in exact)
        elif value.lower() not in page.text.lower():
            absent.setdefault(value, set()).add(group)
    often = sorted(absent.items(), key=lambda pair: -len(pair[1]))[:8]
    common = subjects.shared([value] for value in wanted)
    fixed = [value for value, who in often if len(who) >= min(FIXED, len(set(groups))) and value in common]
    pointer = Pointer(sorted(shapes), sorted(lengths), fixed)
    rows: list[list[int]] = []
    owner: list[int] = []
    groups_with: dict[int, set[str]] = {}
    subjects_with: dict[int, set[str]] = {}
    hit: list[bool] = []
    n_found = 0
    for page, value, group, subject in zip(pages, wanted, groups, subjects.names, strict=True):
        candidates = pointer.candidates(page)
        right = [c.text == value for c in candidates]
        if any(right):
            rows += [c.features for c in candidates]
            for feature in {f for c in candidates for f in c.features}:
                groups_with.setdefault(feature, set()).add(group)
                subjects_with.setdefault(feature, set()).add(subject)
            owner += [n_found] * len(candidates)
            hit += right
            n_found += 1
    if not n_found or n_found < COPIED * len(wanted):
        return None
    columns = np.concatenate([np.array(r) for r in rows])
    active_A, packed = np.unique(columns, return_inverse=True)
    ends = np.cumsum([0, *map(len, rows)])
    x_NA = sparse.csr_matrix((np.ones(len(packed)), packed, ends), shape=(len(rows), len(active_A)))
    owner_N, hit_N = np.array(owner), np.array(hit)

    def loss(w_A: Floats) -> tuple[float, Floats]:
        scores_N = x_NA @ w_A
        top = np.full(n_found, -np.inf)
        np.maximum.at(top, owner_N, scores_N)
        e_N = np.exp(scores_N - top[owner_N])
        all_p = e_N / np.bincount(owner_N, e_N, n_found)[owner_N]
        right = np.maximum(np.bincount(owner_N, e_N * hit_N, n_found), 1e-30)
        right_p = e_N * hit_N / right[owner_N]
        value = (
            -np.log(np.bincount(owner_N, all_p * hit_N, n_found).clip(1e-30)).sum()
            + 0.5 * (w_A @ w_A) / strength
        )
        return float(value), x_NA.T @ (all_p - right_p) + w_A / strength

    least = min(FEWEST_GROUPS, len(set(groups)))
    told = [
        len(groups_with[int(f)]) >= least and len(subjects_with[int(f)]) >= subjects.least for f in active_A
    ]
    x_NA = x_NA.multiply(told).tocsr()
    found = minimize(loss, np.zeros(len(active_A)), jac=True, method="L-BFGS-B", options={"maxiter": 100})
    pointer.weights_F[active_A] = found.x
    return pointer


class PointerPredictor:
    """Writes answers slot by slot; an answer is None where a slot can be neither decided nor pointed at."""

    def __init__(
        self, form: AnswerSchema, model: LinearModel | None, pointers: dict[SlotPlace, Pointer]
    ) -> None:
        self.form, self.model, self.pointers = form, model, pointers
        self._decisions = Decisions(form)

    def read(self, texts: Sequence[str], *, prose: bool = True) -> list[RawPrediction]:
        """One reading per text."""
        if not texts:
            return []
        log_ps = self.model.log_p(texts) if self.model is not None else []
        return [
            self._one(
                TokenizedText(text),
                {place: lp[n] for place, lp in zip(self._decisions.places, log_ps, strict=False)},
            )
            for n, text in enumerate(texts)
        ]

    def _one(self, page: TokenizedText, log_ps: dict[SlotPlace, Any]) -> RawPrediction:
        writing, chosen, margins = AnswerBuilder(self.form), list[float](), list[float]()
        while (slot := writing.slot()) is not None:
            place = _place(writing)
            if (lp_C := log_ps.get(place)) is not None:
                at = int(np.argmax(lp_C))
                chosen.append(float(lp_C[at]))
                margins.append(float(lp_C[at] - np.delete(lp_C, at).max(initial=-60.0)))
                writing.put(slot.choices[at])
                continue
            pointer = self.pointers.get(place)
            found = pointer.best(page) if pointer is not None else None
            if found is None:
                return RawPrediction(None, RawConfidence.of(chosen, margins))
            text, log_p, margin = found
            chosen.append(log_p)
            margins.append(margin)
            writing.put(text)
        return RawPrediction(writing.answer(), RawConfidence.of(chosen, margins))

    def save(self, linear: Path, pointers: Path) -> None:
        """Writes weights, shapes and fixed values; never a word of the traffic that did not recur as an answer."""
        if self.model is not None:
            self.model.save(linear)
        arrays: dict[str, npt.NDArray[Any]] = {}
        about = []
        for n, (place, pointer) in enumerate(self.pointers.items()):
            active_A = np.flatnonzero(pointer.weights_F)
            arrays[f"active_{n}"] = active_A.astype(np.int32)
            arrays[f"weights_{n}"] = pointer.weights_F[active_A].astype(np.float32)
            about.append([*place, pointer.shapes, pointer.lengths, pointer.fixed])
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        with pointers.open("wb") as out:
            np.savez(out, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, form: AnswerSchema, linear: Path, pointers: Path) -> PointerPredictor:
        """Reads what `save` wrote."""
        found: dict[SlotPlace, Pointer] = {}
        with np.load(pointers, allow_pickle=False) as stored:
            for n, (action, index, shapes, lengths, fixed) in enumerate(
                json.loads(stored["about"].tobytes())
            ):
                pointer = found[SlotPlace(action, index)] = Pointer(shapes, lengths, fixed)
                pointer.weights_F[stored[f"active_{n}"]] = stored[f"weights_{n}"]
        return cls(form, LinearModel.load(linear) if linear.is_file() else None, found)


def fit_pointing(
    form: AnswerSchema,
    texts: Sequence[str],
    answers: Sequence[Answer],
    *,
    groups: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    variant: LinearSettings | None = None,
    subjects: Subjects | None = None,
) -> PointerPredictor | None:
    """A pointing reader for a form; None where it could not write one whole answer, or has nothing to point at.

    Args:
        form: learnt from the answers.
        texts: pruned prompts of train.
        answers: the teacher's.
        groups: what may not be torn apart; each text is its own where None.
        weights: of the examples; equal where None.
        variant: of the linear model; chosen where None.
        subjects: of the texts: what too few of them have is not learnt. None: whatever two groups have.
    """
    pages = [TokenizedText(text) for text in texts]
    where: dict[SlotPlace, tuple[list[TokenizedText], list[str], list[str], list[str]]] = {}
    named = [str(n) for n in range(len(texts))] if groups is None else groups
    subjects = subjects or Subjects(named, 1)
    written = [steps(form, answer) for answer in answers]
    for page, taken, group, subject in zip(pages, written, named, subjects.names, strict=True):
        for place, slot, text in taken or ():
            if slot.role == "value":
                kept = where.setdefault(place, ([], [], [], []))
                kept[0].append(page)
                kept[1].append(text)
                kept[2].append(group)
                kept[3].append(subject)
    pointers = {
        place: p
        for place, (seen, wanted, who, whose) in where.items()
        if (p := fit_pointer(seen, wanted, groups=who, subjects=Subjects(whose, subjects.least))) is not None
    }
    decisions = Decisions(form)
    can = {*decisions.places, *pointers}
    if not pointers or not any(taken and {place for place, _, _ in taken} <= can for taken in written):
        return None
    model = (
        fit_linear(
            texts, answers, decisions, groups=groups, weights=weights, variant=variant, subjects=subjects
        )
        if decisions.questions
        else None
    )
    return PointerPredictor(form, model, pointers)


def linear_reader(
    form: AnswerSchema,
    texts: Sequence[str],
    answers: Sequence[Answer],
    *,
    groups: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    variant: LinearSettings | None = None,
    subjects: Subjects | None = None,
) -> LinearPredictor | PointerPredictor | None:
    """The rung `linear` of a task: over closed answers, with pointing where values are copied; None where neither fits.

    Args:
        form: learnt from the answers.
        texts: pruned prompts of train.
        answers: the teacher's.
        groups: what may not be torn apart; each text is its own where None.
        weights: of the examples; equal where None.
        variant: of the linear model; chosen where None.
        subjects: of the texts: what too few of them have is not learnt. None: whatever two groups have.
    """
    more: dict[str, Any] = {"groups": groups, "weights": weights, "variant": variant, "subjects": subjects}
    if (whole := closed(form)) is None:
        found = fit_pointing(form, texts, answers, **more)
        if found is not None:
            return found
        whole = closed(form, partly=True)
    if whole is None:
        return None
    return LinearPredictor(fit_linear(texts, answers, whole, **more), whole)
