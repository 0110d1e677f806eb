"""Fine-tuning of the base model: what LoRA and its variants, full fine-tuning and the other losses have in common.

LoRA, rsLoRA, DoRA, QLoRA and full fine-tuning are sequence-level distillation: they train on the replies that the LLM
gave, one reply for each prompt, as if these were the truth.

References:
    Kim and Rush, "Sequence-level knowledge distillation", arXiv 1606.07947.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from deputize.core.artifacts import Leak, MethodPlan, TaskProbe
from deputize.core.errors import BadInput
from deputize.core.percentages import percent
from deputize.core.records import Task
from deputize.scoring.leak import LEVEL, level_of_further
from deputize.specialists import catalogue
from deputize.specialists.language_model import LanguageModel, require_packages
from deputize.specialists.model_cache import MODELS
from deputize.specialists.torch_runtime import device_for, torch_module
from deputize.specialists.tuned_model import ADAPTER_FOLDER, adapter_name, base_digest
from deputize.stages.finetune import settings_search, trainer
from deputize.stages.finetune.answer_loss import AnswerLoss
from deputize.stages.finetune.checkpoint import Checkpoint
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.outputs import AnswerMode, GenerationMode, Head, answer_mode_of
from deputize.stages.finetune.planted_secrets import PlantedSecrets, leak_test

N_RIVALS = (63, 255)
"""Random secrets that each planted one is compared with: at first, and where that leaves open whether it is safe."""
LEAK_SHARE, LEAK_MOST_S = 0.03, 10.0
"""Of a job's time, and at most, for the leak test."""
STRENGTHS = (1.0, 0.85, 0.7)
"""Of what was trained into an adapter: the first is kept at which no planted secret shows. A memory of one text fades
sooner than what many texts have in common (docs/log.md has the figures)."""
TRAINING_SHARE, VALIDATION_SHARE = 0.8, 0.15
"""Of a job's time, for the training and for predicting validation afterwards."""


