"""Edits of tasks by a person: merged, split, renamed or hidden in the newest run, and again in every later one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from deputize.core.artifacts import Curated, Discovered
from deputize.core.errors import BadInput
from deputize.core.records import Record
from deputize.home import Home
from deputize.pipeline.edits_file import read_edits, write_edits
from deputize.pipeline.run import Run, latest_run, read_state
from deputize.pipeline.stage_table import steps_from

if TYPE_CHECKING:
    from deputize.stages.cluster.task_edits import Edit

    Change: TypeAlias = Callable[[Discovered, Curated], tuple[Discovered, Edit]]
    """(tasks, examples) -> (tasks after, the edit to remember)."""


class Edited(Record):
    """Result of an edit of tasks."""

    run_id: str
    forgotten: tuple[str, ...]
    """Steps whose results are gone."""
    discovered: Discovered


def edit_tasks(home: Home, change: Change, tenant: str | None = None) -> Edited:
    """Changes the tasks of the newest run (of a tenant) and remembers the change, so that later runs make it again.

    What later stages of the run made of the tasks is forgotten; a new name alone costs nothing.

    Args:
        home: the home.
        change: (tasks, examples) -> (tasks after, the edit to remember).
        tenant: whose run; None: the newest of all.

    Raises:
        BadInput: no run has found tasks.
        UsageError: another process converts this home.
    """
    newest = latest_run(home, tenant)
    if newest is None or not (home.runs_path / newest / "cluster.sealed").exists():
        raise BadInput(
            f"The newest run in {home.path} has found no tasks. `deputize cluster` does it, `deputize convert` does all."
        )
    with home.exclusive("run"):
        home.require_keys()
        home.note_keys_used()
        return _edit_tasks(Run(home, read_state(home, newest)), change)


def _edit_tasks(run: Run, change: Change) -> Edited:
    from deputize.stages.cluster.task_edits import Edits

    curated = run.load_curated()
    # an edit looks at them several times
    held = msgspec.structs.replace(curated, examples=list(curated.examples))
    after, edit = change(run.load("cluster", Discovered), held)
    edits = read_edits(run.home)
    later = steps_from("select") if edit.action != "rename" else ()
    forgotten = tuple(step for step in later if run.has(step))
    # forgotten first: a stop in between costs work, but never leaves results that belong to other tasks
    if later:
        run.forget(later)
    run.artifact("cluster", Discovered).write(after)
    write_edits(run.home, Edits(edits=[*edits.edits, edit]))
    return Edited(run_id=run.state.run_id, forgotten=forgotten, discovered=after)
