"""The listed method: for tasks whose requests list their own tools, and for no other."""

from __future__ import annotations

from pathlib import Path

from msgspec import structs
from tests import tiny_tasks
from tests.simulated_lists import CONTRACT, RECIPE, TOOLS, call_of, example_of

from deputize.core.artifacts import Curated, Discovered, TaskProbe
from deputize.core.records import Task
from deputize.stages.finetune.methods.listed import LISTED
from deputize.testing import check_method

TASK = Task(id="t", name="call a tool", contract=CONTRACT, recipe=RECIPE, keys=["k"])


def test_it_keeps_the_protocol_of_methods(tmp_path: Path) -> None:
    made = [example_of(call_of(i, TOOLS[:12]), "train" if i % 4 else "validation") for i in range(60)]
    curated = Curated(examples=made, sites=[], n_calls=60, n_episodes=60, n_code_calls=60)
    discovered = Discovered(tasks=[TASK], keyspaces=[], assignment={e.call_id: "t" for e in made})
    check_method(LISTED, curated, discovered, tmp_path, models_dir=tmp_path, base_model="")


def test_it_is_planned_for_lists_alone() -> None:
    probe = TaskProbe(epsilon=0.02, linear_fits=True)
    assert LISTED.plan(TASK, probe).train and not LISTED.plan(tiny_tasks.task("action"), probe).train
    fixed = structs.replace(TASK, contract=structs.replace(CONTRACT, from_request=False))
    assert not LISTED.plan(fixed, probe).train
    LISTED.require()