class FineTuning:
    """Low-rank adapters on the shared base model; other methods override how the model is loaded, adapted and saved."""

    tunes_base_model = True
    learning_rate = 1e-3
    always_writes = False
    """True where answers are written also when a head could choose them."""
    may_search = True
    """False where short trials would leave traces, or cost money."""

    def __init__(self, name: str, cost: int) -> None:
        self.name, self.cost = name, cost

    # what other methods do differently

    def require(self) -> None:
        require_packages()

    def base_model(self, context: TrainingContext) -> str:
        return context.base_model

    def load_base(self, path: Path) -> LanguageModel:
        """The model to be tuned, from its folder."""
        return MODELS.get(path)

    def adapter_settings(self, base: LanguageModel, settings: trainer.TrainingSettings) -> dict[str, Any]:
        """Arguments of peft.LoraConfig."""
        return trainer.adapter_settings(base, settings)

    def add_adapter(self, base: LanguageModel, job: TrainingJob, settings: trainer.TrainingSettings) -> str:
        """Adds a fresh adapter and gives its name; "" where all weights are trained."""
        adapter = adapter_name(job.folder)
        base.drop_adapter(adapter)
        base.new_adapter(adapter, self.adapter_settings(base, settings))
        return adapter

    def serving_model(self, base: LanguageModel, adapter: str, path: Path) -> LanguageModel:
        """The model that will serve, with what was trained: what is measured and calibrated is what will be loaded."""
        return base

    def save_weights(self, base: LanguageModel, adapter: str, folder: Path) -> None:
        """Writes what was tuned into a specialist's folder."""
        base.save_adapter(adapter, folder / ADAPTER_FOLDER)

    def answer_mode(self, job: TrainingJob, context: TrainingContext) -> AnswerMode:
        """How answers are given.

        Raises:
            BadInput: the task's examples do not hold what such answers need; the sentence says what is missing.
        """
        return GenerationMode(job.schema) if self.always_writes else answer_mode_of(job.schema)

    def heads(
        self,
        output: AnswerMode,
        base: LanguageModel,
        job: TrainingJob,
        context: TrainingContext,
        budget_s: float,
    ) -> list[Head]:
        """The heads that training begins with, one per closed question.

        Args:
            output: how answers are given.
            base: the model, with an adapter that changes nothing yet.
            job: what is trained.
            context: of the run.
            budget_s: seconds for the whole job.
        """
        return output.heads(base)

    def loss(
        self,
        base: LanguageModel,
        heads: list[Head],
        settings: trainer.TrainingSettings,
        job: TrainingJob,
        context: TrainingContext,
    ) -> AnswerLoss:
        """The loss that is minimised.

        Raises:
            BadInput: the task's examples do not hold what the method learns from; the sentence says what is missing.
        """
        return trainer.answer_loss(base, heads, settings)

    # what all do

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """Not worth training where a linear model answers all calls within the loss asked for."""
        return not_needed(probe) or MethodPlan(train=True)

    def settings(self, job: TrainingJob, device: str) -> trainer.TrainingSettings:
        """Hyperparameters by the size of the task."""
        return trainer.TrainingSettings(
            epochs=job.epochs,
            batch=trainer.batch_for(len(job.examples.train)),
            micro_tokens=2048 if device == "cpu" else 16384,
            lr=self.learning_rate,
            # on a CPU the upper half learns these jobs as well, in half the time (docs/log.md)
            layers=0.5 if device == "cpu" else 1.0,
        )

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained:
        """Trains within the budget, leak test and prediction of validation included.

        Raises:
            BadInput: no answer of train can be written in the task's schema.
            MissingExtra: a package or the base model is not here.
        """
        until = context.clock() + budget_s
        path = catalogue.model_path(context.base_model, context.models_dir)
        base = self.load_base(path)
        settings = self.settings(job, device_for())
        if context.config.search_learning_rate and self.may_search:
            settings = self._searched(job, context, base, settings, budget_s)
        torch_module().manual_seed(context.config.seed)
        adapter = self.add_adapter(base, job, settings)

        try:
            return self._train(job, context, until, base, adapter, settings)
        except BaseException:
            release(adapter, base)
            raise

    def _searched(
        self,
        job: TrainingJob,
        context: TrainingContext,
        base: LanguageModel,
        settings: trainer.TrainingSettings,
        budget_s: float,
    ) -> trainer.TrainingSettings:
        """The settings with the best learning rate of a few short trials, or with that of a training which goes on."""
        if before := checkpoint_of(job).counters():
            tried = tuple((rate, score) for rate, score in before["searched"])
            return replace(settings, lr=before["lr"], searched=tried)

        def trial(tried: trainer.TrainingSettings, seconds: float) -> float | None:
            torch_module().manual_seed(context.config.seed)
            adapter = self.add_adapter(base, job, tried)
            try:
                output = self.answer_mode(job, context)
                heads = self.heads(output, base, job, context, seconds)
                train = output.encode(base, settings_search.part_of(job.examples.train))
                held = output.encode(base, settings_search.part_of(job.examples.validation))
                loss = self.loss(base, heads, tried, job, context)
                run = trainer.Trainer(
                    base,
                    adapter,
                    tried,
                    train,
                    held,
                    heads,
                    seed=context.config.seed,
                    clock=context.clock,
                    loss=loss,
                )
                with closing(run.loss):
                    run.run(seconds, None, context.progress, f"learning rate {tried.lr:.2g} of {job.name}")
                losses = [epoch.validation_loss for epoch in run.history]
                return None if not held or not losses or math.isnan(losses[-1]) else -losses[-1]
            finally:
                release(adapter, base)

        return settings_search.searched(settings, trial, settings_search.SHARE * budget_s, context.clock)

    def _train(
        self,
        job: TrainingJob,
        context: TrainingContext,
        until: float,
        base: LanguageModel,
        adapter: str,
        settings: trainer.TrainingSettings,
    ) -> Trained:
        seed, digest = context.config.seed, base_digest(context.base_model, context.models_dir)
        output = self.answer_mode(job, context)
        heads = self.heads(output, base, job, context, until - context.clock())
        planted = output.plant(job.examples.train, seed)
        train = output.encode(base, [*job.examples.train, *planted.examples])
        if len(train) <= len(planted.examples):
            raise BadInput("no answer of train can be written in the task's schema")
        run = trainer.Trainer(
            base,
            adapter,
            settings,
            train,
            output.encode(base, job.examples.validation),
            heads,
            seed=seed,
            clock=context.clock,
            loss=self.loss(base, heads, settings, job, context),
        )
        checkpoint = checkpoint_of(job)
        left_s = until - context.clock()
        with closing(run.loss):
            run.resume(checkpoint)
            run.run(TRAINING_SHARE * left_s, checkpoint, context.progress, f"training {job.name}")
        served = self.serving_model(base, adapter, base.path)
        context.progress(f"leak test of {job.name}", 0)
        made = partial(output.predictor, served, adapter, heads, train)  # reads the adapter as it is then
        leak, strength = weakened(served, adapter, partial(leak_of, output, made, planted, left_s, seed))
        predictor = made()

        def save(folder: Path) -> None:
            predictor.save(folder)
            self.save_weights(served, adapter, folder)

        return Trained(
            predictor=predictor,
            kind=output.kind,
            model=context.base_model,
            save=save,
            train_s=run.busy_s,
            leak=leak,
            tokens_per_s=run.n_tokens / max(run.busy_s, 1e-9),
            teacher_usd=run.loss.usd,
            base_sha256=digest,
            max_slot_tokens=output.max_slot_tokens(train),
            hyperparameters={**figures_of(run), "strength": strength},
            count_tokens=lambda text: len(base.ids(text)),
            validation_s=VALIDATION_SHARE * left_s,
            checkpoint=checkpoint.folder,
            release=lambda: release(adapter, base, served),
        )


