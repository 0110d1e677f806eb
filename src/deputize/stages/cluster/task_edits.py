"""Edits that a person makes to discovered tasks: merge, split, rename, hide, show, the type of a field.

Pure: an artifact in, an artifact out. An edit is kept by template keys, not by task ids, so that it can be
applied again to tasks that were discovered from more calls.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import msgspec

from deputize.core.artifacts import Discovered
from deputize.core.contracts import levels_of
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Example, FieldType, Record, Task
from deputize.core.text_measures import TextMeasure
from deputize.stages.cluster.combine_tasks import (
    join_tasks,
    keys_of,
    new_id,
    part_task,
    replace_tasks,
    same_frame,
    tasks_having,
)
from deputize.stages.cluster.output_contract import typed_field

MIN_PART_CALLS = 5
"""A template with fewer calls is no part of its own when a task is split."""


class Edit(Record, frozen=True):
    """One edit as it is stored: names and template keys, nothing of a call's text."""

    action: Literal["merge", "split", "rename", "hide", "show", "field", "measure"]
    keys: list[list[str]]
    """merge: the keys of each task that is joined; split: those of each part; else those of the one task."""
    name: str = ""
    """rename: the task's new name; field, measure: the field's, "" where the whole reply is a text."""
    type: FieldType | None = None
    """field: its type from now on."""
    measure: TextMeasure | None = None
    """measure: how its texts are compared from now on; None: character by character."""
    at: float = 0.0
    """Unix seconds."""


class Edits(Record, frozen=True):
    """All edits of a home, oldest first."""

    edits: list[Edit] = msgspec.field(default_factory=list)
    version: int = 1


def find(discovered: Discovered, task_id: str) -> Task:
    """The task with an id. Raises BadInput where there is none."""
    for task in discovered.tasks:
        if task.id == task_id:
            return task
    known = ", ".join(t.id for t in discovered.tasks) or "none"
    raise BadInput(f"There is no task {task_id!r}; there are: {known}.")


# ---------------------------------------------------------------- edits that a person asks for


def merge(
    discovered: Discovered, examples: Sequence[Example], first: str, second: str, *, at: float = 0.0
) -> tuple[Discovered, Edit, Task]:
    """Two tasks as one; it has a new id, since what was trained or certified for either says nothing of both.

    Args:
        discovered: the discovered tasks.
        examples: the curated examples, for the counts.
        first: id of the task whose name is kept.
        second: id of the other one.
        at: Unix seconds, for the record.

    Raises:
        BadInput: there is no such task.
        UsageError: the same task twice, or replies of two kinds.
    """
    a, b = find(discovered, first), find(discovered, second)
    if a.id == b.id:
        raise UsageError(f"{a.id} cannot be merged with itself.")
    if a.contract.kind != b.contract.kind:
        raise UsageError(
            f"{a.id} and {b.id} cannot be one task: the replies of one are {_kind(a)}, those of the other {_kind(b)}."
        )
    if not same_frame(a.contract, b.contract):
        raise UsageError(
            f"{a.id} and {b.id} cannot be one task: another Markdown fence, or another text, stands around their replies."
        )
    if levels_of(a.contract) != levels_of(b.contract):
        raise UsageError(
            f"{a.id} and {b.id} cannot be one task: the texts of one agree by another measure than those of the other "
            f"({_levels(a)}; {_levels(b)}). Set the same for both with `deputize tasks measure`, or take it back."
        )
    edit = Edit(action="merge", keys=[list(a.keys), list(b.keys)], at=at)
    after, made = join_tasks(discovered, examples, [a, b], new_id("merge", [*a.keys, *b.keys]))
    return after, edit, made


def _levels(task: Task) -> str:
    return ", ".join(levels_of(task.contract)) or "character by character"


