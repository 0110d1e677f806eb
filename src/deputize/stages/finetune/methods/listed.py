"""The listed method: for tasks whose requests list their own tools or reply schema, which no other method can read."""

from __future__ import annotations

from deputize.core.artifacts import MethodPlan, TaskProbe
from deputize.core.records import Task
from deputize.core.subjects import Subjects
from deputize.specialists.base import TextPredictor
from deputize.specialists.fit_listed import fit_listed
from deputize.specialists.listed_answers import ListedPredictor
from deputize.stages.finetune.methods.base import CrossFittedAnswers, Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.cross_fitting import cross_fit


class ListedMethod:
    """Chooses a tool of the list and copies its arguments; trains in a minute, answers in milliseconds."""

    name, cost, tunes_base_model = "listed", 15, False
    reads_lists = True

    def base_model(self, context: TrainingContext) -> str:
        """None: ""."""
        return ""

    def require(self) -> None:
        """Nothing: it needs only the base installation."""

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """For tasks whose requests list what may be answered, and for no other."""
        return MethodPlan(train=task.contract.from_request)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """None where no tool of a list was ever called.

        There is no leak test: what is kept of the texts are values, and rates of tools, that several groups and data
        subjects had; the weights are of features that say nothing of words.
        """
        began = context.clock()
        predictor = fit_chooser(job, context)
        if predictor is None:
            return None
        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model="scores of listed tools, values copied",
            save=predictor.save,
            train_s=context.clock() - began,
            is_fast=True,
        )

    def cross_fit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> CrossFittedAnswers:
        """Of five fits with the same settings."""
        return cross_fit(job, self.refit, context, trained)

    def refit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> TextPredictor | None:
        """The same fit on a part of train."""
        return fit_chooser(job, context)


def fit_chooser(job: TrainingJob, context: TrainingContext) -> ListedPredictor | None:
    """The predictor that chooses tools and copies values, fitted to train; None where no tool of a list was ever
    called."""
    examples = job.examples.train
    return fit_listed(
        job.task.contract,
        [x.text for x in examples],
        [x.answer for x in examples],
        groups=[x.group for x in examples],
        subjects=Subjects([x.subject for x in examples], context.config.min_origins),
        weights=[x.weight for x in examples],
        seed=context.config.seed,
    )


LISTED = ListedMethod()
