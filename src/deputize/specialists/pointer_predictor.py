"""Answers filled in slot by slot without a language model: decisions by linear classifiers, values by pointers.

Takes microseconds: what agents ask for is mostly copied (an order number, an address).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from deputize.core.contracts import DEFER
from deputize.core.records import Answer
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema, Slot
from deputize.specialists.base import RawPrediction
from deputize.specialists.closed_answers import closed
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.linear_model import (
    LINEAR_FILE,
    LinearModel,
    LinearPredictor,
    LinearSettings,
    fit_linear,
)
from deputize.specialists.pointer import Pointer, fit_pointer
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.tokenized_text import TokenizedText

POINTERS_FILE = "pointers.npz"


class SlotPlace(NamedTuple):
    """A slot's place in an answer: the action ("" where there is none) and the slot's number among its slots."""

    action: str
    slot: int


def steps(schema: AnswerSchema, answer: Answer) -> list[tuple[SlotPlace, Slot, str]] | None:
    """The slots of an answer that are written, each with its place and text; None where the schema cannot express it."""
    segments = schema.segments(answer)
    if segments is None:
        return None
    builder, out = AnswerBuilder(schema), []
    for slot, text in segments:
        out.append((_place(builder), slot, text))
        builder.put(text)
    return out


def _place(builder: AnswerBuilder) -> SlotPlace:
    if builder.schema.action_field is not None and builder.action is None:
        return SlotPlace("", -1)
    return SlotPlace(builder.action or "", len(builder.texts))


class ClosedSlots:
    """The closed slots of a schema as questions of their own, each asked only of the answers that have it."""

    def __init__(self, schema: AnswerSchema) -> None:
        self.schema = schema
        found = [(SlotPlace("", -1), schema.action_field)] if schema.action_field is not None else []
        if schema.kind == "tool_call":
            for action, tools in schema.actions.items():
                slots = [slot for tool in tools for slot in tool.slots]
                found += [(SlotPlace(action, n), slot) for n, slot in enumerate(slots)]
        else:
            found += [(SlotPlace("", n), slot) for n, slot in enumerate(schema.slots)]
        if schema.action_field is not None and schema.kind != "tool_call":
            # a reply at a mixed site has the choice of the action field as its action
            replies = [choice for choice in schema.action_field.choices if choice != DEFER]
            found = [found[0]] + [(SlotPlace(r, p.slot), s) for r in replies for p, s in found[1:]]
        kept = [(place, s) for place, s in found if s.role == "decision" and s.constant is None]
        self.places = [place for place, _ in kept]
        self.questions = [slot for _, slot in kept]

    def indices(self, answer: Answer) -> list[int] | None:
        """For each question the index of its choice, -1 where the answer does not ask it; None: not in the schema."""
        written = steps(self.schema, answer)
        if written is None:
            return None
        texts = {place: text for place, _, text in written}
        return [
            slot.choices.index(texts[place]) if place in texts else -1
            for place, slot in zip(self.places, self.questions, strict=True)
        ]


class PointerPredictor:
    """Fills in answers slot by slot; an answer is None where a slot has neither a decision nor a candidate."""

    kind = "pointer"

    def __init__(
        self, schema: AnswerSchema, model: LinearModel | None, pointers: dict[SlotPlace, Pointer]
    ) -> None:
        self.schema, self.model, self.pointers = schema, model, pointers
        self._decisions = ClosedSlots(schema)

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text."""
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
        builder, chosen, margins = AnswerBuilder(self.schema), list[float](), list[float]()
        while (slot := builder.slot()) is not None:
            place = _place(builder)
            if (lp_C := log_ps.get(place)) is not None:
                at = int(np.argmax(lp_C))
                chosen.append(float(lp_C[at]))
                margins.append(float(lp_C[at] - np.delete(lp_C, at).max(initial=-60.0)))
                builder.put(slot.choices[at])
                continue
            pointer = self.pointers.get(place)
            found = pointer.best(page) if pointer is not None else None
            if found is None:
                return RawPrediction(None, RawConfidence.of(chosen, margins))
            text, log_p, margin = found
            chosen.append(log_p)
            margins.append(margin)
            builder.put(text)
        return RawPrediction(builder.answer(), RawConfidence.of(chosen, margins))

    def save(self, folder: Path) -> None:
        """Writes weights, shapes and fixed values; never a word of the traffic that did not recur as an answer."""
        if self.model is not None:
            self.model.save(folder / LINEAR_FILE)
        arrays: dict[str, npt.NDArray[Any]] = {}
        about = []
        for n, (place, pointer) in enumerate(self.pointers.items()):
            active_A = np.flatnonzero(pointer.weights_F)
            arrays[f"active_{n}"] = active_A.astype(np.int32)
            arrays[f"weights_{n}"] = pointer.weights_F[active_A].astype(np.float32)
            about.append([*place, pointer.shapes, pointer.lengths, pointer.fixed, pointer.ordinary])
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        with (folder / POINTERS_FILE).open("wb") as out:
            np.savez(out, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, schema: AnswerSchema, folder: Path) -> PointerPredictor:
        """Reads what `save` wrote."""
        found: dict[SlotPlace, Pointer] = {}
        with np.load(folder / POINTERS_FILE, allow_pickle=False) as stored:
            for n, (action, index, *settings) in enumerate(json.loads(stored["about"].tobytes())):
                pointer = found[SlotPlace(action, index)] = Pointer(*settings)
                pointer.weights_F[stored[f"active_{n}"]] = stored[f"weights_{n}"]
        linear = folder / LINEAR_FILE
        return cls(schema, LinearModel.load(linear) if linear.is_file() else None, found)