def split(
    discovered: Discovered, examples: Sequence[Example], task_id: str, *, at: float = 0.0
) -> tuple[Discovered, Edit, list[Task]]:
    """A task as one task per template, largest first; templates with hardly any call stay with the largest.

    Raises:
        BadInput: there is no such task.
        UsageError: the router sees nothing by which its calls differ.
    """
    task = find(discovered, task_id)
    mine = [e for e in examples if discovered.assignment.get(e.call_id) == task.id]
    counts = Counter(keys_of(mine, discovered.keyspaces).values())
    large = [key for key in sorted(task.keys, key=lambda k: (-counts[k], k)) if counts[key] >= MIN_PART_CALLS]
    if len(large) < 2:
        n_other = len(task.keys) - len(large)
        raise UsageError(
            f"There is nothing to split {task.id} by: its {task.n_calls} calls have one template"
            + (
                f" but for {n_other} that fewer than {MIN_PART_CALLS} calls have each"
                if n_other and large
                else ""
            )
            + ". A split that the router cannot repeat from the request alone could not be served."
        )
    parts = [[key] for key in large]
    parts[0] += [key for key in task.keys if key not in large]
    after, made = part_task(discovered, examples, task, parts)
    return after, Edit(action="split", keys=parts, at=at), made


def rename(
    discovered: Discovered, task_id: str, name: str, *, at: float = 0.0
) -> tuple[Discovered, Edit, Task]:
    """A task under another name.

    Raises:
        BadInput: there is no such task.
        UsageError: an empty name, or the name of another task.
    """
    task = find(discovered, task_id)
    name = " ".join(name.split())
    if not name:
        raise UsageError("A task needs a name.")
    if any(t.name == name and t.id != task.id for t in discovered.tasks):
        raise UsageError(f"Another task is called {name!r} already.")
    named = msgspec.structs.replace(task, name=name)
    edit = Edit(action="rename", keys=[list(task.keys)], name=name, at=at)
    return replace_tasks(discovered, [task], [named]), edit, named


def hide(discovered: Discovered, task_id: str, *, at: float = 0.0) -> tuple[Discovered, Edit, Task]:
    """A task that is reported but never trained or routed.

    Raises:
        BadInput: there is no such task.
    """
    return _with_hidden(discovered, task_id, True, Edit(action="hide", keys=[], at=at))


def show(discovered: Discovered, task_id: str, *, at: float = 0.0) -> tuple[Discovered, Edit, Task]:
    """A hidden task that is trained and routed again.

    Raises:
        BadInput: there is no such task.
    """
    return _with_hidden(discovered, task_id, False, Edit(action="show", keys=[], at=at))


def _with_hidden(
    discovered: Discovered, task_id: str, hidden: bool, edit: Edit
) -> tuple[Discovered, Edit, Task]:
    task = find(discovered, task_id)
    marked = msgspec.structs.replace(task, hidden=hidden)
    edit = msgspec.structs.replace(edit, keys=[list(task.keys)])
    return replace_tasks(discovered, [task], [marked]), edit, marked


def set_field(
    discovered: Discovered,
    examples: Sequence[Example],
    task_id: str,
    name: str,
    type: FieldType,
    *,
    at: float = 0.0,
) -> tuple[Discovered, Edit, Task]:
    """A task one field of whose JSON replies has the type that a person gives it.

    Args:
        discovered: the result of discovery.
        examples: curated examples, for the labels.
        task_id: of the task.
        name: of the field.
        type: "value": compared exactly; "label": one of the values in the log; "free": not compared at all.
        at: Unix seconds, for the record.

    Raises:
        BadInput: there is no such task or field.
        UsageError: the field's values cannot have this type.
    """
    task = find(discovered, task_id)
    if name not in {f.name for f in task.contract.fields}:
        known = ", ".join(f.name for f in task.contract.fields) or "none: its replies are no JSON objects"
        raise BadInput(f"{task.id} has no field {name!r}; there are: {known}.")
    typed = _with_type(discovered, examples, task, name, type)
    if typed is None:
        needs = "texts in all replies" if type == "free" else "texts, numbers, true, false or null"
        raise UsageError(f"{name} of {task.id} cannot be {type}: its values would have to be {needs}.")
    edit = Edit(action="field", keys=[list(task.keys)], name=name, type=type, at=at)
    return replace_tasks(discovered, [task], [typed]), edit, typed


