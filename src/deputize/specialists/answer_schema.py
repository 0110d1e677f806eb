"""What a specialist writes: only what varies in an answer, slot by slot; the rest is put back by construction.

Constant JSON keys, constant values and tool names never become tokens. A form is learnt from the teacher's answers in
train; `AnswerBuilder` then asks for one slot after the other and builds an answer that keeps the contract. No torch here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from deputize.core.contracts import DEFER, action_of, fold
from deputize.core.records import Answer, Contract, Record
from deputize.core.subjects import Subjects

ACTION = "<action>"
"""Name of the slot that decides between tools, or between answering and leaving it to the LLM."""
REPLY = "<reply>"
"""In the action slot of a json, label or text task at a mixed site: the specialist answers itself."""
_ABSENT = "~"
MIN_SHARED = 0.95
"""Of the answers with a value that enough data subjects have: with fewer an argument is not chosen from a closed set."""


class Slot(Record):
    """One value of an answer, as text."""

    name: str
    role: Literal["decision", "value", "free"]
    """decision: out of a closed set; value: copied or computed, compared; free: prose, not compared."""
    choices: list[str] = msgspec.field(default_factory=list)
    """role decision: the texts it is chosen from."""
    plain: bool = True
    """True: strings stand as they are and everything else as ~JSON; False: every value is JSON."""
    optional: bool = False
    constant: str | None = None
    """The text, where it never varied: not written at all."""

    def write(self, value: Any, *, present: bool = True) -> str:
        """A value as the text of this slot: one line, read back by `read`."""
        if not present:
            return _ABSENT
        if self.plain and isinstance(value, str) and _is_plain(value):
            return value
        data = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
        return f"~{data}" if self.plain else data

    def read(self, text: str) -> tuple[bool, Any]:
        """(present, value) of a text.

        Raises:
            ValueError: the text is no value of this slot.
        """
        if text == _ABSENT:
            if not self.optional:
                raise ValueError("a required value is absent")
            return False, None
        if not self.plain:
            return True, json.loads(text)
        return True, json.loads(text[1:]) if text.startswith("~") else text


def _is_plain(text: str) -> bool:
    return bool(text) and not text.startswith("~") and text == text.strip() and text.isprintable()


class ToolCallSchema(Record):
    """One tool call: its name and its arguments in the order they are written."""

    tool: str
    slots: list[Slot]
    keys: list[str]
    """Argument names in the teacher's order, for the JSON that is sent."""


class AnswerSchema(Record):
    """How answers of one task are written."""

    kind: Literal["label", "json", "tool_call", "text"]
    slots: list[Slot] = msgspec.field(default_factory=list)
    keys: list[str] = msgspec.field(default_factory=list)
    """json: the keys in the teacher's order."""
    actions: dict[str, list[ToolCallSchema]] = msgspec.field(default_factory=dict)
    """tool_call: what each action writes after it is decided; DEFER writes nothing."""
    gate: Slot | None = None
    """The action slot: of tool_call always, of other kinds where the site is mixed."""

    def segments(self, answer: Answer) -> list[tuple[Slot, str]] | None:
        """The slots of an answer and their texts, in the order of writing, constants left out.

        None where this form cannot express the answer (an unseen label, tool, key or argument).
        """
        writing = AnswerBuilder(self)
        out: list[tuple[Slot, str]] = []
        while (slot := writing.slot()) is not None:
            text = _wanted(self, writing, slot, answer)
            if text is None or (slot.role == "decision" and text not in slot.choices):
                return None
            out.append((slot, text))
            writing.put(text)
        return out if _same(writing.answer(), answer, self.kind) else None


