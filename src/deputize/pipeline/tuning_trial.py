"""Short trainings for the race between several base models: selection says which models race, this trains and measures
them.

Selection and training are stages of their own; here they meet.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.core.contracts import agree
from deputize.core.deadline import Clock
from deputize.core.errors import BadInput
from deputize.core.group_order import groups_in_order
from deputize.core.progress import Progress
from deputize.core.records import Task
from deputize.stages.finetune.examples import TrainingExample, TrainingSet, training_set_of
from deputize.stages.finetune.methods.base import Method, TrainingContext
from deputize.stages.finetune.run import jobs_of

MOST_VALIDATION = 64
"""Validation calls that a candidate is measured on."""
HELD_OUT_PART = 5
"""One group in so many of train is validation where the log has a reserve in its place."""


@dataclass
class TuningTrial:
    """Trains a model for a task on few examples with the cheapest method that tunes one, and measures it on
    validation."""

    curated: Curated
    discovered: Discovered
    config: Convert
    methods: list[Method]
    home: Path
    models_dir: Path
    progress: Progress
    clock: Clock
    _sets: dict[str, TrainingSet] = field(default_factory=dict)

    def __call__(self, model: str, task: Task, n_examples: int, seconds: float) -> float | None:
        """Accuracy on validation after one epoch over `n_examples`, or as many as `seconds` allow; None where nothing
        could be trained."""
        method = next((m for m in self.methods if m.tunes_base_model), None)
        if task.id not in self._sets:
            whole = training_set_of(
                self.curated, self.discovered.assignment, task, balance=self.config.balance
            )
            self._sets[task.id] = _by_group(whole) if whole.is_cross_fitted else whole
        whole = self._sets[task.id]
        held = _spread(whole.validation, MOST_VALIDATION)
        if method is None or not held or not whole.train:
            return None
        self.progress(f"race: {model} on {n_examples} examples of {task.name}", 0)
        context = TrainingContext(self.config, self.home, self.models_dir, model, self.progress, self.clock)
        examples = replace(whole, train=_spread(whole.train, n_examples), validation=held)
        with tempfile.TemporaryDirectory(prefix="race-") as folder:
            (job,) = jobs_of(examples, [method.name], context, Path(folder))
            try:
                trained = method.train(replace(job, epochs=1), context, seconds)
            except BadInput:
                return None
            if trained is None:
                return None
            try:
                found = trained.predictor.predict([example.text for example in held])
            finally:
                trained.release()
        right = [agree(p.answer, e.answer, task.contract) for p, e in zip(found, held, strict=True)]
        return sum(right) / len(right)


def _by_group(whole: TrainingSet) -> TrainingSet:
    """The training set with every fifth group of train for validation: nobody may read the reserve before it is known
    what it is for."""
    held = {*groups_in_order(x.group for x in whole.train)[::HELD_OUT_PART]}
    validation = [x for x in whole.validation if x.group in held]
    train = [x for x in whole.train if x.group not in held]
    return replace(whole, train=train, validation=validation, reserve=[], is_cross_fitted=False)


def _spread(items: list[TrainingExample], most: int) -> list[TrainingExample]:
    return items[:: -(-len(items) // most)] if len(items) > most else items
