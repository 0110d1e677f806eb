"""An edit of tasks: later results are forgotten before the tasks change; a name costs nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deputize.core.artifacts import Curated, Discovered, Selected
from deputize.core.config import Convert
from deputize.core.errors import BadInput
from deputize.home import Home
from deputize.pipeline.edits_file import read_edits
from deputize.pipeline.run import Run, RunState
from deputize.pipeline.run_edits import edit_tasks
from deputize.stages.cluster.task_edits import Edit


def a_run(home: Home, run_id: str = "0001-abc", **fields: Any) -> Run:
    state = RunState(
        run_id=run_id, settings=Convert().model_dump(mode="json"), n_calls=2, calls_digest="", **fields
    )
    run = Run(home, state)
    run.save()
    return run


def test_without_tasks_there_is_nothing_to_edit(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has found no tasks"):
        edit_tasks(Home(tmp_path), lambda tasks, _: (tasks, Edit(action="hide", at=0.0, keys=[])))


@pytest.mark.parametrize(("action", "forgotten"), [("rename", ()), ("hide", ("select",))])
def test_only_a_name_costs_nothing(action: Any, forgotten: tuple[str, ...], tmp_path: Path) -> None:
    home = Home(tmp_path)
    run = a_run(home)
    run.artifact("curate", Curated).write(
        Curated(examples=[], sites=[], n_calls=0, n_episodes=0, n_code_calls=0)
    )
    run.artifact("cluster", Discovered).write(Discovered(tasks=[], keyspaces=[], assignment={}))
    run.artifact("select", Selected).write(Selected(candidates={}, plan={}, base_model="m"))
    after = Discovered(tasks=[], keyspaces=[], assignment={"c": "t"})
    done = edit_tasks(home, lambda *_: (after, Edit(action=action, at=0.0, keys=[])))
    assert done.forgotten == forgotten and run.has("select") is (not forgotten)
    assert run.load("cluster", Discovered) == after
    assert [e.action for e in read_edits(home).edits] == [action]
    assert [e.action for e in home.audit.entries()][:2] == ["keys.use", "read.curated"]
