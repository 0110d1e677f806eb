"""Answers filled in slot by slot without a language model: decisions by linear classifiers, values by pointers and
tools.

Takes microseconds: what agents ask for is mostly copied (an order number, an address).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deputize.core.contracts import DEFER
from deputize.core.records import Answer
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema, Slot
from deputize.specialists.base import RawPrediction
from deputize.specialists.closed_answers import closed
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.fit_value_tools import LookupTable, SlotValues, fit_tool
from deputize.specialists.linear_model import (
    LINEAR_FILE,
    LinearModel,
    LinearPredictor,
    LinearSettings,
    fit_linear,
)
from deputize.specialists.pointer import COPIED, Pointer, fit_pointer
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.tokenized_text import TokenizedText
from deputize.specialists.value_tools import ValueTool, pack_pointers, tool_of, unpack_pointers

POINTERS_FILE, TOOLS_FILE = "pointers.npz", "tools.npz"


class SlotPlace(NamedTuple):
    """A slot's place in an answer: the action ("" where there is none) and the slot's number among its slots."""

    action: str
    slot: int


def steps(schema: AnswerSchema, answer: Answer) -> list[tuple[SlotPlace, Slot, str]] | None:
    """The slots of an answer that are written, each with its place and text; None where the schema cannot express
    it."""
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
        self,
        schema: AnswerSchema,
        model: LinearModel | None,
        pointers: dict[SlotPlace, Pointer],
        tools: dict[SlotPlace, ValueTool] | None = None,
    ) -> None:
        """
        Args:
            schema: of the answers.
            model: makes the decisions; None: there are none.
            pointers: copy values.
            tools: compute values, or look them up.
        """
        self.schema, self.model, self.pointers = schema, model, pointers
        self.tools = tools or {}
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
            source = self.tools.get(place) or self.pointers.get(place)
            found = source.best(page) if source is not None else None
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
        arrays, about = pack_pointers(list(self.pointers.values()))
        about = [[*place, *settings] for place, settings in zip(self.pointers, about, strict=True)]
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), dtype=np.uint8)
        with (folder / POINTERS_FILE).open("wb") as out:
            np.savez(out, allow_pickle=False, **arrays)
        if self.tools:
            save_tools(self.tools, folder)

    @classmethod
    def load(cls, schema: AnswerSchema, folder: Path) -> PointerPredictor:
        """Reads what `save` wrote."""
        with np.load(folder / POINTERS_FILE, allow_pickle=False) as stored:
            about = json.loads(stored["about"].tobytes())
            pointers = unpack_pointers(stored, [settings for _, _, *settings in about])
        places = [SlotPlace(action, index) for action, index, *_ in about]
        linear = folder / LINEAR_FILE
        model = LinearModel.load(linear) if linear.is_file() else None
        return cls(schema, model, dict(zip(places, pointers, strict=True)), read_tools(folder))


def fit_pointer_predictor(
    schema: AnswerSchema,
    texts: Sequence[str],
    answers: Sequence[Answer],
    *,
    groups: Sequence[str] | None = None,
    weights: Sequence[float] | None = None,
    variant: LinearSettings | None = None,
    subjects: Subjects | None = None,
    tools: dict[SlotPlace, ValueTool] | None = None,
) -> PointerPredictor | None:
    """A pointer predictor for a schema; None where it could not write one whole answer, or has no value to copy or
    compute.

    Args:
        schema: of the answers.
        texts: pruned prompts of train.
        answers: the LLM's.
        groups: what may not be torn apart; each text is its own where None.
        weights: of the examples; equal where None.
        variant: of the linear model; chosen where None.
        subjects: of the texts: what too few of them have gets no weight. None: whatever two groups have.
        tools: of the values that are computed or looked up.
    """
    pages = [TokenizedText(text) for text in texts]
    named = [str(n) for n in range(len(texts))] if groups is None else groups
    subjects, tools = subjects or Subjects(named, 1), tools or {}
    written = [steps(schema, answer) for answer in answers]
    pointers = {
        place: p
        for place, slot in values_of(written, pages, named, subjects).items()
        if place not in tools
        and (
            p := fit_pointer(
                slot.pages, slot.wanted, groups=slot.groups, subjects=Subjects(slot.subjects, slot.least)
            )
        )
        is not None
    }
    decisions = ClosedSlots(schema)
    can = {*decisions.places, *pointers, *tools}
    if not (pointers or tools) or not any(
        taken and {place for place, _, _ in taken} <= can for taken in written
    ):
        return None
    model = (
        fit_linear(
            texts, answers, decisions, groups=groups, weights=weights, variant=variant, subjects=subjects
        )
        if decisions.questions
        else None
    )
    return PointerPredictor(schema, model, pointers, tools)


Written = Sequence[list[tuple[SlotPlace, Slot, str]] | None]
"""The slots of answers as `steps` gives them."""


def values_of(
    written: Written, pages: Sequence[TokenizedText], groups: Sequence[str], subjects: Subjects
) -> dict[SlotPlace, SlotValues]:
    """The value slots of answers: for each the prompts that it was written for, with its texts and whose they are."""
    where: dict[SlotPlace, list[tuple[Any, Any, Any, Any]]] = {}
    for page, taken, group, subject in zip(pages, written, groups, subjects.names, strict=True):
        for place, slot, text in taken or ():
            if slot.role == "value":
                where.setdefault(place, []).append((page, text, group, subject))
    out = {}
    for place, rows in where.items():
        seen, wanted, who, whose = (list(column) for column in zip(*rows, strict=True))
        out[place] = SlotValues(seen, wanted, who, whose, subjects.least)
    return out


def fit_tools(
    schema: AnswerSchema,
    texts: Sequence[str],
    answers: Sequence[Answer],
    *,
    groups: Sequence[str],
    subjects: Subjects,
    tables: Sequence[LookupTable] = (),
) -> dict[SlotPlace, ValueTool]:
    """The tools for the values of a schema that are not copied: what a calculator or a lookup explains.

    Args:
        schema: of the answers.
        texts: pruned prompts of train.
        answers: the LLM's.
        groups: what may not be torn apart.
        subjects: of the texts.
        tables: those that the user gives.
    """
    pages, written = [TokenizedText(text) for text in texts], [steps(schema, answer) for answer in answers]
    given = [{place: text for place, _, text in taken or ()} for taken in written]
    found: dict[SlotPlace, ValueTool] = {}
    for place, slot in values_of(written, pages, groups, subjects).items():
        n_copied = sum(text in page.text for page, text in zip(slot.pages, slot.wanted, strict=True))
        if n_copied >= COPIED * len(slot.wanted):
            continue
        mine = [texts for texts in given if place in texts]
        others = {
            f"{one.name!r} of the answer": [texts.get(where) for texts in mine]
            for where, one in _other_values(written, place)
        }
        if (tool := fit_tool(slot, tables, others)) is not None:
            found[place] = tool
    return found


def _other_values(written: Written, place: SlotPlace) -> list[tuple[SlotPlace, Slot]]:
    """The other values of the answers that have a slot."""
    seen = {
        where: slot
        for taken in written
        if any(where == place for where, _, _ in taken or ())
        for where, slot, _ in taken or ()
        if slot.role == "value" and where != place
    }
    return list(seen.items())


def tools_in_words(schema: AnswerSchema, tools: Mapping[SlotPlace, ValueTool]) -> str:
    """A few words on each tool, for the report and the card: "total: a * b"."""
    return "; ".join(f"{_name(schema, place)}: {tool.in_words()}" for place, tool in tools.items())


def _name(schema: AnswerSchema, place: SlotPlace) -> str:
    slots = (
        [slot for tool in schema.actions.get(place.action, []) for slot in tool.slots]
        if schema.kind == "tool_call"
        else schema.slots
    )
    return slots[place.slot].name if place.slot < len(slots) else str(place.slot)


def save_tools(tools: Mapping[SlotPlace, ValueTool], folder: Path) -> None:
    """Writes tools; the tables of lookups are in clear."""
    pointers = [pointer for tool in tools.values() for pointer in tool.needs()]
    arrays, about = pack_pointers(pointers)
    kept = [[*place, len(tool.needs()), tool.stored()] for place, tool in tools.items()]
    arrays["about"] = np.frombuffer(json.dumps([about, kept]).encode(), dtype=np.uint8)
    with (folder / TOOLS_FILE).open("wb") as out:
        np.savez_compressed(out, allow_pickle=False, **arrays)


def read_tools(folder: Path) -> dict[SlotPlace, ValueTool]:
    """The tools of a folder; none where it has none."""
    if not (folder / TOOLS_FILE).is_file():
        return {}
    with np.load(folder / TOOLS_FILE, allow_pickle=False) as stored:
        about, kept = json.loads(stored["about"].tobytes())
        pointers = iter(unpack_pointers(stored, about))
    return {
        SlotPlace(action, slot): tool_of(settings, [next(pointers) for _ in range(n)])
        for action, slot, n, settings in kept
    }


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
    """The linear method's predictor: over closed answers, with pointers where values are copied; None where neither
    fits.

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