class AnswerBuilder:
    """One answer being written: `slot()` says what comes next, `put(text)` takes it, `answer()` builds the whole."""

    def __init__(self, form: AnswerSchema) -> None:
        self.form = form
        self.action: str | None = None
        self.texts: list[str] = []
        """Texts of all slots after the gate, constants included."""
        self._plan: list[Slot] = list(form.slots)
        if form.gate is None:
            self._take_constants()

    def slot(self) -> Slot | None:
        """The next slot to write, None when the answer is complete."""
        if self.form.gate is not None and self.action is None:
            return self.form.gate
        return self._plan[len(self.texts)] if len(self.texts) < len(self._plan) else None

    def place(self) -> tuple[int, int]:
        """Which tool call (0 for other kinds) and which of its slots comes next."""
        at, index = len(self.texts), 0
        if self.form.kind == "tool_call" and self.action is not None:
            for index, tool in enumerate(self.form.actions.get(self.action, [])):
                if at < len(tool.slots):
                    return index, at
                at -= len(tool.slots)
        return index, at

    def put(self, text: str) -> None:
        """Takes the text of the next slot."""
        if self.form.gate is not None and self.action is None:
            self.action = text
            if text == DEFER:
                self._plan = []
            elif self.form.kind == "tool_call":
                self._plan = [slot for tool in self.form.actions.get(text, []) for slot in tool.slots]
        else:
            self.texts.append(text)
        self._take_constants()

    def _take_constants(self) -> None:
        while len(self.texts) < len(self._plan):
            constant = self._plan[len(self.texts)].constant
            if constant is None:
                return
            self.texts.append(constant)

    def answer(self) -> Answer | None:
        """The canonical answer, None where a text was no value of its slot or slots are missing."""
        if self.slot() is not None:
            return None
        if self.action == DEFER:
            return DEFER
        try:
            if self.form.kind == "tool_call":
                return self._calls()
            if self.form.kind == "json":
                return _object(self.form.slots, self.texts, self.form.keys)
            return self.form.slots[0].read(self.texts[0])[1]
        except (ValueError, RecursionError):
            return None

    def _calls(self) -> Answer | None:
        if not self.action or self.action not in self.form.actions:
            return None
        out, at = [], 0
        for tool in self.form.actions[self.action]:
            n_slots = len(tool.slots)
            out.append(
                {
                    "name": tool.tool,
                    "arguments": _object(tool.slots, self.texts[at : at + n_slots], tool.keys),
                }
            )
            at += n_slots
        return out


