"""Jobs of methods that train small tasks together, each with the others that share its adapter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256

import msgspec

from deputize.stages.finetune.methods.base import TrainingJob, TrainsTogether


def with_company(jobs: Sequence[TrainingJob]) -> list[TrainingJob]:
    """The jobs, those of methods that train small tasks together each with the other small ones of its method.

    The prompts of such a task begin with a line that names it, in training and from then on.
    """
    small = [
        _opened(job)
        for job in jobs
        if isinstance(job.method, TrainsTogether) and len(job.examples.train) <= job.method.largest_task
    ]
    out = []
    for job in jobs:
        own = next((one for one in small if one.folder == job.folder), None)
        others = [one for one in small if one.method.name == job.method.name and one.folder != job.folder]
        if own is None or not others:
            out.append(job)
            continue
        marks = sorted(one.fingerprint for one in [own, *others])
        together = sha256("".join(marks).encode()).hexdigest()
        mark = sha256(f"{own.fingerprint}{together}".encode()).hexdigest()
        out.append(replace(own, company=tuple(others), together=together, fingerprint=mark))
    return out


def _opened(job: TrainingJob) -> TrainingJob:
    """The job with its task's line before each prompt."""
    # not by the name, which people may change
    opening = f"task {job.task.id}"
    task = msgspec.structs.replace(job.task, recipe=msgspec.structs.replace(job.task.recipe, opening=opening))
    old = job.examples
    examples = replace(
        old,
        task=task,
        train=[replace(x, text=f"{opening}\n{x.text}") for x in old.train],
        validation=[replace(x, text=f"{opening}\n{x.text}") for x in old.validation],
        other_task_prompts=[f"{opening}\n{text}" for text in old.other_task_prompts],
    )
    return replace(job, examples=examples)
