"""Changes that a person makes to the tasks S3 found: merge, split, rename, hide.

Pure: an artifact in, an artifact out. An edit is remembered by template keys, not by task ids, so that it can be made
again after the tasks were found anew from more calls.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Literal

import msgspec

from deputize.core.artifacts import Discovered
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Contract, Example, Field, KeySpace, PromptRecipe, Record, Task
from deputize.core.signature import signature
from deputize.core.subjects import Subjects
from deputize.core.template_key import TemplateKeys, TemplateMatcher, opening
from deputize.stages.cluster.naming import NAMED_AFTER, name_of, recipe_of, template_text
from deputize.stages.cluster.output_contract import infer_contract

MIN_CALLS = 5
"""A template with fewer calls is no part of its own when a task is split."""


class Edit(Record, frozen=True):
    """One change, as it is remembered: names and template keys, nothing of a call's text."""

    action: Literal["merge", "split", "rename", "hide", "show"]
    keys: list[list[str]]
    """merge: the keys of each task that is joined; split: those of each part; else those of the one task."""
    name: str = ""
    at: float = 0.0
    """Unix seconds."""


class Edits(Record, frozen=True):
    """All changes of a home, oldest first."""

    edits: list[Edit] = msgspec.field(default_factory=list)
    version: int = 1


def find(discovered: Discovered, task_id: str) -> Task:
    """The task with an id. Raises BadInput where there is none."""
    for task in discovered.tasks:
        if task.id == task_id:
            return task
    known = ", ".join(t.id for t in discovered.tasks) or "none"
    raise BadInput(f"There is no task {task_id!r}; there are: {known}.")


# ---------------------------------------------------------------- what a person asks for


