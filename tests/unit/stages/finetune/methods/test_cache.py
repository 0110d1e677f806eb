"""The cache method: only what several data subjects had, with the calls that curation dropped as duplicates counted."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from msgspec import structs
from tests import tiny_tasks

from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.core.progress import silent
from deputize.core.records import Example
from deputize.specialists.predictor import load
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import TrainingContext
from deputize.stages.finetune.methods.cache import CACHE
from deputize.stages.finetune.run import jobs_of, train
from deputize.testing import check_method


def asked_again(n: int = 80) -> tuple[Curated, Discovered]:
    """The label task with four prompts in turn; of train the first of each stands for the others, as curation has it."""
    curated, discovered = tiny_tasks.make(("label",), n)
    kept: set[str] = set()
    made: list[Example] = []
    for i, one in enumerate(curated.examples):
        like = curated.examples[i % 4]
        made.append(structs.replace(one, request=like.request, response=like.response))
        if one.split == "train" and like.call_id in kept:
            made[-1] = structs.replace(made[-1], trainable=False, drop_reason="exact duplicate")
        kept |= {like.call_id} if one.split == "train" else set()
    return structs.replace(curated, examples=made), discovered


def test_it_keeps_the_protocol_of_methods(tmp_path: Path) -> None:
    check_method(CACHE, *asked_again(), tmp_path, models_dir=tmp_path, base_model="")
    CACHE.require()


def test_it_answers_what_came_again_and_not_what_one_person_asked(tmp_path: Path) -> None:
    curated, discovered = asked_again()
    (task,) = discovered.tasks
    context = TrainingContext(Convert(), tmp_path, tmp_path, "", silent, time.monotonic)
    examples = training_set_of(curated, discovered.assignment, task)
    assert len(examples.train) == 4 and len(examples.repeats) == 44
    (job,) = jobs_of(examples, ["cache"], context, tmp_path)
    card = train(job, context, 60.0)
    assert card is not None and card.is_fast and card.model == "4 logged answers"
    asked = [e for e in curated.examples if e.split == "test"]
    found = load(tmp_path / card.path, tmp_path).predict([e.request for e in asked])
    assert [p.answer for p in found] == [e.response["content"] for e in asked]
    # the same calls, all of one person
    alone = replace(
        examples,
        train=[replace(x, subject="one") for x in examples.train],
        repeats=[replace(x, subject="one") for x in examples.repeats],
    )
    (job,) = jobs_of(alone, ["cache"], context, tmp_path / "alone")
    assert train(job, context, 60.0) is None


def test_what_is_asked_again_makes_another_cache(tmp_path: Path) -> None:
    """An interrupted run does not take a cache of fewer calls for its own."""
    curated, discovered = asked_again()
    context = TrainingContext(Convert(), tmp_path, tmp_path, "", silent, time.monotonic)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    fewer = replace(examples, repeats=examples.repeats[:-1])
    (whole,), (part,) = (jobs_of(x, ["cache"], context, tmp_path) for x in (examples, fewer))
    assert whole.fingerprint != part.fingerprint
