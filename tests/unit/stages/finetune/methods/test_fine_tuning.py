"""What methods that tune the base model have in common: plan, hyperparameters, and what they clear away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests import tiny_tasks

from deputize.core.artifacts import TaskProbe
from deputize.core.config import Convert
from deputize.core.errors import BadInput
from deputize.core.progress import silent
from deputize.specialists.catalogue import model_path
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.model_cache import MODELS
from deputize.stages.finetune.examples import TrainingExample, training_set_of
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.methods.lora import LORA
from deputize.stages.finetune.run import jobs_of

Tiny = tuple[Path, str]


def job(tiny: Tiny, home: Path) -> tuple[TrainingJob, TrainingContext]:
    curated, discovered = tiny_tasks.make(("label",), 30)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    context = TrainingContext(Convert(), home, tiny[0], tiny[1], silent, time.monotonic)
    (made,) = jobs_of(examples, ["lora"], context, home)
    return made, context


def test_it_is_not_worth_training_where_a_linear_model_is_enough() -> None:
    task = tiny_tasks.task("label")
    assert LORA.plan(task, TaskProbe(epsilon=0.02, linear_fits=True, linear_accuracy=0.97)).train
    assert LORA.plan(task, TaskProbe(epsilon=0.02, linear_fits=False)).train
    enough = LORA.plan(task, TaskProbe(epsilon=0.02, linear_fits=True, linear_accuracy=0.985))
    assert not enough.train and "98.5%" in enough.reason


def test_a_cpu_trains_the_upper_half(tiny: Tiny, tmp_path: Path) -> None:
    made, _ = job(tiny, tmp_path)
    assert LORA.settings(made, "cpu").layers == 0.5 and LORA.settings(made, "cuda").layers == 1.0
    assert LORA.settings(made, "cpu").epochs == made.epochs


def adapters(base: LanguageModel) -> set[str]:
    """Names of the adapters that a model carries: other tests of this process may have left theirs."""
    return set(base.peft.peft_config) if base.peft is not None else set()


def test_the_adapter_is_gone_after_release_and_after_a_failure(tiny: Tiny, tmp_path: Path) -> None:
    made, context = job(tiny, tmp_path)
    base = MODELS.get(model_path(tiny[1], tiny[0]))
    before = adapters(base)
    trained = LORA.train(made, context, 20.0)
    assert len(adapters(base) - before) == 1
    trained.release()
    assert adapters(base) == before
    odd = [TrainingExample("c", "text", {"no": "label"}, 1.0)]
    made.examples.train[:] = odd
    with pytest.raises(BadInput, match="no answer of train"):
        LORA.train(made, context, 20.0)
    assert adapters(base) == before
