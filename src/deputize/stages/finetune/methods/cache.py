"""The cache method: requests that come again get the answer that was logged, where several data subjects had both."""

from __future__ import annotations

from deputize.core.artifacts import MethodPlan, TaskProbe
from deputize.core.records import Task
from deputize.core.subjects import Subjects
from deputize.specialists.answer_cache import CachePredictor, known_answers
from deputize.specialists.base import TextPredictor
from deputize.stages.finetune.methods.base import CrossFittedAnswers, Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.cross_fitting import cross_fit


class CacheMethod:
    """Learns nothing; answers in microseconds what it knows, and nothing else."""

    name, cost, tunes_base_model = "cache", 5, False

    def base_model(self, context: TrainingContext) -> str:
        """None: ""."""
        return ""

    def require(self) -> None:
        """Nothing: it needs only the base installation."""

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """Worth trying wherever answers are the same for the same request: where it knows too little, it serves
        nothing."""
        return MethodPlan(train=True)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """None where no prompt came from several data subjects with the same answer.

        There is no leak test: a secret that one call holds is in no pair that is kept, and what is kept is said word
        for word, as labels are.
        """
        began = context.clock()
        predictor = _fit(job, context)
        if predictor is None:
            return None
        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model=f"{len(predictor.known):,} logged answers",
            save=predictor.save,
            train_s=context.clock() - began,
            is_fast=True,
        )

    def cross_fit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> CrossFittedAnswers:
        """Of five fits with the same settings."""
        return cross_fit(job, self.refit, context, trained)

    def refit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> TextPredictor | None:
        """The answers that a part of train knows."""
        return _fit(job, context)


def _fit(job: TrainingJob, context: TrainingContext) -> CachePredictor | None:
    calls = [
        x for x in (*job.examples.train, *job.examples.repeats) if job.schema.segments(x.answer) is not None
    ]
    known = known_answers(
        [x.text for x in calls],
        [x.answer for x in calls],
        Subjects([x.subject for x in calls], context.config.min_origins),
    )
    return CachePredictor(known) if known else None


CACHE = CacheMethod()
