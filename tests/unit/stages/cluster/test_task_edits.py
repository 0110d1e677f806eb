"""Edits of tasks: what they make, what they refuse, and that they can be applied again to the tasks of a later run."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from deputize.core.artifacts import Discovered
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Contract, Example, Field, FieldType, KeySpace, PromptRecipe, Request, Task
from deputize.core.signature import signature
from deputize.core.template_key import TemplateMatcher
from deputize.core.text_measures import TextMeasure
from deputize.stages.cluster import task_edits

COLOUR, LATE, POLITE = "Name the colour of the thing.", "Say whether the parcel is late.", "Be polite."
ANSWERS = {COLOUR: ["red", "green", "blue"], LATE: ["yes", "no"]}


def example(i: int, *lines: str) -> Example:
    messages = [{"role": "system", "content": "\n".join(lines)}, {"role": "user", "content": f"Thing: n {i}"}]
    answers = ANSWERS[lines[0]]
    return Example(
        call_id=f"c{i}",
        request=Request(messages=messages),
        response={"role": "assistant", "content": answers[i % len(answers)]},
        audience="code",
        site="s",
        episode=f"e{i // 2}",
        group=f"e{i // 2}",
        split="train",
    )


EXAMPLES = [
    *(example(i, COLOUR) for i in range(40)),
    *(example(i, COLOUR, POLITE) for i in range(40, 60)),
    *(example(i, LATE) for i in range(60, 90)),
    *(example(i, LATE, POLITE) for i in range(90, 93)),
]
SPACE = KeySpace(signature=signature(EXAMPLES[0].request), lines=[COLOUR, LATE, POLITE], heads=["Thing:"])


def key(at: int) -> str:
    return TemplateMatcher(SPACE).key(EXAMPLES[at].request)


def task(id: str, at: tuple[int, ...], lines: list[str], labels: list[str], **fields: Any) -> Task:
    return Task(
        id=id,
        name=f"name of {id}",
        contract=Contract(kind="label", labels=labels),
        keys=sorted(map(key, at)),
        recipe=PromptRecipe(constant_lines=lines, heads=["Thing:"]),
        **fields,
    )


def found() -> Discovered:
    colour = task("t1", (0, 40), [COLOUR, POLITE], ["red", "green", "blue"], n_calls=60)
    late = task("t2", (60, 90), [LATE, POLITE], ["yes", "no", "red"], n_calls=33)
    other = Task(
        id="t3",
        name="prose",
        contract=Contract(kind="text"),
        recipe=PromptRecipe(),
        keys=["elsewhere"],
        n_calls=9,
    )
    return Discovered(
        tasks=[colour, late, other],
        keyspaces=[SPACE],
        assignment={e.call_id: "t1" if i < 60 else "t2" for i, e in enumerate(EXAMPLES)},
    )


def shape(discovered: Discovered) -> list[tuple[object, ...]]:
    return [(t.id, t.name, tuple(t.keys), t.hidden, t.n_calls) for t in discovered.tasks]


def test_merge() -> None:
    after, made, both = task_edits.merge(found(), EXAMPLES, "t1", "t2", at=7.0)
    assert [t.name for t in after.tasks] == ["name of t1", "prose"]
    assert both.contract.labels == ["red", "green", "blue", "yes", "no"]
    assert both.recipe.constant_lines == [POLITE]
    assert set(both.keys) == {key(0), key(40), key(60), key(90)}
    assert (both.n_calls, both.n_episodes) == (93, 47)
    assert both.id not in ("t1", "t2")
    assert set(after.assignment.values()) == {both.id}
    assert made.at == 7.0 and made.action == "merge"
    assert task_edits.merge(found(), EXAMPLES, "t1", "t2")[2].id == both.id


@pytest.mark.parametrize(
    ("pair", "error"), [(("t1", "t3"), UsageError), (("t1", "t1"), UsageError), (("t1", "t9"), BadInput)]
)
def test_what_is_not_merged(pair: tuple[str, str], error: type[UsageError | BadInput]) -> None:
    with pytest.raises(error):
        task_edits.merge(found(), EXAMPLES, *pair)


def test_split_by_template() -> None:
    after, made, parts = task_edits.split(found(), EXAMPLES, "t1")
    assert [t.keys for t in parts] == [[key(0)], [key(40)]] == made.keys
    assert [t.n_calls for t in parts] == [40, 20]
    assert len({t.id for t in parts} | {"t1"}) == 3 and len({t.name for t in parts}) == 2
    assert [t.id for t in after.tasks] == [*(t.id for t in parts), "t2", "t3"]
    assert [after.assignment[f"c{i}"] for i in (0, 39, 40, 59, 60)] == [
        parts[0].id,
        parts[0].id,
        parts[1].id,
        parts[1].id,
        "t2",
    ]
    assert all(COLOUR in t.recipe.constant_lines for t in parts)
    assert POLITE in parts[1].template and POLITE not in parts[0].template


def test_nothing_to_split_by() -> None:
    with pytest.raises(UsageError, match=r"nothing to split t2 by.*fewer than 5"):
        task_edits.split(found(), EXAMPLES, "t2")
    with pytest.raises(UsageError, match="nothing to split t3"):
        task_edits.split(found(), EXAMPLES, "t3")


def test_rename_and_hide() -> None:
    after, made, named = task_edits.rename(found(), "t2", "  late \n parcels ")
    assert named.name == "late parcels" == made.name
    assert [t.name for t in after.tasks] == ["name of t1", "late parcels", "prose"]
    for bad in (" ", "prose"):
        with pytest.raises(UsageError):
            task_edits.rename(after, "t2", bad)
    hidden = task_edits.hide(after, "t2")[0]
    assert [t.hidden for t in hidden.tasks] == [False, True, False]
    assert task_edits.show(hidden, "t2")[0] == after


def edited() -> tuple[Discovered, list[task_edits.Edit]]:
    """Merged, split again, one part renamed, another task hidden."""
    done: list[task_edits.Edit] = []
    now, made, both = task_edits.merge(found(), EXAMPLES, "t1", "t2")
    done.append(made)
    now, made, parts = task_edits.split(now, EXAMPLES, both.id)
    done.append(made)
    now, made, _ = task_edits.rename(now, parts[1].id, "second")
    done.append(made)
    now, made, _ = task_edits.hide(now, "t3")
    return now, [*done, made]


def test_edits_are_made_again_on_tasks_found_again() -> None:
    after, done = edited()
    kept = msgspec.json.decode(msgspec.json.encode(task_edits.Edits(edits=done)), type=task_edits.Edits).edits
    again, notes = task_edits.apply(found(), EXAMPLES, kept)
    assert shape(again) == shape(after) and again.assignment == after.assignment and notes == []
    twice, notes = task_edits.apply(again, EXAMPLES, kept[1:])
    assert shape(twice) == shape(again) and notes == []
    # other ids, another order, one task found in two pieces: the templates are what counts
    whole = found()
    pieces = [
        msgspec.structs.replace(whole.tasks[0], id="a", keys=[key(0)]),
        msgspec.structs.replace(whole.tasks[0], id="b", keys=[key(40)], name="piece"),
    ]
    other = Discovered(
        tasks=[whole.tasks[2], *pieces, whole.tasks[1]],
        keyspaces=[SPACE],
        assignment={e.call_id: "a" if i < 40 else "b" if i < 60 else "t2" for i, e in enumerate(EXAMPLES)},
    )
    again, notes = task_edits.apply(other, EXAMPLES, kept)
    assert {(t.id, t.name, tuple(t.keys)) for t in again.tasks} == {
        (t.id, t.name, tuple(t.keys)) for t in after.tasks
    }
    assert again.assignment == after.assignment and notes == []


def test_edits_whose_templates_are_gone_are_named() -> None:
    _, done = edited()
    empty = Discovered(tasks=[], keyspaces=[], assignment={})
    again, notes = task_edits.apply(empty, [], done)
    assert again == empty and len(notes) == 4 and "'second'" in notes[2]
    prose = [
        msgspec.structs.replace(t, contract=Contract(kind="text")) if t.id == "t2" else t
        for t in found().tasks
    ]
    again, notes = task_edits.apply(msgspec.structs.replace(found(), tasks=prose), EXAMPLES, done[:1])
    assert len(again.tasks) == 3 and "several kinds" in notes[0]


def test_a_task_with_one_hidden_template_is_hidden() -> None:
    made = task_edits.Edit(action="hide", keys=[[key(0)]])
    assert [t.hidden for t in task_edits.apply(found(), EXAMPLES, [made])[0].tasks] == [True, False, False]


WHY = "The thing is {} and that is all there is to say about it."


def with_json() -> tuple[Discovered, list[Example]]:
    """The first task as one with JSON replies."""
    rows = []
    for i, e in enumerate(EXAMPLES):
        value = {"why": WHY.format(i), "colour": ("red", "blue")[i % 2], "parts": [i]}
        response = {"role": "assistant", "content": msgspec.json.encode(value).decode()}
        rows.append(msgspec.structs.replace(e, response=response))
    now = found()
    names: dict[str, FieldType] = {"why": "value", "colour": "label", "parts": "value"}
    fields = [
        Field(name=name, type=type, labels=["red", "blue"] if type == "label" else [])
        for name, type in names.items()
    ]
    first = msgspec.structs.replace(now.tasks[0], contract=Contract(kind="json", fields=fields))
    return msgspec.structs.replace(now, tasks=[first, *now.tasks[1:]]), rows


def test_the_type_of_a_field_is_set_by_hand_and_kept() -> None:
    now, rows = with_json()
    assert now.tasks[0].contract.uncompared == []
    after, made, task = task_edits.set_field(now, rows, "t1", "why", "free", at=3.0)
    assert task.contract.uncompared == ["why"] and after.tasks[0] == task
    after, second, task = task_edits.set_field(after, rows, "t1", "colour", "value")
    kept = msgspec.json.decode(
        msgspec.json.encode(task_edits.Edits(edits=[made, second])), type=task_edits.Edits
    ).edits
    again, notes = task_edits.apply(now, rows, kept)
    assert again == after and notes == []
    assert [(f.name, f.type, f.by_hand) for f in again.tasks[0].contract.fields] == [
        ("why", "free", True),
        ("colour", "value", True),
        ("parts", "value", False),
    ]
    back = task_edits.set_field(after, rows, "t1", "colour", "label")[2]
    assert back.contract.fields[1].labels == ["blue", "red"]
    parts = task_edits.split(after, rows, "t1")[2]
    assert {p.contract.fields[0].type for p in parts} == {"free"}, (
        "a part keeps what a person said of the whole"
    )


def test_a_type_that_the_values_cannot_have() -> None:
    now, rows = with_json()
    with pytest.raises(UsageError, match="parts of t1 cannot be free"):
        task_edits.set_field(now, rows, "t1", "parts", "free")
    with pytest.raises(UsageError, match="parts of t1 cannot be label"):
        task_edits.set_field(now, rows, "t1", "parts", "label")
    with pytest.raises(BadInput, match=r"no field 'what'; there are: why, colour, parts"):
        task_edits.set_field(now, rows, "t1", "what", "free")
    with pytest.raises(BadInput, match="no JSON objects"):
        task_edits.set_field(now, rows, "t2", "what", "free")
    made = task_edits.set_field(now, rows, "t1", "why", "free")[1]
    again, notes = task_edits.apply(found(), EXAMPLES, [made])
    assert again == found() and "field why" in notes[0]


def test_a_measure_is_set_and_kept() -> None:
    now, rows = with_json()
    text = msgspec.structs.replace(now.tasks[1], contract=Contract(kind="text"))
    now = msgspec.structs.replace(now, tasks=[now.tasks[0], text, now.tasks[2]])
    words, items = TextMeasure(name="words", level=0.8), TextMeasure(name="items", level=1.0)
    after, first, task = task_edits.set_measure(now, rows, "t1", "why", words)
    field = task.contract.fields[0]
    assert (field.name, field.type, field.measure) == ("why", "value", words)
    after, second, task = task_edits.set_measure(after, rows, "t2", "", items)
    assert task.contract.measure == items
    kept = msgspec.json.decode(
        msgspec.json.encode(task_edits.Edits(edits=[first, second])), type=task_edits.Edits
    ).edits
    again, notes = task_edits.apply(now, rows, kept)
    assert again == after and notes == []
    parts = task_edits.split(after, rows, "t1")[2]
    assert {p.contract.fields[0].measure for p in parts} == {words}, (
        "a part keeps what a person said of the whole"
    )
    back = task_edits.set_measure(after, rows, "t2", "", None)[2]
    assert back.contract.measure is None


def test_what_has_no_measure() -> None:
    now, rows = with_json()
    words = TextMeasure(name="words", level=0.8)
    with pytest.raises(UsageError, match="parts are not all texts"):
        task_edits.set_measure(now, rows, "t1", "parts", words)
    with pytest.raises(UsageError, match="its replies are labels, not all texts"):
        task_edits.set_measure(now, rows, "t2", "", words)
    judge = TextMeasure(name="judge", level=1.0)
    with pytest.raises(UsageError, match="A judge compares whole texts; its replies are labels"):
        task_edits.set_measure(now, rows, "t2", "", judge)
    with pytest.raises(BadInput, match="no field 'what'"):
        task_edits.set_measure(now, rows, "t1", "what", words)
    for level in (0.0, 1.5):
        with pytest.raises(UsageError, match="above 0 and at most 1"):
            task_edits.set_measure(now, rows, "t1", "why", TextMeasure(name="words", level=level))
    made = task_edits.set_measure(now, rows, "t1", "why", words)[1]
    again, notes = task_edits.apply(found(), EXAMPLES, [made])
    assert again == found() and "An earlier measure why was not made again" in notes[0]


def test_tasks_whose_replies_stand_in_other_fences_are_not_merged() -> None:
    now = found()
    fenced = msgspec.structs.replace(
        now.tasks[1], contract=msgspec.structs.replace(now.tasks[1].contract, fence="```")
    )
    now = msgspec.structs.replace(now, tasks=[now.tasks[0], fenced, now.tasks[2]])
    with pytest.raises(UsageError, match="fence"):
        task_edits.merge(now, EXAMPLES, "t1", "t2")


def test_tasks_whose_texts_agree_by_other_measures_are_not_merged() -> None:
    def with_levels(*levels: float | None) -> Discovered:
        now = found()
        tasks = [
            msgspec.structs.replace(
                task,
                contract=Contract(
                    kind="text", measure=None if level is None else TextMeasure(name="words", level=level)
                ),
            )
            for task, level in zip(now.tasks, levels, strict=False)
        ]
        return msgspec.structs.replace(now, tasks=[*tasks, *now.tasks[len(tasks) :]])

    for levels in ((0.8, None), (None, 0.8), (0.8, 0.7)):
        with pytest.raises(UsageError, match="another measure"):
            task_edits.merge(with_levels(*levels), EXAMPLES, "t1", "t2")
    both = task_edits.merge(with_levels(0.8, 0.8), EXAMPLES, "t1", "t2")[2]
    assert both.contract.measure == TextMeasure(name="words", level=0.8)
