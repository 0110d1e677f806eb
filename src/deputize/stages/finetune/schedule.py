"""Shares the time among the jobs that tune the base model, with time kept for evaluating what they train."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from dataclasses import replace

import numpy as np

from deputize.core.deadline import Deadline
from deputize.stages.finetune.methods.base import TrainingJob
from deputize.stages.finetune.outputs import answer_mode_of

EVALUATION_MARGIN = 1.6
"""How much more time is kept for evaluation than it is expected to take."""
LEAST_EPOCHS = 0.25
"""Part of an epoch below which a training is not begun."""


class Schedule:
    """The time of jobs that tune the base model; learns the speed of training as it goes."""

    def __init__(self, deadline: Deadline, tokens_per_s: float) -> None:
        """
        Args:
            deadline: for training and evaluation together.
            tokens_per_s: a first guess of the speed of training.
        """
        self.deadline, self.tokens_per_s = deadline, tokens_per_s
        self._kept_s = 0.0

    def shared_among(
        self, jobs: Sequence[TrainingJob], served: Set[str]
    ) -> Iterator[tuple[TrainingJob, float]]:
        """Each job with its budget in seconds, which may be 0 or less.

        Smaller jobs come first, so that what one does not need falls to larger ones.

        Args:
            jobs: that share the time.
            served: ids of tasks that a specialist can serve already; theirs come last. There the language model only
                competes, elsewhere it is all there is.
        """
        by_work = sorted(jobs, key=lambda job: (work_of(job), job.folder.name))
        alone = [job for job in by_work if job.task.id not in served]
        competing = [job for job in by_work if job.task.id in served]
        for group in (alone, competing):
            until = self.deadline.clock() + (1 - _evaluation_share(group)) * self.after_evaluation().left_s()
            for at, job in enumerate(group):
                yield job, (until - self.deadline.clock()) * _share(group[at:])

    def after_evaluation(self) -> Deadline:
        """The deadline without the time that is kept for evaluating what was trained."""
        return replace(self.deadline, at_s=self.deadline.at_s - self._kept_s)

    def is_too_short(self, job: TrainingJob, budget_s: float) -> bool:
        """True where a budget is not worth beginning with."""
        return budget_s * self.tokens_per_s < LEAST_EPOCHS * job.n_tokens

    def refusal(self, job: TrainingJob, budget_s: float) -> str:
        """Why a job is not begun, with the numbers."""
        epoch_s = job.n_tokens / max(self.tokens_per_s, 1e-9)
        return (
            f"{job.method.name}: {max(budget_s, 0):.0f} s are left for it, and one pass over its "
            f"{len(job.examples.train)} examples takes about {epoch_s:.0f} s"
        )

    def done(self, job: TrainingJob, tokens_per_s: float | None) -> None:
        """Takes the speed of a finished job, and keeps time for its evaluation.

        Jobs that only compete may not use up the time in which a specialist is certified that nothing replaces.
        """
        self.tokens_per_s = tokens_per_s or self.tokens_per_s
        evaluation = job.n_tokens * answer_mode_of(job.schema).evaluation_epochs
        self._kept_s += EVALUATION_MARGIN * evaluation / max(self.tokens_per_s, 1e-9)


def work_of(job: TrainingJob) -> int:
    """Tokens that a job reads in training, about."""
    return job.n_tokens * job.epochs


def _share(waiting: Sequence[TrainingJob]) -> float:
    """The share of the time left that the first of the waiting jobs may take, by its work."""
    return work_of(waiting[0]) / max(1, sum(work_of(job) for job in waiting))


def _evaluation_share(jobs: Sequence[TrainingJob]) -> float:
    """The share of the time that evaluation will need for what is trained here."""
    trained = sum(work_of(job) for job in jobs)
    evaluated = sum(job.n_tokens * answer_mode_of(job.schema).evaluation_epochs for job in jobs)
    return float(np.clip(evaluated / max(1, trained + evaluated), 0.2, 0.5))