def _object(slots: Sequence[Slot], texts: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
    found = {}
    for slot, text in zip(slots, texts, strict=True):
        present, value = slot.read(text)
        if present:
            found[slot.name] = value
    return {key: found[key] for key in keys if key in found}


def _wanted(form: AnswerSchema, writing: AnswerBuilder, slot: Slot, answer: Answer) -> str | None:
    if slot is form.gate:
        return action_of(answer) if form.kind == "tool_call" else (DEFER if answer == DEFER else REPLY)
    if form.kind in ("label", "text"):
        return slot.write(answer) if isinstance(answer, str) else None
    if form.kind == "json":
        return _field(slot, answer)
    index, _ = writing.place()
    return (
        _field(slot, answer[index]["arguments"]) if isinstance(answer, list) and index < len(answer) else None
    )


def _field(slot: Slot, values: Any) -> str | None:
    if not isinstance(values, dict):
        return None
    if slot.name not in values:
        return _ABSENT if slot.optional else None
    return slot.write(values[slot.name])


def _same(a: Answer, b: Answer, kind: str) -> bool:
    if kind in ("label", "text") and isinstance(a, str) and isinstance(b, str):
        return fold(a) == fold(b)
    return bool(a == b)


def learn_form(
    contract: Contract, answers: Sequence[Answer], subjects: Subjects | None = None
) -> AnswerSchema:
    """The form of a task from the teacher's answers in train.

    A value is constant when eight or more answers never varied it. Compared slots are written before free ones:
    what decides must not wait for prose.

    Args:
        contract: of the task.
        answers: the teacher's.
        subjects: of each answer, whose it is: tools, argument names and values that too few have are not in the form, which
            stands in clear beside the weights; it cannot express such an answer then. None: everything may be.
    """
    names = subjects.names if subjects is not None else [""] * len(answers)
    least = subjects.least if subjects is not None else 1
    told = [(a, who) for a, who in zip(answers, names, strict=True) if a is not None]
    given = [a for a, _ in told]
    gate = None
    if contract.may_defer or contract.kind == "tool_call":
        actions = [
            action_of(a) if contract.kind == "tool_call" else (DEFER if a == DEFER else REPLY) for a in given
        ]
        common = Subjects([who for _, who in told], least).shared([name] for name in actions)
        always = [DEFER] if contract.may_defer else []
        shown = [name for name in actions if name in common or name in (DEFER, REPLY)]
        gate = Slot(name=ACTION, role="decision", choices=_by_frequency([*shown, *always]))
    told = [(a, who) for a, who in told if a != DEFER or not contract.may_defer]
    if contract.kind == "label":
        return AnswerSchema(
            kind="label",
            slots=[Slot(name="label", role="decision", choices=list(contract.labels))],
            gate=gate,
        )
    if contract.kind == "text":
        return AnswerSchema(kind="text", slots=[Slot(name="text", role="value")], gate=gate)
    if contract.kind == "json":
        objects = [(a, who) for a, who in told if isinstance(a, dict)]
        slots = [_json_slot(f.name, f.type, f.labels, f.optional, objects, least) for f in contract.fields]
        order = {"decision": 0, "value": 1, "free": 2}
        return AnswerSchema(
            kind="json",
            slots=sorted(slots, key=lambda s: order[s.role]),
            keys=[f.name for f in contract.fields],
            gate=gate,
        )
    calls: dict[str, list[_Told]] = {}
    for answer, who in told:
        if isinstance(answer, list) and action_of(answer) in common:
            calls.setdefault(action_of(answer), []).append((answer, who))
    forms = {name: _tools(group, least) for name, group in sorted(calls.items())}
    return AnswerSchema(kind="tool_call", actions=forms, gate=gate)


_Told: TypeAlias = tuple[Any, str]
"""An answer, or what is in one, and whose it is."""


def _tools(group: Sequence[_Told], least: int) -> list[ToolCallSchema]:
    out = []
    for index in range(len(group[0][0])):
        arguments = [(calls[index]["arguments"], who) for calls, who in group]
        common = _common(arguments, least)
        keys = [key for key in _merged_keys(a for a, _ in arguments) if key in common]
        slots = [
            _slot(
                key,
                [(a[key], who) for a, who in arguments if key in a],
                [w for a, w in arguments if key not in a],
                least,
            )
            for key in keys
        ]
        out.append(ToolCallSchema(tool=str(group[0][0][index]["name"]), slots=slots, keys=keys))
    return out


def _common(told: Sequence[_Told], least: int) -> set[Any]:
    """What enough data subjects have: keys of dicts, or members of lists."""
    return Subjects([who for _, who in told], least).shared(held for held, _ in told)


def _merged_keys(objects: Iterable[dict[str, Any]]) -> list[str]:
    keys: list[str] = []
    for found in objects:
        at = 0
        for key in found:
            if key in keys:
                at = max(at, keys.index(key) + 1)
            else:
                keys.insert(at, key)
                at += 1
    return keys


def _json_slot(
    name: str, type_: str, labels: list[Any], optional: bool, objects: list[_Told], least: int
) -> Slot:
    values = [(o[name], who) for o, who in objects if name in o]
    plain = all(isinstance(v, str) or v is None for v in [*(v for v, _ in values), *labels])
    if type_ == "label":
        slot = Slot(name=name, role="decision", plain=plain, optional=optional)
        choices = [slot.write(v) for v in labels] + ([_ABSENT] if optional else [])
        return msgspec.structs.replace(
            slot, choices=choices, constant=choices[0] if len(choices) == 1 else None
        )
    role: Literal["value", "free"] = "free" if type_ == "free" else "value"
    slot = Slot(name=name, role=role, plain=plain, optional=optional)
    return msgspec.structs.replace(slot, constant=_constant(slot, values, len(objects), least))


def _constant(slot: Slot, values: list[_Told], n: int, least: int, repeats: int = 8) -> str | None:
    texts = {slot.write(v) for v, _ in values}
    shared = len({who for _, who in values}) >= least
    return texts.pop() if len(texts) == 1 and len(values) == n >= repeats and shared else None


def _slot(
    name: str, values: list[_Told], without: list[str], least: int, most: int = 12, repeats: int = 4
) -> Slot:
    """An argument: closed where few values recur often, else a value to copy or compute.

    Args:
        name: of the argument.
        values: it had, and whose the answers were.
        without: whose the answers without it were.
        least: data subjects that must have a value for it to be a choice; the others' answers are not expressed then.
        most: choices.
        repeats: how often each choice must occur in the middle.
    """
    n = len(values) + len(without)
    slot = Slot(
        name=name,
        role="value",
        optional=bool(without),
        plain=all(isinstance(v, str) or v is None for v, _ in values),
    )
    texts = [(slot.write(v), who) for v, who in values] + [(_ABSENT, who) for who in without]
    constant = _constant(slot, values, n, least)
    if constant is not None:
        return msgspec.structs.replace(slot, constant=constant)
    shared = _common([([t], who) for t, who in texts], least)
    kept = [t for t, _ in texts if t in shared]
    distinct = _by_frequency(kept)
    if (
        len(kept) >= MIN_SHARED * n
        and len(distinct) <= most
        and n >= repeats * len(distinct)
        and min(kept.count(t) for t in distinct) > 1
    ):
        return msgspec.structs.replace(slot, role="decision", choices=distinct)
    return slot


def _by_frequency(texts: Sequence[str]) -> list[str]:
    counts: dict[str, int] = {}
    for text in texts:
        counts[text] = counts.get(text, 0) + 1
    return sorted(counts, key=lambda t: (-counts[t], t))


class ClosedAnswers(Record):
    """A form whose answers are combinations of closed choices: read in one forward pass, one head per question."""

    form: AnswerSchema
    questions: list[Slot]
    open_actions: list[str] = msgspec.field(default_factory=list)
    """Actions with arguments that a classifier cannot write: recognised, but answered with None."""

    def indices(self, answer: Answer) -> list[int] | None:
        """For each question the index of its choice; None where the answer is not in the form."""
        if self.form.kind == "tool_call":
            name = action_of(answer)
            choices = self.questions[0].choices
            return [choices.index(name)] if name in choices else None
        segments = self.form.segments(answer)
        if segments is None:
            return None
        found = {slot.name: slot.choices.index(text) for slot, text in segments}
        # a reply that is left to the LLM has no fields: -1 = not asked, not learnt
        return [found.get(slot.name, -1) for slot in self.questions]

    def answer(self, indices: Sequence[int]) -> Answer | None:
        """The answer that a choice for each question makes; None for an action with open arguments."""
        texts = {q.name: q.choices[i] for q, i in zip(self.questions, indices, strict=True)}
        if texts.get(ACTION) in self.open_actions:
            return None
        writing = AnswerBuilder(self.form)
        while (slot := writing.slot()) is not None:
            writing.put(texts[slot.name])
        return writing.answer()

    def asked(self, indices: Sequence[int]) -> list[bool]:
        """Which questions count for an answer: none but the gate where it is left to the LLM."""
        if self.form.gate is None:
            return [True] * len(self.questions)
        left = self.questions[0].choices[indices[0]] == DEFER
        return [True] + [not left] * (len(self.questions) - 1)


def closed(form: AnswerSchema, *, partly: bool = False) -> ClosedAnswers | None:
    """The closed reading of a form, None where answers hold values that must be written.

    Args:
        form: of the task.
        partly: also where only some actions of a tool_call form are closed; the others are answered with None.
    """
    if form.kind == "tool_call":
        if form.gate is None:
            return None
        open_ = [
            n for n, tools in form.actions.items() if any(s.constant is None for t in tools for s in t.slots)
        ]
        if (open_ and not partly) or len(open_) == len(form.actions):
            return None
        return ClosedAnswers(form=form, questions=[form.gate], open_actions=open_)
    slots = [s for s in form.slots if s.constant is None]
    if not slots or any(s.role != "decision" for s in slots):
        return None
    return ClosedAnswers(form=form, questions=[*([form.gate] if form.gate else []), *slots])
