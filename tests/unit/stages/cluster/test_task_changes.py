"""Tasks that came, went, were split or merged between two runs."""

from __future__ import annotations

import pytest

from deputize.core.artifacts import Discovered, TaskChange
from deputize.core.records import Contract, PromptRecipe, Task
from deputize.stages.cluster.stable_ids import keep_ids
from deputize.stages.cluster.task_changes import changes, sentences


def found(**calls: str) -> Discovered:
    """found(a="xxy"): calls a0 and a1 in task x, a2 in y."""
    assignment = {f"{name}{i}": t for name, letters in calls.items() for i, t in enumerate(letters)}
    tasks = [
        Task(id=t, name=f"name of {t}", contract=Contract(kind="text"), recipe=PromptRecipe(), keys=[t])
        for t in sorted(set(assignment.values()))
    ]
    return Discovered(tasks=tasks, keyspaces=[], assignment=assignment)


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        ("xxxxyyyy", "ppppqqqq", []),
        ("xxxxxxxx", "pppppqqq", [TaskChange(kind="split", before=["x"], now=["q", "x"])]),
        ("xxxxxyyy", "pppppppp", [TaskChange(kind="merged", before=["x", "y"], now=["x"])]),
        ("x" * 20, "p" * 19 + "q", [TaskChange(kind="born", now=["q"])]),
        ("xxxxxxxx", "", [TaskChange(kind="gone", before=["x"])]),
        ("", "pppp", [TaskChange(kind="born", now=["p"])]),
    ],
)
def test_what_became_of_the_tasks(before: str, now: str, expected: list[TaskChange]) -> None:
    old = found(a=before)
    assert changes(keep_ids(found(a=now), old), old) == expected


def test_a_task_of_new_calls_is_born_beside_one_that_stays() -> None:
    old = found(a="xxxx")
    kept = keep_ids(found(a="pppp", b="qqqq"), old)
    assert changes(kept, old) == [TaskChange(kind="born", now=["q"])]
    assert changes(old, old) == []


def test_changes_are_told_with_names() -> None:
    old, now = found(a="xxxyy", c="z"), found(a="xxxxx", b="q")
    said = sentences(changes(now, old), now, old)
    assert said == [
        "x (name of x) and y (name of y) of the run before are now x (name of x)",
        "new: q (name of q)",
        "no longer found: z (name of z)",
    ]
