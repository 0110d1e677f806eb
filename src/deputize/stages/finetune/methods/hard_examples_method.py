"""A training method once more, on examples of which the hard ones count for more.

A specialist of its own beside that of the plain method, which it has to beat on validation: so it is kept only where it
pays.
"""

from __future__ import annotations

from dataclasses import replace

from deputize.core.artifacts import MethodPlan, TaskProbe
from deputize.core.records import Task
from deputize.specialists.linear_model import LinearSettings
from deputize.stages.finetune.hard_examples import FACTOR, hard_examples, weighed_up
from deputize.stages.finetune.methods.base import (
    CrossFits,
    CrossFittedAnswers,
    Method,
    Trained,
    TrainingContext,
    TrainingJob,
)

NOT_WEIGHED = ("cache", "listed", "listed_lora")
"""Methods to which weights mean nothing, or whose tasks no linear model reads."""


def on_hard_examples(method: Method) -> HardExamplesMethod:
    """A method on hard examples; cross-fitted on a small log where the method itself is."""
    return CrossFittedHardExamples(method) if isinstance(method, CrossFits) else HardExamplesMethod(method)


class HardExamplesMethod:
    """A method that trains on hard examples twice as much as on others."""

    def __init__(self, method: Method) -> None:
        """
        Args:
            method: what trains.
        """
        self.method = method
        self.name, self.cost = f"{method.name}:hard", method.cost + 1
        self.tunes_base_model = method.tunes_base_model

    def base_model(self, context: TrainingContext) -> str:
        """That of the method."""
        return self.method.base_model(context)

    def require(self) -> None:
        """Requires the same packages as the method."""
        self.method.require()

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """As the method."""
        return self.method.plan(task, probe)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """None where a linear model cannot say what is hard, finds nothing or nearly everything so, or the method does
        not fit."""
        mine, said = self._weighed(job, context)
        trained = self.method.train(mine, context, budget_s) if mine is not None else None
        if trained is not None:
            trained.model = f"{trained.model}; {said}"
            trained.hyperparameters = {**trained.hyperparameters, "hard_examples": said}
        return trained

    def _weighed(self, job: TrainingJob, context: TrainingContext) -> tuple[TrainingJob | None, str]:
        """The job with hard examples weighed up, and that in words; None where there are none."""
        examples = job.examples
        hard = hard_examples(
            examples.train,
            job.schema,
            examples.task.contract,
            min_origins=context.config.min_origins,
            variant=LinearSettings(*job.linear_settings) if job.linear_settings is not None else None,
        )
        if hard is None:
            return None, ""
        mine = replace(job, examples=replace(examples, train=weighed_up(examples.train, hard)))
        return mine, f"{len(hard):,} of {len(examples.train):,} examples, hard ones, count {FACTOR:g} times"


class CrossFittedHardExamples(HardExamplesMethod):
    """The same of a method that is cheap to fit again."""

    def cross_fit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> CrossFittedAnswers:
        """Of fits on the weights of all of train."""
        mine, _ = self._weighed(job, context)
        assert mine is not None and isinstance(self.method, CrossFits)
        return self.method.cross_fit(mine, context, trained)