def set_measure(
    discovered: Discovered,
    examples: Sequence[Example],
    task_id: str,
    name: str,
    measure: TextMeasure | None,
    *,
    at: float = 0.0,
) -> tuple[Discovered, Edit, Task]:
    """A task whose replies, or one field of its JSON replies, agree from a level of closeness on.

    Args:
        discovered: the result of discovery.
        examples: curated examples.
        task_id: of the task.
        name: of the field; "": the replies are texts.
        measure: how they are compared; None: character by character again.
        at: Unix seconds, for the record.

    Raises:
        BadInput: there is no such task or field.
        UsageError: the level is not in (0, 1], or the replies or the field's values are no texts.
    """
    task = find(discovered, task_id)
    if measure is not None and not 0 < measure.level <= 1:
        raise UsageError(f"The level of a measure is above 0 and at most 1, not {measure.level:g}.")
    if name and name not in {f.name for f in task.contract.fields}:
        known = ", ".join(f.name for f in task.contract.fields) or "none: its replies are no JSON objects"
        raise BadInput(f"{task.id} has no field {name!r}; there are: {known}.")
    measured = _with_measure(discovered, examples, task, name, measure)
    if measured is None:
        what = f"the values of {name} are" if name else f"its replies are {_kind(task)},"
        if measure is not None and measure.name == "judge":
            raise UsageError(
                f"A judge compares whole texts; {what} not all texts. Tool calls and JSON replies are read by code, which needs the same "
                "answer; their prose fields are compared with `--field NAME` and another measure."
            )
        raise UsageError(f"A measure compares texts; {what} not all texts.")
    edit = Edit(action="measure", keys=[list(task.keys)], name=name, measure=measure, at=at)
    return replace_tasks(discovered, [task], [measured]), edit, measured


def _with_measure(
    discovered: Discovered, examples: Sequence[Example], task: Task, name: str, measure: TextMeasure | None
) -> Task | None:
    """The task with a measure; None where there is no text to compare."""
    if name:
        field = next(f for f in task.contract.fields if f.name == name)
        if measure is None and field.measure is None:
            return task  # it keeps its type
        return _with_type(discovered, examples, task, name, "value", measure)
    if task.contract.kind != "text":
        return None
    return msgspec.structs.replace(task, contract=msgspec.structs.replace(task.contract, measure=measure))


def _with_type(
    discovered: Discovered,
    examples: Sequence[Example],
    task: Task,
    name: str,
    type: FieldType,
    measure: TextMeasure | None = None,
) -> Task | None:
    """The task with another type of one field; None where the field's values cannot have it."""
    mine = [e for e in examples if discovered.assignment.get(e.call_id) == task.id]
    fields = list(task.contract.fields)
    at = next(i for i, field in enumerate(fields) if field.name == name)
    field = typed_field(fields[at], type, mine, discovered.min_origins, measure)
    if field is None:
        return None
    fields[at] = field
    return msgspec.structs.replace(task, contract=msgspec.structs.replace(task.contract, fields=fields))


# ---------------------------------------------------------------- earlier edits, on newly discovered tasks


def apply(
    discovered: Discovered, examples: Sequence[Example], edits: Iterable[Edit]
) -> tuple[Discovered, list[str]]:
    """Applies stored edits to newly discovered tasks.

    Returns:
        (the edited tasks, a sentence for each edit that could not be applied).
    """
    notes: list[str] = []
    for edit in edits:
        discovered, note = _AGAIN[edit.action](discovered, examples, edit)
        if note:
            notes.append(f"{_about(edit)}: {note}")
    return discovered, notes


def _about(edit: Edit) -> str:
    named = f" to {edit.name!r}" if edit.name and edit.action == "rename" else f" {edit.name}".rstrip()
    return f"An earlier {edit.action}{named} was not made again"


_GONE = "no task has one of its templates any more"


