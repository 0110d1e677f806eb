"""The training loop of fine-tuning: cosine schedule within a time budget, early stopping, a checkpoint after each
epoch.

References:
    Loshchilov and Hutter, "Decoupled weight decay regularization", arXiv 1711.05101 (AdamW); "SGDR", arXiv 1608.03983
    (the cosine schedule, here over the time there is).
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from deputize.core.deadline import Clock
from deputize.core.progress import Progress
from deputize.specialists.classification_head import batches
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune.answer_loss import AnswerLoss
from deputize.stages.finetune.checkpoint import Checkpoint
from deputize.stages.finetune.encode import EncodedExample
from deputize.stages.finetune.hidden_states import HiddenStates
from deputize.stages.finetune.master_weights import MasterWeights, Snapshot
from deputize.stages.finetune.validation import NOT_VALIDATED, Validation, ValidationResult

SOLVED_LOSS = 0.01
"""Validation loss below which, with every answer right, there is nothing left to learn."""
SLACK = 0.1
"""Part of the time by which a training may be late before the clock, and not the number of steps, sets its learning
rate: a few slow steps on a busy machine should change nothing."""


@dataclass(frozen=True)
class TrainingSettings:
    """Hyperparameters of fine-tuning."""

    rank: int = 16
    alpha: int = 32
    lr: float = 1e-3
    head_lr: float = 3e-3
    epochs: int = 8
    batch: int = 8
    """Examples per optimiser step."""
    micro_tokens: int = 2048
    """Padded tokens per backward pass: activations rule memory."""
    layers: float = 1.0
    """Share of the layers, from the top, that get adapters; the output of those below is kept for all epochs."""
    warmup: float = 0.06
    patience: int = 2
    """Epochs without a better validation before it stops."""
    max_validation: int = 400
    cache_gb: float = 2.0
    """Most memory for kept outputs of lower layers."""
    truncate_loss: bool = True
    """True to skip, from the second epoch on, examples harder than all of validation."""
    clip_ratio: float = 2.0
    """How many times the median of the examples before it the value tokens of an example may weigh in the loss; 0: no
    bound."""
    searched: tuple[tuple[float, float], ...] = ()
    """(learning rate, how good validation was) of each trial, where the rate was searched for."""


@dataclass
class EpochResult:
    """Losses and time of one epoch."""

    number: int
    train_loss: float
    validation_loss: float
    validation_accuracy: float
    validation_coverage: float
    """Mean share servable at .01, .02 and .05, by hindsight."""
    seconds: float
    n_truncated: int = 0
    """Examples skipped by loss truncation."""


class Trainer:
    """One specialist in training."""

    def __init__(
        self,
        base: LanguageModel,
        adapter: str,
        settings: TrainingSettings,
        train: Sequence[EncodedExample],
        validation: Sequence[EncodedExample],
        heads: Sequence[tuple[Any, Any]],
        *,
        seed: int,
        clock: Clock,
        loss: AnswerLoss | None = None,
    ) -> None:
        """
        Args:
            base: the model.
            adapter: what is trained; "" for all weights.
            settings: hyperparameters.
            train: examples to learn from.
            validation: examples to stop by; may be empty.
            heads: per question weights [C, H] and bias [C], trained too; none where answers are written.
            seed: of the order of examples.
            clock: seconds.
            loss: to be minimised; None: cross-entropy with the LLM's answers.
        """
        self.base, self.settings, self.train, self.seed, self.clock = base, settings, list(train), seed, clock
        self.validation = Validation(
            validation, seed=seed, most=settings.max_validation, micro_tokens=settings.micro_tokens
        )
        self.weights = MasterWeights(base, adapter, heads, lr=settings.lr, head_lr=settings.head_lr)
        self.loss = loss or answer_loss(base, heads, settings)
        frozen = first_layer(base, settings) if adapter and settings.epochs >= 2 else 0
        self.hidden = HiddenStates(base, self.train, frozen, settings.cache_gb)
        self.history: list[EpochResult] = []
        self.best: Snapshot | None = None
        self.best_score = -math.inf
        self.step_number, self.n_tokens, self.busy_s = 0, 0, 0.0

    def run(self, budget_s: float, checkpoint: Checkpoint | None, progress: Progress, label: str) -> None:
        """Trains until the epochs are done, validation stops improving or the budget ends; the best state is kept.

        Args:
            budget_s: seconds, those before a resumed checkpoint included.
            checkpoint: written after each epoch; None: none.
            progress: called at each step.
            label: of what is trained, for progress.
        """
        began, first = self.clock() - self.busy_s, len(self.history)
        for number in range(first, self.settings.epochs):
            if self.history and self._should_stop():
                break
            epoch_began = self.clock()
            self.loss.n_truncated = 0
            losses, out_of_time = self._epoch(number, began, budget_s, progress, label)
            self.busy_s = self.clock() - began
            if not losses:
                break
            result = self._validate(budget_s, self.settings.epochs - first, out_of_time)
            seconds = round(self.clock() - epoch_began, 2)
            n_truncated = self.loss.n_truncated
            self.history.append(
                EpochResult(number + 1, float(np.mean(losses)), *result, seconds, n_truncated)
            )
            self._keep_if_best(result)
            self.busy_s = self.clock() - began
            if checkpoint is not None:
                self.save(checkpoint)
            if out_of_time:
                break
        self._finish()

    def _epoch(
        self, number: int, began: float, budget_s: float, progress: Progress, label: str
    ) -> tuple[list[float], bool]:
        """Losses of the steps, and whether the time ended; no step is begun that would not end in time."""
        epochs, per_epoch = self.settings.epochs, math.ceil(len(self.train) / self.settings.batch)
        planned, losses, step_s = per_epoch * epochs, list[float](), 0.0
        for at, chosen in enumerate(self._order(number)):
            step_began = self.clock()
            late = (step_began - began) / max(budget_s, 1e-9)
            spent = late + step_s / max(budget_s, 1e-9)
            if spent >= 1.0:
                return losses, True
            # by steps where time suffices, by time where it does not: the rate reaches its end either way
            done = (number * per_epoch + at) / planned
            if late > done + SLACK:
                done = spent
            losses.append(self._step(chosen, self._rate(done)))
            progress(f"{label}: epoch {number + 1}/{epochs}", number * per_epoch + at + 1, planned)
            step_s = self.clock() - step_began
        return losses, False

    def _validate(self, budget_s: float, n_epochs: int, out_of_time: bool) -> ValidationResult:
        self.validation.fit_to_budget(
            budget_s,
            n_epochs,
            tokens_per_s=self.n_tokens / max(self.busy_s, 1e-9),
            n_train_tokens=sum(len(row) for row in self.train),
        )
        # where time ended in the first epoch there is nothing to compare with, and validation would only cost more
        if out_of_time and self.best is None:
            return NOT_VALIDATED
        return self.validation.run(self.hidden, self.loss)

    def _rate(self, done: float) -> float:
        if done < self.settings.warmup:
            return max(0.05, done / self.settings.warmup)
        return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _order(self, epoch: int) -> Iterator[list[int]]:
        """Batches of like length in random order; the same for the same seed and epoch."""
        rng = random.Random(f"{self.seed}:{epoch}")
        order = list(range(len(self.train)))
        rng.shuffle(order)
        size = self.settings.batch
        pool = size * 8
        chunks: list[list[int]] = []
        for start in range(0, len(order), pool):
            near = sorted(order[start : start + pool], key=lambda i: len(self.train[i]))
            chunks += [near[j : j + size] for j in range(0, len(near), size)]
        rng.shuffle(chunks)
        yield from chunks

    def _step(self, chosen: list[int], rate: float) -> float:
        total = sum(self.train[i].weight for i in chosen)
        loss_sum = 0.0
        self.base.lm.train()
        for part in batches([len(self.train[i]) for i in chosen], self.settings.micro_tokens):
            indices = [chosen[i] for i in part]
            rows = [self.train[i] for i in indices]
            n_tokens = sum(len(row) for row in rows)
            with self.base.threads["train"].work(n_tokens):
                loss = self.loss.of_batch(self.hidden.of_train(indices), rows) / total
                loss.backward()
            loss_sum += float(loss.detach())
            self.n_tokens += n_tokens
        self.weights.step(rate)
        self.step_number += 1
        return loss_sum

    def _keep_if_best(self, result: ValidationResult) -> None:
        score = self.validation.score(result, len(self.history))
        if score > self.best_score or self.best is None:
            self.best_score = score
            self.best = self.weights.snapshot(len(self.history) - 1)

    def _should_stop(self) -> bool:
        if not self.validation.rows:
            return False
        last, best_epoch = self.history[-1], self.best.epoch if self.best is not None else -1
        solved = (
            last.validation_accuracy == 1.0 and last.validation_loss < SOLVED_LOSS and len(self.history) >= 2
        )
        return solved or len(self.history) - 1 - best_epoch >= self.settings.patience

    def _finish(self) -> None:
        """Puts the best state in place and frees what only training needs."""
        if self.best is not None:
            self.weights.restore(self.best)
        self.weights.write_back()
        self.base.lm.eval()
        self.weights.freeze()
        self.hidden.clear()
        if self.base.device == "cpu":
            self.base.lm.set_attn_implementation("sdpa")

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes everything needed to go on."""
        counters = {
            "history": [asdict(e) for e in self.history],
            "best_score": self.best_score,
            "step": self.step_number,
            "tokens": self.n_tokens,
            "busy_s": self.busy_s,
            "loss": self.loss.counters(),
            "n_validation": len(self.validation.rows),
            "lr": self.settings.lr,
            "searched": self.settings.searched,
        }
        checkpoint.save(self.weights, self.best, counters)

    def resume(self, checkpoint: Checkpoint) -> bool:
        """Goes back to a checkpoint; False where there is none that fits."""
        found = checkpoint.load(self.weights, self.base.device)
        if found is None:
            return False
        counters = found.counters
        self.best, self.best_score = found.best, counters["best_score"]
        self.history = [EpochResult(**e) for e in counters["history"]]
        self.step_number, self.n_tokens = counters["step"], counters["tokens"]
        self.busy_s = counters["busy_s"]
        self.loss.resume(counters["loss"])
        self.validation.keep(counters["n_validation"])
        return True


