"""Ids of tasks from one run to the next."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from deputize.core.artifacts import Discovered
from deputize.core.records import Contract, PromptRecipe, Task
from deputize.stages.cluster.stable_ids import keep_ids


def found(assignment: dict[str, str]) -> Discovered:
    tasks = [
        Task(
            id=t,
            name=f"name of {t}",
            contract=Contract(kind="text"),
            recipe=PromptRecipe(),
            keys=[f"key of {t}"],
        )
        for t in sorted(set(assignment.values()))
    ]
    return Discovered(tasks=tasks, keyspaces=[], assignment=assignment)


def of(**sizes: str) -> Discovered:
    """One letter a call: of(a="xxy") puts calls a0, a1 in task x and a2 in y."""
    return found({f"{name}{i}": t for name, letters in sizes.items() for i, t in enumerate(letters)})


def test_the_same_tasks_found_under_other_ids_keep_the_old_ones() -> None:
    after = keep_ids(of(a="pppp", b="qq", new="q"), of(a="xxxx", b="yy", gone="y"))
    assert after.assignment == of(a="xxxx", b="yy", new="y").assignment
    assert {t.id: t.keys for t in after.tasks} == {"x": ["key of p"], "y": ["key of q"]}


def test_a_split_task_lives_on_in_its_larger_part_and_a_merged_one_in_the_larger_of_both() -> None:
    split = keep_ids(of(a="pppq"), of(a="xxxx"))
    assert split.assignment == of(a="xxxq").assignment
    merged = keep_ids(of(a="ppp", b="pp"), of(a="xxx", b="yy"))
    assert set(merged.assignment.values()) == {"x"}


def test_an_id_goes_to_who_holds_its_calls_though_another_task_is_found_under_it() -> None:
    after = keep_ids(of(a="yyyy", new="xxx"), of(a="xxxx"))
    assert after.assignment["a0"] == "x" and after.assignment["new0"] not in ("x", "y")
    assert len({t.id for t in after.tasks}) == 2


def test_without_common_calls_nothing_changes() -> None:
    now = of(a="pq")
    assert keep_ids(now, of(b="xy")) == now
    assert keep_ids(now, found({})) == now
    assert keep_ids(found({}), now) == found({})


letters = st.text("xyzw", max_size=10)


@given(letters, letters)
def test_calls_stay_together_and_ids_stay_distinct(tasks: str, earlier: str) -> None:
    now = {f"c{i}": t for i, t in enumerate(tasks)}
    before = {f"c{i + 2}": t for i, t in enumerate(earlier)}
    after = keep_ids(found(now), found(before))
    ids = [t.id for t in after.tasks]
    assert len(set(ids)) == len(ids) == len(set(now.values()))
    pairs = Counter((now[c], after.assignment[c]) for c in now)
    assert len(pairs) == len(set(now.values())), "each task was renamed as a whole"


@given(letters)
def test_finding_the_same_again_changes_nothing(tasks: str) -> None:
    now = found({f"c{i}": t for i, t in enumerate(tasks)})
    assert keep_ids(now, now) == now