def _merge_again(discovered: Discovered, examples: Sequence[Example], edit: Edit) -> tuple[Discovered, str]:
    found = tasks_having(discovered, {key for keys in edit.keys for key in keys})
    if not found:
        return discovered, _GONE
    if len(found) == 1:
        return discovered, ""  # one task already
    if len({t.contract.kind for t in found}) > 1:
        return discovered, "the replies of these tasks are of several kinds now"
    if not all(same_frame(found[0].contract, t.contract) for t in found):
        return discovered, "another Markdown fence, or another text, stands around their replies now"
    first = set(edit.keys[0])
    found.sort(key=lambda t: -len(first & set(t.keys)))  # the first one's name is kept
    task_id = new_id("merge", [key for keys in edit.keys for key in keys])
    return join_tasks(discovered, examples, found, task_id)[0], ""


def _split_again(discovered: Discovered, examples: Sequence[Example], edit: Edit) -> tuple[Discovered, str]:
    part_of = {key: i for i, keys in enumerate(edit.keys) for key in keys}
    found = tasks_having(discovered, part_of)
    for task in found:
        parts: dict[int, list[str]] = defaultdict(list)
        for key in task.keys:
            if key in part_of:
                parts[part_of[key]].append(key)
        if len(parts) > 1:
            # templates that came since stay with the largest part
            parts[min(parts)] += [key for key in task.keys if key not in part_of]
            discovered, _ = part_task(discovered, examples, task, [parts[i] for i in sorted(parts)])
    return discovered, "" if found else _GONE


def _rename_again(discovered: Discovered, _: Sequence[Example], edit: Edit) -> tuple[Discovered, str]:
    keys = set(edit.keys[0])
    found = tasks_having(discovered, keys)
    if not found:
        return discovered, _GONE
    best = max(found, key=lambda t: (len(keys & set(t.keys)), t.n_calls))
    if any(t.name == edit.name and t.id != best.id for t in discovered.tasks):
        return discovered, "another task has that name now"
    return replace_tasks(discovered, [best], [msgspec.structs.replace(best, name=edit.name)]), ""


def _hide_again(discovered: Discovered, _: Sequence[Example], edit: Edit) -> tuple[Discovered, str]:
    # a task with even one hidden template is hidden: closed is the safe side
    found = tasks_having(discovered, set(edit.keys[0]))
    marked = [msgspec.structs.replace(t, hidden=edit.action == "hide") for t in found]
    return replace_tasks(discovered, found, marked), "" if found else _GONE


def _field_again(discovered: Discovered, examples: Sequence[Example], edit: Edit) -> tuple[Discovered, str]:
    having = tasks_having(discovered, edit.keys[0])
    found = [t for t in having if edit.name in {f.name for f in t.contract.fields}]
    assert edit.type is not None
    for task in found:
        typed = _with_type(discovered, examples, task, edit.name, edit.type)
        if typed is None:
            return discovered, f"its values cannot be {edit.type} any more"
        discovered = replace_tasks(discovered, [task], [typed])
    return discovered, "" if found else "no task with one of its templates has this field"


def _measure_again(discovered: Discovered, examples: Sequence[Example], edit: Edit) -> tuple[Discovered, str]:
    found = tasks_having(discovered, edit.keys[0])
    for task in found:
        if edit.name and edit.name not in {f.name for f in task.contract.fields}:
            return discovered, "a task with one of its templates has no such field now"
        measured = _with_measure(discovered, examples, task, edit.name, edit.measure)
        if measured is None:
            return discovered, "there is no text to compare any more"
        discovered = replace_tasks(discovered, [task], [measured])
    return discovered, "" if found else _GONE


_AGAIN: dict[str, Callable[[Discovered, Sequence[Example], Edit], tuple[Discovered, str]]] = {
    "merge": _merge_again,
    "split": _split_again,
    "rename": _rename_again,
    "hide": _hide_again,
    "show": _hide_again,
    "field": _field_again,
    "measure": _measure_again,
}


def _kind(task: Task) -> str:
    return {"label": "labels", "json": "JSON objects", "tool_call": "tool calls", "text": "text"}[
        task.contract.kind
    ]
