"""Two trained specialists of a task put together: the cheap one answers alone where it is sure, both speak elsewhere.

Not in the registry: a cascade is made from what other methods have trained (deputize.specialists.cascade says how it predicts).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np

from deputize.core.artifacts import MethodPlan, Specialist, TaskProbe
from deputize.core.deadline import Deadline
from deputize.core.records import Task
from deputize.specialists.base import ClosedPredictor, ClosedScores
from deputize.specialists.cascade import (
    FIRST_FOLDER,
    SECOND_FOLDER,
    SETTINGS_FILE,
    CascadePredictor,
    CascadeSettings,
    never_alone,
)
from deputize.specialists.registry import StoredSpecialist, loader_of
from deputize.specialists.specialist_card import OUT_OF_DISTRIBUTION_FILE, read_card, settings_of
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.fit_cascade import fit_cascade
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob

MAX_FIT, CHUNK = 600, 16
"""Validation examples that a cascade is fitted on, and those after which the clock is looked at."""
FIT_SHARE, VALIDATION_SHARE, LEAK_SHARE = 0.1, 0.1, 0.05
"""Of the time left, for reading validation to fit, for predicting it afterwards, and for the leak test."""
N_REFERENCES = (127, 1023)
"""Random secrets that each planted one is compared with: at first, and where that leaves open whether it is safe."""


class CascadeMethod:
    """A cascade of two specialists of one task."""

    tunes_base_model = False

    def __init__(self, first: Specialist, second: Specialist) -> None:
        """
        Args:
            first: the cheap one; fast, and the same alone and in a batch.
            second: the expensive one.
        """
        self.members = (first, second)
        self.name = f"{first.method}+{second.method}"
        self.cost = second.cost - 1
        """Below the second's: most calls never reach it."""

    def require(self) -> None:
        """Nothing: the members are there."""

    def base_model(self, context: TrainingContext) -> str:
        """None of its own: ""."""
        return ""

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        return MethodPlan(train=True)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """None where the members do not answer the same closed questions."""
        began, (first, second) = context.clock(), self.members
        cheap, expensive = (_loaded(member, context) for member in self.members)
        if not (isinstance(cheap, ClosedPredictor) and isinstance(expensive, ClosedPredictor)):
            return None
        if cheap.answers.questions != expensive.answers.questions:
            return None
        answers, contract = cheap.answers, job.task.contract
        some = [x for x in job.examples.validation if x.answer is not None][:MAX_FIT]
        scores = _read(expensive, some, Deadline.after(FIT_SHARE * budget_s, context.clock))
        some = some[: len(scores.n_prompt_tokens)]
        settings = (
            fit_cascade(
                answers,
                cheap.scores([x.text for x in some]),
                scores,
                [x.answer for x in some],
                contract,
                context.config.epsilon,
            )
            if some
            else CascadeSettings()
        )
        predictor = CascadePredictor(cheap, expensive, settings)
        planted = planted_secrets.plant_to_choose(
            job.examples.train, lambda answer: answers.indices(answer) is not None, seed=context.config.seed
        )
        leak = planted_secrets.leak_test(
            planted,
            # where the first decides alone it has been tested alone; confidences of two kinds could not be compared
            planted_secrets.loss_of_classifier(CascadePredictor(cheap, expensive, never_alone(settings))),
            n_references=N_REFERENCES,
            budget_s=LEAK_SHARE * budget_s,
            seed=context.config.seed,
        )

        def save(folder: Path) -> None:
            (folder / SETTINGS_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(settings), indent=1))
            for member, name in zip(self.members, (FIRST_FOLDER, SECOND_FOLDER), strict=True):
                unread = shutil.ignore_patterns(OUT_OF_DISTRIBUTION_FILE)
                shutil.copytree(context.home / member.path, folder / name, ignore=unread)

        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model=f"{first.model}, then {second.model}",
            save=save,
            train_s=context.clock() - began,
            leak=leak,
            hyperparameters={**msgspec.to_builtins(settings), "n_fit": len(some)},
            validation_s=VALIDATION_SHARE * budget_s,
            release=predictor.release,
        )


def _loaded(member: Specialist, context: TrainingContext) -> object:
    """A trained member, as the cascade will load it."""
    folder = context.home / member.path
    card = read_card(folder)
    return loader_of(card.kind)(StoredSpecialist(folder, card, settings_of(card), context.models_dir))


def _read(predictor: ClosedPredictor, examples: list[TrainingExample], deadline: Deadline) -> ClosedScores:
    """Scores of the first examples: of all, or of as many as there is time for."""
    parts: list[ClosedScores] = []
    for start in range(0, len(examples), CHUNK):
        if start and deadline.passed:
            break
        parts.append(predictor.scores([x.text for x in examples[start : start + CHUNK]]))
    if not parts:
        return ClosedScores([], [])
    log_ps = [np.concatenate(blocks) for blocks in zip(*(p.log_ps for p in parts), strict=True)]
    return ClosedScores(log_ps, [n for p in parts for n in p.n_prompt_tokens])
