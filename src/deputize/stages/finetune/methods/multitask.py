"""One adapter for several small tasks: LoRA on the examples of all of them at once, each prompt with a line that names
its task.

A task of a few dozen examples teaches an adapter little; tasks of one agent are alike in language and form, so they
learn from each other. Each task gets a specialist of its own with the same adapter: its own answer schema, calibration,
detector and certificate. What the leak test finds in one holds for all, for the adapter is the same, and so does an
erasure.

The adapter is trained by the first of the tasks whose turn it is, in the time of all.

References:
    Caruana, "Multitask learning", Machine Learning 28 (1997).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path

from deputize.core.artifacts import Leak
from deputize.core.errors import BadInput
from deputize.specialists import catalogue
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import device_for, torch_module
from deputize.specialists.tuned_model import base_digest
from deputize.stages.finetune import trainer
from deputize.stages.finetune.checkpoint import Checkpoint
from deputize.stages.finetune.encode import EncodedExample
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.fine_tuning import (
    TRAINING_SHARE,
    VALIDATION_SHARE,
    FineTuning,
    figures_of,
    leak_of,
    release,
    weakened,
)
from deputize.stages.finetune.outputs import GenerationMode
from deputize.stages.finetune.planted_secrets import PlantedSecrets

LARGEST = 300
"""Examples of train up to which a task is trained together with others; a larger one teaches an adapter of its own."""


@dataclass
class SharedAdapter:
    """An adapter that several tasks share, while their specialists are packaged."""

    base: LanguageModel
    adapter: str
    run: trainer.Trainer
    rows: dict[str, list[EncodedExample]]
    """By task, those of train."""
    leak: Leak | None
    strength: float
    """Of what was trained into it (fine_tuning.weakened)."""
    validation_s: float
    """Seconds that each task may take for predicting its validation."""
    checkpoint: Path
    waiting: set[str]
    """Tasks whose specialists are not packaged yet."""

    def done(self, task_id: str) -> None:
        """Takes the adapter out of the base once the last specialist is packaged."""
        self.waiting.discard(task_id)
        if not self.waiting:
            release(self.adapter, self.base)


class MultitaskMethod(FineTuning):
    """LoRA for several tasks; answers are always written, each in its task's schema."""

    largest_task = LARGEST

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained:
        """Trains the adapter where that is not done yet, and gives this task's part of it.

        Raises:
            BadInput: the task is large enough for an adapter of its own, or there is no other small one.
            MissingExtra: a package or the base model is not here.
        """
        n_train = len(job.examples.train)
        if n_train > self.largest_task:
            raise BadInput(
                f"{n_train} examples are enough for an adapter of its own (lora); one is shared by tasks of at most "
                f"{self.largest_task}"
            )
        if not job.company:
            raise BadInput(
                "there is no other task with so few examples that an adapter could be shared with it"
            )
        shared = context.shared_adapters.get(job.together)
        if shared is None:
            jobs = sorted([job, *job.company], key=lambda one: one.task.id)
            share = job.n_tokens / max(1, sum(one.n_tokens for one in jobs))
            shared = self._train_together(jobs, context, budget_s / max(share, 1e-6))
            context.shared_adapters[job.together] = shared
        return self._part(shared, job, context)

    def _train_together(
        self, jobs: Sequence[TrainingJob], context: TrainingContext, budget_s: float
    ) -> SharedAdapter:
        until = context.clock() + budget_s
        base = self.load_base(catalogue.model_path(context.base_model, context.models_dir))
        settings = replace(
            self.settings(jobs[0], device_for()),
            epochs=max(3, min(one.epochs for one in jobs)),
            batch=trainer.batch_for(sum(len(one.examples.train) for one in jobs)),
        )
        seed = context.config.seed
        torch_module().manual_seed(seed)
        adapter = self.add_adapter(base, jobs[0], settings)
        try:
            modes = {one.task.id: GenerationMode(one.schema) for one in jobs}
            planted = {
                one.task.id: modes[one.task.id].plant(one.examples.train, _seed_of(one.task.id, seed))
                for one in jobs
            }
            rows = {
                one.task.id: modes[one.task.id].encode(
                    base, [*one.examples.train, *planted[one.task.id].examples]
                )
                for one in jobs
            }
            held = [row for one in jobs for row in modes[one.task.id].encode(base, one.examples.validation)]
            if any(len(rows[id]) <= len(planted[id].examples) for id in rows):
                raise BadInput("no answer of train can be written in the schema of one of the tasks")
            train = [row for found in rows.values() for row in found]
            run = trainer.Trainer(base, adapter, settings, train, held, [], seed=seed, clock=context.clock)
            checkpoint = Checkpoint(jobs[0].folder.with_name(f"{self.name}.training"), jobs[0].together)
            left_s = until - context.clock()
            names = ", ".join(one.task.name for one in jobs)
            with closing(run.loss):
                run.resume(checkpoint)
                run.run(
                    TRAINING_SHARE * left_s, checkpoint, context.progress, f"training {names} ({self.name})"
                )
            leak, strength = weakened(
                base,
                adapter,
                lambda level: self._worst_leak(jobs, base, adapter, rows, planted, context, left_s, level),
            )
        except BaseException:
            release(adapter, base)
            raise
        waiting = {one.task.id for one in jobs}
        validation_s = VALIDATION_SHARE * left_s / len(jobs)
        return SharedAdapter(
            base, adapter, run, rows, leak, strength, validation_s, checkpoint.folder, waiting
        )

    def _worst_leak(
        self,
        jobs: Sequence[TrainingJob],
        base: LanguageModel,
        adapter: str,
        rows: dict[str, list[EncodedExample]],
        planted: dict[str, PlantedSecrets],
        context: TrainingContext,
        left_s: float,
        level: float,
    ) -> Leak | None:
        """The leak test of each task's secrets; the least safe of them is about the adapter, so about all tasks."""
        found: list[Leak] = []
        for one in jobs:
            context.progress(f"leak test of {one.name}", 0)
            mode = GenerationMode(one.schema)
            made = partial(mode.predictor, base, adapter, [], rows[one.task.id])
            mine, share_s = planted[one.task.id], left_s / len(jobs)
            leak = leak_of(mode, made, mine, share_s, context.config.seed, level)
            found += [leak] if leak is not None else []
        return max(found, key=lambda leak: (leak.leaks, -(leak.bits_remaining or 0.0)), default=None)

    def _part(self, shared: SharedAdapter, job: TrainingJob, context: TrainingContext) -> Trained:
        mode, rows = GenerationMode(job.schema), shared.rows[job.task.id]
        predictor = mode.predictor(shared.base, shared.adapter, [], rows)

        def save(folder: Path) -> None:
            predictor.save(folder)
            self.save_weights(shared.base, shared.adapter, folder)

        n_tasks = 1 + len(job.company)
        return Trained(
            predictor=predictor,
            kind=mode.kind,
            model=context.base_model,
            save=save,
            train_s=shared.run.busy_s / n_tasks,
            leak=shared.leak,
            tokens_per_s=shared.run.n_tokens / max(shared.run.busy_s, 1e-9),
            base_sha256=base_digest(context.base_model, context.models_dir),
            max_slot_tokens=mode.max_slot_tokens(rows),
            hyperparameters={**figures_of(shared.run), "strength": shared.strength, "tasks": n_tasks},
            count_tokens=lambda text: len(shared.base.ids(text)),
            validation_s=shared.validation_s,
            checkpoint=shared.checkpoint if shared.waiting == {job.task.id} else None,
            release=lambda: shared.done(job.task.id),
        )


def _seed_of(task_id: str, seed: int) -> int:
    """A seed for each task: no secret is planted twice."""
    return int.from_bytes(sha256(f"{seed}:{task_id}".encode()).digest()[:4], "big")


MULTITASK = MultitaskMethod("multitask", 43)
