"""Several tasks as one, and one task as several: their contracts, recipes, counts and assignments.

Pure: an artifact in, an artifact out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

import msgspec

from deputize.core.artifacts import Discovered
from deputize.core.records import Contract, Example, Field, KeySpace, PromptRecipe, Task
from deputize.core.signature import signature
from deputize.core.subjects import Subjects
from deputize.core.template_key import TemplateKeys, TemplateMatcher, opening
from deputize.stages.cluster.output_contract import infer_contract, typed_field
from deputize.stages.cluster.task_names import NAMED_AFTER, NameClues, names_of
from deputize.stages.cluster.task_prompt import recipe_of, template_text


def keys_of(examples: Iterable[Example], keyspaces: Iterable[KeySpace]) -> dict[str, str]:
    """Call id -> template key, as the route table computes it; calls without a key are absent."""
    keys = TemplateKeys(keyspaces)
    return {example.call_id: key for example in examples if (key := keys.key(example.request))}


def joined_contract(a: Contract, b: Contract) -> Contract:
    """The contract of the replies of two tasks of one kind together.

    A JSON field that only one of them has becomes optional; of two types of a field the stricter comparison holds, so
    that nothing is left uncompared that was compared before. Fence and text next to tool calls are those of `a`.
    """
    fields: list[Field] = []
    theirs = {f.name: f for f in b.fields}
    for mine in a.fields:
        other = theirs.pop(mine.name, None)
        fields.append(_optional(mine) if other is None else _field(mine, other))
    fields += [_optional(f) for f in theirs.values()]
    return Contract(
        kind=a.kind,
        labels=_union(a.labels, b.labels),
        fields=fields,
        tools=_union(a.tools, b.tools),
        may_defer=a.may_defer or b.may_defer,
        fence=a.fence,
        content=a.content,
        measure=a.measure if a.measure == b.measure else None,
    )


def same_frame(a: Contract, b: Contract) -> bool:
    """True where the same fence, and the same text next to tool calls, stands around the replies of two tasks."""
    return (a.fence, a.content) == (b.fence, b.content)


def _optional(field: Field) -> Field:
    # whether a field is there at all is compared in any case
    return msgspec.structs.replace(field, optional=True, type="value" if field.type == "free" else field.type)


def _field(a: Field, b: Field) -> Field:
    optional = a.optional or b.optional
    if a.type != b.type or (a.type == "free" and a.optional != b.optional):
        return Field(name=a.name, type="value", optional=optional)
    # 1, 1.0 and true are one dictionary key, but three labels
    labels = list({(type(x).__name__, repr(x)): x for x in [*a.labels, *b.labels]}.values())
    measure = a.measure if a.measure == b.measure else None
    by_hand = a.by_hand or b.by_hand
    return Field(name=a.name, type=a.type, labels=labels, optional=optional, by_hand=by_hand, measure=measure)


def joined_recipe(a: PromptRecipe, b: PromptRecipe) -> PromptRecipe:
    """The recipe of the short prompt for requests of two tasks: only what is constant in both is left out."""
    both = set(b.constant_lines)
    return PromptRecipe(
        mode="dialogue" if "dialogue" in (a.mode, b.mode) else "slots",
        constant_lines=[line for line in a.constant_lines if line in both],
        heads=_union(a.heads, b.heads),
        max_chars=max(a.max_chars, b.max_chars),
    )


def join_tasks(
    discovered: Discovered, examples: Sequence[Example], tasks: Sequence[Task], task_id: str
) -> tuple[Discovered, Task]:
    """Several tasks as one with the name of the first, and that task."""
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
    made = _with_counts(made, [e for e in examples if assignment.get(e.call_id) == task_id])
    return replace_tasks(discovered, tasks, [made], assignment), made


def part_task(
    discovered: Discovered, examples: Sequence[Example], task: Task, parts: Sequence[Sequence[str]]
) -> tuple[Discovered, list[Task]]:
    """One task as several, each with the template keys of one of the parts, and those tasks."""
    part_of = {key: i for i, keys in enumerate(parts) for key in keys}
    mine = [e for e in examples if discovered.assignment.get(e.call_id) == task.id]
    keys = keys_of(mine, discovered.keyspaces)
    filed: list[list[Example]] = [[] for _ in parts]
    for example in mine:
        filed[part_of.get(keys.get(example.call_id, ""), 0)].append(example)
    spaces = {space.signature: space for space in discovered.keyspaces}
    made: list[Task] = []
    named: list[NameClues] = []
    for part, of_part in zip(parts, filed, strict=True):
        one = msgspec.structs.replace(task, id=new_id("split", part), keys=sorted(part))
        clues = NameClues(one.contract, ())
        if of_part:
            one, clues = _from_own_calls(one, of_part, keys, spaces, discovered.min_origins, examples)
        made.append(_with_counts(one, of_part))
        named.append(clues)
    names, taken = names_of(named), {t.name for t in discovered.tasks if t.id != task.id}
    if not taken.isdisjoint(names):
        names = [f"{task.name} ({i})" for i in range(1, len(made) + 1)]
    made = [msgspec.structs.replace(t, name=name) for t, name in zip(made, names, strict=True)]
    assignment = dict(discovered.assignment)
    for one, of_part in zip(made, filed, strict=True):
        assignment.update((e.call_id, one.id) for e in of_part)
    return replace_tasks(discovered, [task], made, assignment), made


def _from_own_calls(
    task: Task,
    examples: Sequence[Example],
    keys: Mapping[str, str],
    spaces: Mapping[str, KeySpace],
    least: int,
    log: Sequence[Example],
) -> tuple[Task, NameClues]:
    """The task with contract, recipe and template from its own calls, those for training, and what it can be named
    after."""
    seen = [e for e in examples if e.split in ("train", "validation")] or list(examples)
    variants = [keys.get(e.call_id, "") for e in seen]
    common = Counter(variants).most_common(1)[0][0]
    typical = next(e for e, key in zip(seen, variants, strict=True) if key == common)
    mark = signature(typical.request)
    space = spaces.get(mark, KeySpace(signature=mark))
    system, user = TemplateMatcher(space).recognise_opening(typical.request)
    inferred = infer_contract(seen, least, log=log)
    contract = inferred if inferred.kind == task.contract.kind else task.contract
    by_hand = {f.name: f for f in task.contract.fields if f.by_hand}
    fields = [
        (
            typed_field(f, by_hand[f.name].type, seen, least, by_hand[f.name].measure)
            if f.name in by_hand
            else None
        )
        or f
        for f in contract.fields
    ]
    measure = task.contract.measure if contract.kind == "text" else None
    contract = msgspec.structs.replace(contract, fields=fields, measure=measure)
    some = examples[:NAMED_AFTER]
    clues = NameClues(
        contract=contract,
        fixed=[*system.known, *user.known],
        texts=[opening(e.request)[1] for e in some],
        subjects=Subjects([e.subject for e in some], least),
        n_calls=len(examples),
    )
    return msgspec.structs.replace(
        task,
        contract=contract,
        recipe=recipe_of(seen, variants, task.recipe.heads, least),
        signature=mark,
        template=template_text(typical, frozenset(space.lines), frozenset(space.heads)),
    ), clues


def _with_counts(task: Task, examples: Sequence[Example]) -> Task:
    return msgspec.structs.replace(
        task,
        n_calls=len(examples),
        n_episodes=len({e.episode or e.call_id for e in examples}),
        n_origins=len({e.origin or e.episode or e.call_id for e in examples}),
    )


def replace_tasks(
    discovered: Discovered, old: Sequence[Task], new: Sequence[Task], assignment: dict[str, str] | None = None
) -> Discovered:
    """The artifact with new tasks in the place of the first of the old ones."""
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


def tasks_having(discovered: Discovered, keys: Iterable[str]) -> list[Task]:
    """The tasks that have at least one of the template keys."""
    wanted = set(keys)
    return [t for t in discovered.tasks if wanted.intersection(t.keys)]


def _union(a: Sequence[str], b: Sequence[str]) -> list[str]:
    return list(dict.fromkeys((*a, *b)))


def new_id(action: str, keys: Sequence[str]) -> str:
    """A new id, so that nothing trained for the old tasks is used for the new one. The same edit gives the same id."""
    return "t" + blake2b("|".join((action, *sorted(keys))).encode(), digest_size=4).hexdigest()