def fit_pointer_predictor(
    schema: AnswerSchema,
    texts: Sequence[str],
    answers: Sequence[Answer],
    *,
    groups: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    variant: LinearSettings | None = None,
    subjects: Subjects | None = None,
) -> PointerPredictor | None:
    """A pointer predictor for a schema; None where it could not write one whole answer, or has no value to copy.

    Args:
        schema: of the answers.
        texts: pruned prompts of train.
        answers: the LLM's.
        groups: what may not be torn apart; each text is its own where None.
        weights: of the examples; equal where None.
        variant: of the linear model; chosen where None.
        subjects: of the texts: what too few of them have gets no weight. None: whatever two groups have.
    """
    pages = [TokenizedText(text) for text in texts]
    where: dict[SlotPlace, tuple[list[TokenizedText], list[str], list[str], list[str]]] = {}
    named = [str(n) for n in range(len(texts))] if groups is None else groups
    subjects = subjects or Subjects(named, 1)
    written = [steps(schema, answer) for answer in answers]
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
    decisions = ClosedSlots(schema)
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
    return PointerPredictor(schema, model, pointers)


def fit_linear_predictor(
    schema: AnswerSchema,
    texts: Sequence[str],
    answers: Sequence[Answer],
    *,
    groups: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    variant: LinearSettings | None = None,
    subjects: Subjects | None = None,
) -> LinearPredictor | PointerPredictor | None:
    """The linear method's predictor: over closed answers, with pointers where values are copied; None where neither fits.

    Args:
        schema: of the answers.
        texts: pruned prompts of train.
        answers: the LLM's.
        groups: what may not be torn apart; each text is its own where None.
        weights: of the examples; equal where None.
        variant: of the linear model; chosen where None.
        subjects: of the texts: what too few of them have gets no weight. None: whatever two groups have.
    """
    more: dict[str, Any] = {"groups": groups, "weights": weights, "variant": variant, "subjects": subjects}
    if (whole := closed(schema)) is None:
        found = fit_pointer_predictor(schema, texts, answers, **more)
        if found is not None:
            return found
        whole = closed(schema, partly=True)
    if whole is None:
        return None
    return LinearPredictor(fit_linear(texts, answers, whole, **more), whole)


def load_pointer(stored: StoredSpecialist) -> PointerPredictor:
    """The predictor of a stored specialist of kind "pointer"."""
    return PointerPredictor.load(stored.settings.schema, stored.folder)
