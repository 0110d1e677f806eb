"""What a method is given and gives."""

from __future__ import annotations

from pathlib import Path

from tests import tiny_tasks
from tests.a_users_method import MajorityPredictor

from deputize.specialists.answer_schema import AnswerSchema
from deputize.stages.finetune.examples import TrainingSet
from deputize.stages.finetune.methods.base import Trained, TrainingJob
from deputize.stages.finetune.methods.lora import LORA


def test_a_job_is_named_by_task_and_method_and_what_is_trained_needs_no_clearing_up() -> None:
    task = tiny_tasks.task("label")
    job = TrainingJob(TrainingSet(task, [], [], []), AnswerSchema(kind="label"), LORA, Path("x"), 1, 1, "")
    assert job.name == "the label task (lora)" and job.task is task
    predictor = MajorityPredictor("yes")
    trained = Trained(predictor, "majority", "m", predictor.save, 0.0)
    trained.release()
    assert trained.leak is None and trained.validation_s == float("inf") and not trained.is_fast