def merge(
    discovered: Discovered, examples: Sequence[Example], first: str, second: str, *, at: float = 0.0
) -> tuple[Discovered, Edit, Task]:
    """Two tasks as one; it has a new id, since what was trained or certified for either says nothing of both.

    Args:
        discovered: S3's result.
        examples: S2's examples, for the counts.
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
    edit = Edit(action="merge", keys=[list(a.keys), list(b.keys)], at=at)
    after, made = _joined(discovered, examples, [a, b], _id("merge", [*a.keys, *b.keys]))
    return after, edit, made


def split(
    discovered: Discovered, examples: Sequence[Example], task_id: str, *, at: float = 0.0
) -> tuple[Discovered, Edit, list[Task]]:
    """A task as one task per template, largest first; templates with hardly any call stay with the largest.

    Raises:
        BadInput: there is no such task.
        UsageError: nothing that the router sees tells its calls apart.
    """
    task = find(discovered, task_id)
    mine = [e for e in examples if discovered.assignment.get(e.call_id) == task.id]
    counts = Counter(keys_of(mine, discovered.keyspaces).values())
    large = [key for key in sorted(task.keys, key=lambda k: (-counts[k], k)) if counts[key] >= MIN_CALLS]
    if len(large) < 2:
        n_other = len(task.keys) - len(large)
        raise UsageError(
            f"There is nothing to split {task.id} by: its {task.n_calls} calls have one template"
            + (f" but for {n_other} that fewer than {MIN_CALLS} calls have each" if n_other and large else "")
            + ". A split that the router cannot repeat from the request alone could not be served."
        )
    parts = [[key] for key in large]
    parts[0] += [key for key in task.keys if key not in large]
    after, made = _parted(discovered, examples, task, parts)
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
    return _replaced(discovered, [task], [named]), edit, named


def hide(
    discovered: Discovered, task_id: str, hidden: bool = True, *, at: float = 0.0
) -> tuple[Discovered, Edit, Task]:
    """A task that is reported but never trained or routed, or one that is again.

    Raises:
        BadInput: there is no such task.
    """
    task = find(discovered, task_id)
    marked = msgspec.structs.replace(task, hidden=hidden)
    edit = Edit(action="hide" if hidden else "show", keys=[list(task.keys)], at=at)
    return _replaced(discovered, [task], [marked]), edit, marked


# ---------------------------------------------------------------- the same again, on tasks found anew


def apply(
    discovered: Discovered, examples: Sequence[Example], edits: Iterable[Edit]
) -> tuple[Discovered, list[str]]:
    """Makes remembered edits again.

    Returns:
        (the edited tasks, a sentence for each edit that could not be made any more).
    """
    notes: list[str] = []
    for edit in edits:
        discovered, note = _AGAIN[edit.action](discovered, examples, edit)
        if note:
            notes.append(f"{_about(edit)}: {note}")
    return discovered, notes


def _about(edit: Edit) -> str:
    named = f" to {edit.name!r}" if edit.name else ""
    return f"An earlier {edit.action}{named} was not made again"


_GONE = "no task has one of its templates any more"


def _merge_again(discovered: Discovered, examples: Sequence[Example], edit: Edit) -> tuple[Discovered, str]:
    found = _having(discovered, {key for keys in edit.keys for key in keys})
    if not found:
        return discovered, _GONE
    if len(found) == 1:
        return discovered, ""  # one task already
    if len({t.contract.kind for t in found}) > 1:
        return discovered, "the replies of these tasks are of several kinds now"
    first = set(edit.keys[0])
    found.sort(key=lambda t: -len(first & set(t.keys)))  # the first one's name is kept
    task_id = _id("merge", [key for keys in edit.keys for key in keys])
    return _joined(discovered, examples, found, task_id)[0], ""


def _split_again(discovered: Discovered, examples: Sequence[Example], edit: Edit) -> tuple[Discovered, str]:
    part_of = {key: i for i, keys in enumerate(edit.keys) for key in keys}
    found = _having(discovered, part_of)
    for task in found:
        parts: dict[int, list[str]] = defaultdict(list)
        for key in task.keys:
            if key in part_of:
                parts[part_of[key]].append(key)
        if len(parts) > 1:
            # templates that came since stay with the largest part
            parts[min(parts)] += [key for key in task.keys if key not in part_of]
            discovered, _ = _parted(discovered, examples, task, [parts[i] for i in sorted(parts)])
    return discovered, "" if found else _GONE


def _rename_again(discovered: Discovered, _: Sequence[Example], edit: Edit) -> tuple[Discovered, str]:
    keys = set(edit.keys[0])
    found = _having(discovered, keys)
    if not found:
        return discovered, _GONE
    best = max(found, key=lambda t: (len(keys & set(t.keys)), t.n_calls))
    if any(t.name == edit.name and t.id != best.id for t in discovered.tasks):
        return discovered, "another task has that name now"
    return _replaced(discovered, [best], [msgspec.structs.replace(best, name=edit.name)]), ""


def _hide_again(discovered: Discovered, _: Sequence[Example], edit: Edit) -> tuple[Discovered, str]:
    # a task with even one hidden template is hidden: closed is the safe side
    found = _having(discovered, set(edit.keys[0]))
    marked = [msgspec.structs.replace(t, hidden=edit.action == "hide") for t in found]
    return _replaced(discovered, found, marked), "" if found else _GONE


_AGAIN: dict[str, Callable[[Discovered, Sequence[Example], Edit], tuple[Discovered, str]]] = {
    "merge": _merge_again,
    "split": _split_again,
    "rename": _rename_again,
    "hide": _hide_again,
    "show": _hide_again,
}


# ---------------------------------------------------------------- the parts


def keys_of(examples: Iterable[Example], keyspaces: Iterable[KeySpace]) -> dict[str, str]:
    """call id -> template key, as the live table computes it; calls that have none are absent."""
    keys = TemplateKeys(keyspaces)
    return {example.call_id: key for example in examples if (key := keys.key(example.request))}


def joined_contract(a: Contract, b: Contract) -> Contract:
    """What the replies of two tasks of one kind look like together.

    A JSON field that only one of them has becomes optional; of two types of a field the stricter comparison holds, so
    that nothing is left uncompared that was compared before.
    """
    fields: list[Field] = []
    theirs = {f.name: f for f in b.fields}
    for mine in a.fields:
        other = theirs.pop(mine.name, None)
        fields.append(msgspec.structs.replace(mine, optional=True) if other is None else _field(mine, other))
    fields += [msgspec.structs.replace(f, optional=True) for f in theirs.values()]
    return Contract(
        kind=a.kind,
        labels=_union(a.labels, b.labels),
        fields=fields,
        tools=_union(a.tools, b.tools),
        may_defer=a.may_defer or b.may_defer,
    )


def _field(a: Field, b: Field) -> Field:
    optional = a.optional or b.optional
    if a.type != b.type:
        return Field(name=a.name, type="value", optional=optional)
    # 1, 1.0 and true are one dictionary key, but three labels
    labels = list({(type(x).__name__, repr(x)): x for x in [*a.labels, *b.labels]}.values())
    return Field(name=a.name, type=a.type, labels=labels, optional=optional)


def joined_recipe(a: PromptRecipe, b: PromptRecipe) -> PromptRecipe:
    """How requests of two tasks are cut down together: only what is constant in both is left out."""
    both = set(b.constant_lines)
    return PromptRecipe(
        mode="dialogue" if "dialogue" in (a.mode, b.mode) else "slots",
        constant_lines=[line for line in a.constant_lines if line in both],
        heads=_union(a.heads, b.heads),
        max_chars=max(a.max_chars, b.max_chars),
    )


def _joined(
    discovered: Discovered, examples: Sequence[Example], tasks: Sequence[Task], task_id: str
) -> tuple[Discovered, Task]:
    made = tasks[0]
    for task in tasks[1:]:
        made = msgspec.structs.replace(
            made,
            contract=joined_contract(made.contract, task.contract),
            recipe=joined_recipe(made.recipe, task.recipe),
            keys=sorted({*made.keys, *task.keys}),
            hidden=made.hidden or task.hidden,
        )
    made = msgspec.structs.replace(made, id=task_id)
    ids = {t.id for t in tasks}
    assignment = {c: task_id if t in ids else t for c, t in discovered.assignment.items()}
    made = _counted(made, [e for e in examples if assignment.get(e.call_id) == task_id])
    return _replaced(discovered, tasks, [made], assignment), made


def _parted(
    discovered: Discovered, examples: Sequence[Example], task: Task, parts: Sequence[Sequence[str]]
) -> tuple[Discovered, list[Task]]:
    part_of = {key: i for i, keys in enumerate(parts) for key in keys}
    mine = [e for e in examples if discovered.assignment.get(e.call_id) == task.id]
    keys = keys_of(mine, discovered.keyspaces)
    filed: list[list[Example]] = [[] for _ in parts]
    for example in mine:
        filed[part_of.get(keys.get(example.call_id, ""), 0)].append(example)
    spaces = {space.signature: space for space in discovered.keyspaces}
    texts = [[opening(e.request)[1] for e in of_part[:NAMED_AFTER]] for of_part in filed]
    made: list[Task] = []
    for i, (part, of_part) in enumerate(zip(parts, filed, strict=True)):
        one = msgspec.structs.replace(task, id=_id("split", part), keys=sorted(part))
        if of_part:
            others = texts[:i] + texts[i + 1 :]
            one = _learnt(one, of_part, keys, spaces, texts[i], others, discovered.min_origins)
        made.append(_counted(one, of_part))
    if len({t.name for t in made}) < len(made):
        made = [msgspec.structs.replace(t, name=f"{task.name} ({i})") for i, t in enumerate(made, 1)]
    assignment = dict(discovered.assignment)
    for one, of_part in zip(made, filed, strict=True):
        assignment.update((e.call_id, one.id) for e in of_part)
    return _replaced(discovered, [task], made, assignment), made


def _learnt(
    task: Task,
    examples: Sequence[Example],
    keys: Mapping[str, str],
    spaces: Mapping[str, KeySpace],
    texts: Sequence[str],
    others: Sequence[Sequence[str]],
    least: int,
) -> Task:
    """Contract, recipe, name and template of a part from its own calls, on the side that is learnt from."""
    seen = [e for e in examples if e.split in ("train", "validation")] or list(examples)
    variants = [keys.get(e.call_id, "") for e in seen]
    common = Counter(variants).most_common(1)[0][0]
    typical = next(e for e, key in zip(seen, variants, strict=True) if key == common)
    mark = signature(typical.request)
    space = spaces.get(mark, KeySpace(signature=mark))
    system, user = TemplateMatcher(space).recognise_opening(typical.request)
    inferred = infer_contract(seen, least)
    contract = inferred if inferred.kind == task.contract.kind else task.contract
    return msgspec.structs.replace(
        task,
        contract=contract,
        recipe=recipe_of(seen, variants, task.recipe.heads, least),
        signature=mark,
        name=name_of(
            contract,
            [*system.known, *user.known],
            texts,
            others,
            Subjects([e.subject for e in examples[:NAMED_AFTER]], least),
        ),
        template=template_text(typical, frozenset(space.lines), frozenset(space.heads)),
    )


def _counted(task: Task, examples: Sequence[Example]) -> Task:
    return msgspec.structs.replace(
        task,
        n_calls=len(examples),
        n_episodes=len({e.episode or e.call_id for e in examples}),
        n_origins=len({e.origin or e.episode or e.call_id for e in examples}),
    )


def _replaced(
    discovered: Discovered, old: Sequence[Task], new: Sequence[Task], assignment: dict[str, str] | None = None
) -> Discovered:
    """The artifact with some tasks in the place of others: where the first of those stood."""
    gone = {t.id for t in old}
    places = [i for i, t in enumerate(discovered.tasks) if t.id in gone]
    if len(old) == len(new) > 1:
        in_place = dict(zip((t.id for t in old), new, strict=True))
        tasks = [in_place.get(t.id, t) for t in discovered.tasks]
    else:
        kept = [t for t in discovered.tasks if t.id not in gone]
        at = places[0] if places else len(kept)
        tasks = [*kept[:at], *new, *kept[at:]]
    return msgspec.structs.replace(discovered, tasks=tasks, assignment=assignment or discovered.assignment)


def _having(discovered: Discovered, keys: Iterable[str]) -> list[Task]:
    wanted = set(keys)
    return [t for t in discovered.tasks if wanted.intersection(t.keys)]


def _union(a: Sequence[str], b: Sequence[str]) -> list[str]:
    return list(dict.fromkeys((*a, *b)))


def _id(action: str, keys: Sequence[str]) -> str:
    """A new id, so that nothing trained for the tasks before is taken for the new one's; the same edit, the same id."""
    return "t" + blake2b("|".join((action, *sorted(keys))).encode(), digest_size=4).hexdigest()


def _kind(task: Task) -> str:
    return {"label": "labels", "json": "JSON objects", "tool_call": "tool calls", "text": "text"}[
        task.contract.kind
    ]