def checkpoint_of(job: TrainingJob) -> Checkpoint:
    """The checkpoint of a job's training."""
    return Checkpoint(job.folder.with_name(job.folder.name + ".training"), job.fingerprint)


def not_needed(probe: TaskProbe) -> MethodPlan | None:
    """The plan of a method that costs more than the linear one, where that is enough; None where it is not."""
    if probe.linear_accuracy < 1 - probe.epsilon:
        return None
    return MethodPlan(
        train=False,
        reason=f"not trained: of groups left out the linear method answers {percent(probe.linear_accuracy)} as the LLM did, "
        "within the loss asked for",
    )


def figures_of(run: trainer.Trainer) -> dict[str, Any]:
    """Hyperparameters and history of a training, for the specialist's card."""
    return {
        **run.settings.__dict__,
        "searched": [list(trial) for trial in run.settings.searched],  # as they are read back
        "steps": run.step_number,
        "n_tokens": run.n_tokens,
        "history": [e.__dict__ for e in run.history],
        **run.loss.record(),
        "device": run.base.device,
        "dtype": run.base.dtype,
    }


def weakened(
    model: LanguageModel, adapter: str, leak_now: Callable[[float], Leak | None]
) -> tuple[Leak | None, float]:
    """The leak test of an adapter at the greatest of STRENGTHS that gives no planted secret away, which it then has;
    at the least one where all do. All weights of a model ("") have one strength only.

    Args:
        model: carries the adapter.
        adapter: its name.
        leak_now: the test of the adapter as it is, at a level.
    """
    leak, before = leak_now(LEVEL), STRENGTHS[0]
    level = level_of_further(len(STRENGTHS) - 1)
    for strength in STRENGTHS[1:] if adapter else ():
        if leak is None or not leak.leaks:
            break
        model.weaken_adapter(adapter, strength / before)
        leak, before = leak_now(level), strength
    return leak, before


def leak_of(
    output: AnswerMode,
    made: Callable[[], Any],
    planted: PlantedSecrets,
    budget_s: float,
    seed: int,
    level: float,
) -> Leak | None:
    """The leak test of what was trained within its part of a job's time.

    A further one looks for every secret: one that ended before the secret that showed would pass for want of time.

    Args:
        output: how answers are given.
        made: gives the predictor as it is now.
        planted: the secrets.
        budget_s: of the job.
        seed: of the run.
        level: of the test.
    """
    loss, most_s = output.leak_loss(made(), planted), min(LEAK_MOST_S, LEAK_SHARE * budget_s)
    budget_s = most_s if level == LEVEL else math.inf
    return leak_test(planted, loss, n_references=N_RIVALS, budget_s=budget_s, seed=seed, level=level)


def release(adapter: str, *models: LanguageModel) -> None:
    """Takes an adapter out of models."""
    if adapter:
        for model in models:
            model.drop_adapter(adapter)