def answer_loss(
    base: LanguageModel, heads: Sequence[tuple[Any, Any]], settings: TrainingSettings
) -> AnswerLoss:
    """Cross-entropy with the LLM's answers."""
    return AnswerLoss(base, heads, truncate=settings.truncate_loss, clip_ratio=settings.clip_ratio)


def batch_for(n_examples: int) -> int:
    """Examples per optimiser step, by the size of the task: a small one learns as much in fewer passes of more steps."""
    return 4 if n_examples < 150 else 8 if n_examples < 600 else 16 if n_examples < 4000 else 32


def first_layer(base: LanguageModel, settings: TrainingSettings) -> int:
    """The lowest layer with adapters."""
    return min(base.n_layers - 1, round(base.n_layers * (1 - settings.layers)))


def adapter_settings(base: LanguageModel, settings: TrainingSettings) -> dict[str, Any]:
    """Arguments of peft.LoraConfig: every linear projection of the chosen layers."""
    torch = torch_module()
    # a layer that carries another specialist's adapter is wrapped: its name stands one level up
    chosen = sorted(
        {
            name.removesuffix(".base_layer").rsplit(".", 1)[-1]
            for name, module in base.decoder.named_modules()
            if isinstance(module, torch.nn.Linear) and ".lora_" not in name
        }
    )
    out: dict[str, Any] = {
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "target_modules": chosen,
    }
    if first_layer(base, settings) > 0:
        out["layers_to_transform"] = list(range(first_layer(base, settings), base.n_layers))
        out["layers_pattern"] = "layers"
    return out
