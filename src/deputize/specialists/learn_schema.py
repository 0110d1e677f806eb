"""Learning a task's answer schema from the LLM's answers: which values are constant, chosen out of a closed set, or
written.

No torch here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeAlias

import msgspec

from deputize.core.contracts import DEFER, action_of
from deputize.core.records import Answer, Contract
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import ABSENT, ACTION, REPLY, AnswerSchema, Slot, ToolCallSchema

MIN_SHARED = 0.95
"""Of the answers with a value that enough data subjects have: with fewer an argument is not chosen from a closed
set."""


def learn_schema(
    contract: Contract, answers: Sequence[Answer], subjects: Subjects | None = None
) -> AnswerSchema:
    """The schema of a task from the LLM's answers in train.

    A value is constant when eight or more answers never varied it. Compared slots are written before free ones, so that
    decisions do not wait for free text.

    Args:
        contract: of the task.
        answers: the LLM's.
        subjects: of each answer, whose it is: tools, argument names and values that too few have are not in the schema,
            which is stored in clear with the weights; it cannot express such an answer then. None: everything may be.
    """
    if contract.from_request:
        return AnswerSchema(kind=contract.kind)  # each request brings its own
    names = subjects.names if subjects is not None else [""] * len(answers)
    least = subjects.least if subjects is not None else 1
    given = [(a, who) for a, who in zip(answers, names, strict=True) if a is not None]
    action_field = _action_field(contract, given, least)
    served = [(a, who) for a, who in given if a != DEFER or not contract.may_defer]
    if contract.kind == "label":
        label = Slot(name="label", role="decision")
        # a label of several lines is written on one, as any other text is
        label = msgspec.structs.replace(label, choices=[label.write(text) for text in contract.labels])
        return AnswerSchema(kind="label", slots=[label], action_field=action_field)
    if contract.kind == "text":
        text = Slot(name="text", role="value")
        return AnswerSchema(kind="text", slots=[text], action_field=action_field)
    if contract.kind == "json":
        return _json_schema(contract, served, action_field, least)
    assert action_field is not None
    return _tool_schema(served, action_field, least)


def _action_field(contract: Contract, given: Sequence[_Owned], least: int) -> Slot | None:
    """The slot that decides the action, of tool calls and at mixed sites; only actions that enough data subjects
    have."""
    if not contract.may_defer and contract.kind != "tool_call":
        return None
    actions = [
        action_of(a) if contract.kind == "tool_call" else (DEFER if a == DEFER else REPLY) for a, _ in given
    ]
    common = Subjects([who for _, who in given], least).shared([name] for name in actions)
    always = [DEFER] if contract.may_defer else []
    shown = [name for name in actions if name in common or name in (DEFER, REPLY)]
    return Slot(name=ACTION, role="decision", choices=_by_frequency([*shown, *always]))


def _json_schema(
    contract: Contract, given: Sequence[_Owned], action_field: Slot | None, least: int
) -> AnswerSchema:
    objects = [(a, who) for a, who in given if isinstance(a, dict)]
    slots = [_json_slot(f.name, f.type, f.labels, f.optional, objects, least) for f in contract.fields]
    order = {"decision": 0, "value": 1, "free": 2}
    return AnswerSchema(
        kind="json",
        slots=sorted(slots, key=lambda s: order[s.role]),
        keys=[f.name for f in contract.fields],
        action_field=action_field,
    )


def _tool_schema(given: Sequence[_Owned], action_field: Slot, least: int) -> AnswerSchema:
    calls: dict[str, list[_Owned]] = {}
    for answer, who in given:
        if isinstance(answer, list) and action_of(answer) in action_field.choices:
            calls.setdefault(action_of(answer), []).append((answer, who))
    actions = {name: _tools(group, least) for name, group in sorted(calls.items())}
    return AnswerSchema(kind="tool_call", actions=actions, action_field=action_field)


_Owned: TypeAlias = tuple[Any, str]
"""An answer, or what is in one, and whose it is."""


def _tools(group: Sequence[_Owned], least: int) -> list[ToolCallSchema]:
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


def _common(owned: Sequence[_Owned], least: int) -> set[Any]:
    """Keys of dicts, or members of lists, that enough data subjects have."""
    return Subjects([who for _, who in owned], least).shared(held for held, _ in owned)


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
    name: str, type_: str, labels: list[Any], optional: bool, objects: list[_Owned], least: int
) -> Slot:
    values = [(o[name], who) for o, who in objects if name in o]
    plain = all(isinstance(v, str) or v is None for v in [*(v for v, _ in values), *labels])
    if type_ == "label":
        slot = Slot(name=name, role="decision", plain=plain, optional=optional)
        choices = [slot.write(v) for v in labels] + ([ABSENT] if optional else [])
        return msgspec.structs.replace(
            slot, choices=choices, constant=choices[0] if len(choices) == 1 else None
        )
    role: Literal["value", "free"] = "free" if type_ == "free" else "value"
    slot = Slot(name=name, role=role, plain=plain, optional=optional)
    return msgspec.structs.replace(slot, constant=_constant(slot, values, len(objects), least))


def _constant(slot: Slot, values: list[_Owned], n: int, least: int, repeats: int = 8) -> str | None:
    texts = {slot.write(v) for v, _ in values}
    shared = len({who for _, who in values}) >= least
    return texts.pop() if len(texts) == 1 and len(values) == n >= repeats and shared else None


def _slot(
    name: str, values: list[_Owned], without: list[str], least: int, most: int = 12, repeats: int = 4
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
    texts = [(slot.write(v), who) for v, who in values] + [(ABSENT, who) for who in without]
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
