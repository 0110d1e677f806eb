"""Small tasks of a method that trains together know each other; others are left as they are."""

from __future__ import annotations

import time
from pathlib import Path

from tests import tiny_tasks

from deputize.core.config import Convert
from deputize.core.progress import silent
from deputize.stages.finetune.company import with_company
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.run import jobs_of


def jobs(
    tiny: tuple[Path, str], folder: Path, kinds: tuple[str, ...], methods: list[str]
) -> list[TrainingJob]:
    curated, discovered = tiny_tasks.make(kinds, 40)
    context = TrainingContext(Convert(), folder, *tiny, silent, time.monotonic)
    sets = [training_set_of(curated, discovered.assignment, task) for task in discovered.tasks]
    return [job for one in sets for job in jobs_of(one, methods, context, folder)]


def test_small_tasks_of_one_adapter_name_each_other_and_begin_with_their_task(
    tiny: tuple[Path, str], tmp_path: Path
) -> None:
    alone, *_ = made = jobs(tiny, tmp_path, ("label", "line"), ["multitask", "lora"])
    found = with_company(made)
    assert [job.folder for job in found] == [job.folder for job in made]
    label, line = (job for job in found if job.method.name == "multitask")
    assert [one.folder for one in label.company] == [line.folder] and label.together == line.together != ""
    assert label.fingerprint not in (line.fingerprint, alone.fingerprint)
    assert all(x.text.startswith("task label\n") for x in label.examples.train)
    assert [job for job in found if job.method.name == "lora"] == [
        job for job in made if job.method.name == "lora"
    ]


def test_a_task_without_company_is_left_as_it_is(tiny: tuple[Path, str], tmp_path: Path) -> None:
    made = jobs(tiny, tmp_path, ("label",), ["multitask"])
    assert with_company(made) == made
