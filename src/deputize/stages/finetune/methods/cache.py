"""The cache method: requests that come again get the answer that was logged, where several data subjects had both."""

from __future__ import annotations

from deputize.core.artifacts import MethodPlan, TaskProbe
from deputize.core.records import Task
from deputize.core.subjects import Subjects
from deputize.specialists.answer_cache import CachePredictor, known_answers
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob


class CacheMethod:
    """Learns nothing; answers in microseconds what it knows, and nothing else."""

    name, cost, tunes_base_model = "cache", 5, False

    def base_model(self, context: TrainingContext) -> str:
        """None: ""."""
        return ""

    def require(self) -> None:
        """Nothing: it needs only the base installation."""

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """Worth trying wherever answers are the same for the same request: where it knows too little, it serves nothing."""
        return MethodPlan(train=True)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """None where no prompt came from several data subjects with the same answer.

        There is no leak test: a secret that one call holds is in no pair that is kept, and what is kept is said word for word, as labels are.
        """
        began = context.clock()
        calls = [
            x
            for x in (*job.examples.train, *job.examples.repeats)
            if job.schema.segments(x.answer) is not None
        ]
        known = known_answers(
            [x.text for x in calls],
            [x.answer for x in calls],
            Subjects([x.subject for x in calls], context.config.min_origins),
        )
        if not known:
            return None
        predictor = CachePredictor(known)
        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model=f"{len(known):,} logged answers",
            save=predictor.save,
            train_s=context.clock() - began,
            is_fast=True,
        )


CACHE = CacheMethod()
