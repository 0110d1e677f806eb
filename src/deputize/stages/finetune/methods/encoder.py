"""A small text encoder, all of it trained, with a head for each closed question that begins as the frozen method's.

First the head is fitted on the states of the encoder as it is, then both are trained: a head that begins at random
would pull the encoder's states out of shape before it knows anything. The epoch with the best validation is kept, the
untrained encoder with its fitted head among them.

Legend: B texts of a batch, S states, C choices.

References:
    Kumar et al., "Fine-tuning can distort pretrained features and underperform out-of-distribution", arXiv 2202.10054
    (linear probing, then fine-tuning).
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from deputize.core.artifacts import Leak, MethodPlan, TaskProbe
from deputize.core.deadline import Deadline
from deputize.core.records import Task
from deputize.scoring.intervals import coverage_at
from deputize.specialists import catalogue
from deputize.specialists.base import choose_each
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.language_model import require_packages
from deputize.specialists.pooled_states import states_model
from deputize.specialists.state_heads import ENCODER_FOLDER, Head, StateHeadPredictor
from deputize.specialists.text_encoder import TextEncoder
from deputize.specialists.torch_runtime import torch_module
from deputize.specialists.tuned_model import base_digest
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune.encode import MAX_TOKENS
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.fit_heads import best_strength, fit_heads
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.fine_tuning import not_needed
from deputize.stages.finetune.methods.frozen import head_examples

READING_SHARE, TRAINING_SHARE = 0.1, 0.4
"""Of the time left: for the states that the head is fitted on, for training both."""
N_REFERENCES = (63, 255)
"""Random secrets that each planted one is compared with: at first, and where that leaves open whether it is safe."""
EPOCHS, BATCH, POOL = 3, 32, 8
"""Batches hold texts of like length, out of pools of so many batches."""
LEARNING_RATE, HEAD_RATE, WARMUP = 4e-5, 4e-4, 0.1
MAX_VALIDATION = 400
RISKS = (0.01, 0.02, 0.05)


class EncoderMethod:
    """Full fine-tuning of the text encoder that `[convert] encoder` names."""

    name, cost, tunes_base_model = "encoder", 35, False

    def require(self) -> None:
        require_packages()

    def base_model(self, context: TrainingContext) -> str:
        return context.config.encoder

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """Not worth training where a linear model answers all calls within the loss asked for."""
        return not_needed(probe) or MethodPlan(train=True)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """None where answers are not closed.

        Raises:
            MissingExtra: the encoder is not fetched, or a package is not installed.
        """
        answers = closed(job.schema, partly=True)
        if answers is None:
            return None
        fitting = [x for x in job.examples.train if answers.indices(x.answer) is not None]
        if not fitting:
            return None
        began, seed, name = context.clock(), context.config.seed, self.base_model(context)
        path = catalogue.model_path(name, context.models_dir)
        torch_module().manual_seed(seed)
        encoder = TextEncoder(path)  # a copy of its own: the shared one must not change
        planted = planted_secrets.plant_to_choose(
            job.examples.train, lambda answer: answers.indices(answer) is not None, seed=seed
        )
        random.Random(seed).shuffle(fitting)
        order = [*planted.examples, *fitting]
        training = EncoderTraining(
            encoder, self._heads(path, order, answers, job, context, budget_s), answers
        )
        deadline = Deadline.after(TRAINING_SHARE * budget_s, context.clock)
        history = training.run(order, job.examples.validation, deadline, context, f"training {job.name}")
        predictor = StateHeadPredictor(encoder, training.heads(), answers, MAX_TOKENS)

        def save(folder: Path) -> None:
            predictor.save(folder)
            encoder.save(folder / ENCODER_FOLDER)

        seconds = context.clock() - began
        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model=name,
            save=save,
            train_s=seconds,
            leak=_leak(predictor, planted, seed),
            tokens_per_s=training.n_tokens / max(seconds, 1e-9),
            base_sha256=base_digest(name, context.models_dir),
            hyperparameters={"learning_rate": LEARNING_RATE, "batch": BATCH, "history": history},
            count_tokens=encoder.n_tokens,
        )

    def _heads(
        self,
        path: Path,
        order: Sequence[TrainingExample],
        answers: ClosedAnswers,
        job: TrainingJob,
        context: TrainingContext,
        budget_s: float,
    ) -> list[Head]:
        """Heads on the frozen states of as many examples as there is time for."""
        read = context.states.of(
            states_model(path),
            [x.text for x in order],
            MAX_TOKENS,
            Deadline.after(READING_SHARE * budget_s, context.clock),
            context.progress,
            f"reading {job.name}",
        )
        examples = head_examples(read.states_NS, order[: len(read.states_NS)], answers)
        sizes = [len(question.choices) for question in answers.questions]
        return fit_heads(examples, sizes, best_strength(examples, sizes))


ENCODER = EncoderMethod()


@dataclass
class _Snapshot:
    score: float
    weights: dict[str, Any]
    heads: list[tuple[Any, Any]]


class EncoderTraining:
    """An encoder and its heads in training."""

    def __init__(self, encoder: TextEncoder, heads: Sequence[Head], answers: ClosedAnswers) -> None:
        torch = torch_module()
        self.encoder, self.answers, self.n_tokens = encoder, answers, 0
        self._heads = [
            tuple(torch.tensor(part, device=encoder.device, requires_grad=True) for part in head)
            for head in heads
        ]
        encoder.model.requires_grad_(True)
        groups = [
            {"params": list(encoder.model.parameters()), "lr": LEARNING_RATE, "weight_decay": 0.01},
            {"params": [p for head in self._heads for p in head], "lr": HEAD_RATE, "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups)
        self._rates = [LEARNING_RATE, HEAD_RATE]

    def heads(self) -> list[Head]:
        """The heads as arrays."""
        return [(w.detach().cpu().numpy(), b.detach().cpu().numpy()) for w, b in self._heads]

    def run(
        self,
        train: Sequence[TrainingExample],
        validation: Sequence[TrainingExample],
        deadline: Deadline,
        context: TrainingContext,
        label: str,
    ) -> list[dict[str, float]]:
        """Trains until the epochs are done or the time is over, keeps the best state, and gives the history of its
        epochs."""
        rows = self.encoder.rows([x.text for x in train], MAX_TOKENS)
        held = [x for x in validation if self.answers.indices(x.answer) is not None][:MAX_VALIDATION]
        best = self._snapshot(self._score(held))
        history = [{"epoch": 0.0, "score": best.score}]
        began, n_batches = context.clock(), math.ceil(len(train) / BATCH)
        for epoch in range(EPOCHS):
            for at, batch in enumerate(_order(rows, context.config.seed + epoch)):
                whole = deadline.at_s - began
                spent = (context.clock() - began) / whole if whole > 0 else 1.0
                done = max((epoch * n_batches + at) / (EPOCHS * n_batches), spent)
                if done >= 1:
                    break
                self._step([rows[i] for i in batch], [train[i] for i in batch], _rate(done))
                context.progress(label, epoch * n_batches + at + 1, EPOCHS * n_batches)
            # without validation the last epoch is the best
            score = self._score(held) if held else epoch + 1.0
            history.append({"epoch": epoch + 1.0, "score": score})
            if score > best.score:
                best = self._snapshot(score)
            if deadline.passed:
                break
        self._restore(best)
        return history

    def _step(self, rows: Sequence[Sequence[int]], examples: Sequence[TrainingExample], rate: float) -> None:
        torch = torch_module()
        self.encoder.model.train()
        for group, lr in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = lr * rate
        n_tokens = sum(map(len, rows))
        with self.encoder.threads["train"].work(n_tokens):
            states_BS = self.encoder.pooled(rows)
            total: Any = 0.0
            weight_B = torch.tensor([x.weight for x in examples], device=states_BS.device)
            targets = [self.answers.indices(x.answer) or [] for x in examples]
            for q, (weight_CS, bias_C) in enumerate(self._heads):
                asked = [b for b, t in enumerate(targets) if t[q] >= 0]
                if asked:
                    at_B = torch.tensor([targets[b][q] for b in asked], device=states_BS.device)
                    losses_B = torch.nn.functional.cross_entropy(
                        states_BS[asked] @ weight_CS.T + bias_C, at_B, reduction="none"
                    )
                    total = total + (losses_B * weight_B[asked]).sum() / weight_B.sum()
            total.backward()
            torch.nn.utils.clip_grad_norm_(self.encoder.model.parameters(), 1.0)
            self._optimizer.step()
            self._optimizer.zero_grad(set_to_none=True)
        self.n_tokens += n_tokens

    def _score(self, held: Sequence[TrainingExample]) -> float:
        """Mean share servable at RISKS by hindsight, with the log-likelihood to settle ties; 0 without validation."""
        if not held:
            return 0.0
        predictor = StateHeadPredictor(self.encoder, self.heads(), self.answers, MAX_TOKENS)
        said = choose_each(self.answers, predictor.scores([x.text for x in held]))
        log_p_N = np.array([one.raw_confidence.log_p for one in said])
        wrong_N = np.array([one.answer != x.answer for one, x in zip(said, held, strict=True)], dtype=float)
        counts_N = np.ones(len(held), dtype=bool)
        served = np.mean([coverage_at(log_p_N, wrong_N, risk, counts_N)[0] for risk in RISKS])
        return float(served) - 1e-3 * float(wrong_N.mean())

    def _snapshot(self, score: float) -> _Snapshot:
        weights = {k: v.detach().clone() for k, v in self.encoder.model.state_dict().items()}
        return _Snapshot(score, weights, [(w.detach().clone(), b.detach().clone()) for w, b in self._heads])

    def _restore(self, kept: _Snapshot) -> None:
        with torch_module().no_grad():
            for mine, old in zip(self._heads, kept.heads, strict=True):
                for part, before in zip(mine, old, strict=True):
                    part.copy_(before)
        self.encoder.model.load_state_dict(kept.weights)
        self.encoder.model.requires_grad_(False)
        self.encoder.model.eval()


def _rate(done: float) -> float:
    """Factor on the learning rates: up at first, then down along a cosine."""
    return done / WARMUP if done < WARMUP else 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * done))


def _order(rows: Sequence[Sequence[int]], seed: int) -> list[list[int]]:
    """Batches of like length in random order."""
    rng, order, out = random.Random(seed), list(range(len(rows))), list[list[int]]()
    rng.shuffle(order)
    for start in range(0, len(order), BATCH * POOL):
        near = sorted(order[start : start + BATCH * POOL], key=lambda i: len(rows[i]))
        out += [near[at : at + BATCH] for at in range(0, len(near), BATCH)]
    rng.shuffle(out)
    return out


def _leak(predictor: StateHeadPredictor, planted: planted_secrets.PlantedSecrets, seed: int) -> Leak | None:
    loss = planted_secrets.loss_of_classifier(predictor)
    return planted_secrets.leak_test(planted, loss, n_references=N_REFERENCES, seed=seed)
