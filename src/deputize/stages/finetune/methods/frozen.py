"""A linear head on the frozen states of a text encoder, or of the base model: trained in seconds once the states are
computed.

Cheap beside LoRA, and on many labels better than the linear method over n-grams. Answers have to be closed. An encoder
of 22 M parameters reads ten times as fast as a language model of 135 M, so "frozen" takes it where it has been fetched;
"frozen_base" takes the language model in any case, as a further member of a cascade.

References:
    Alain and Bengio, "Understanding intermediate layers using linear classifier probes", arXiv 1610.01644 (linear
    probing).
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np

from deputize.core.artifacts import Leak, MethodPlan, TaskProbe
from deputize.core.deadline import Deadline
from deputize.core.group_order import group_numbers
from deputize.core.records import Task
from deputize.specialists import catalogue
from deputize.specialists.base import ClosedScores, RawPrediction, TextPredictor, choose_each
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.language_model import require_packages
from deputize.specialists.pooled_states import states_model
from deputize.specialists.state_heads import Head, StateHeadPredictor, scores_of
from deputize.specialists.tuned_model import base_digest
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune.encode import MAX_TOKENS
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.fit_heads import HeadExamples, best_strength, fit_heads
from deputize.stages.finetune.frozen_states import KeptStates
from deputize.stages.finetune.methods.base import CrossFittedAnswers, Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.cross_fitting import cross_fit
from deputize.stages.finetune.methods.fine_tuning import not_needed

READING_SHARE = 0.3
"""Of the time left, for the states of train."""
N_RIVALS = (63, 255)
"""Random secrets that each planted one is compared with: at first, and where that leaves open whether it is safe."""
MOST_SECRETS, SECRET_SHARE = 12, 50
"""Most secrets that are planted, and one for so many examples (never fewer than other methods plant). With six, which
penalty passed was a matter of luck: docs/log.md, 2026-11-30."""
CAREFUL = 10**-0.5
"""Factor on the strength of a head that gave planted secrets away; it is fitted at most so many times again:"""
MAX_REFITS = 4


class FrozenMethod:
    """Multinomial logistic regression over pooled hidden states."""

    tunes_base_model = False

    def __init__(self, name: str, cost: int, *, of_base: bool = False) -> None:
        """
        Args:
            name: of the method.
            cost: its rank.
            of_base: read the base model also where the encoder has been fetched.
        """
        self.name, self.cost, self.of_base = name, cost, of_base

    def require(self) -> None:
        require_packages()

    def base_model(self, context: TrainingContext) -> str:
        """The encoder where it has been fetched, else the base model."""
        encoder = context.config.encoder
        reads_encoder = not self.of_base and catalogue.is_fetched(encoder, context.models_dir)
        return encoder if reads_encoder else context.base_model

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """Not worth training where a linear model answers all calls within the loss asked for, nor possible where it
        fits none."""
        return not_needed(probe) or MethodPlan(train=probe.linear_fits)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """None where answers are not closed, or where "frozen" reads the base model already. Where time is short, the
        head learns from a part of train, drawn by the seed."""
        answers = closed(job.schema, partly=True)
        if answers is None or self._is_same(context):
            return None
        fitting = [x for x in job.examples.train if answers.indices(x.answer) is not None]
        if not fitting:
            return None
        began, seed = context.clock(), context.config.seed
        name = self.base_model(context)
        model = states_model(catalogue.model_path(name, context.models_dir))
        planted = planted_secrets.plant_to_choose(
            job.examples.train,
            lambda answer: answers.indices(answer) is not None,
            seed=seed,
            most=max(planted_secrets.MOST, min(MOST_SECRETS, len(fitting) // SECRET_SHARE)),
        )
        random.Random(seed).shuffle(fitting)
        order = [*planted.examples, *fitting]
        read = context.states.of(
            model,
            [x.text for x in order],
            MAX_TOKENS,
            Deadline.after(READING_SHARE * budget_s, context.clock),
            context.progress,
            f"reading {job.name}",
        )
        examples = head_examples(read.states_NS, order[: len(read.states_NS)], answers)
        sizes = [len(question.choices) for question in answers.questions]
        context.progress(f"training {job.name}", 0)
        # the texts that secrets are compared with are the same for each strength
        strength, kept = best_strength(examples, sizes), KeptStates(model, context.states)
        for _ in range(1 + MAX_REFITS):
            predictor = StateHeadPredictor(model, fit_heads(examples, sizes, strength), answers, MAX_TOKENS)
            leak = _leak(HeadsOnKeptStates(kept, predictor.heads, answers), planted, seed)
            if leak is None or not leak.leaks:
                break
            strength *= CAREFUL
        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model=name,
            save=predictor.save,
            train_s=context.clock() - began,
            leak=leak,
            tokens_per_s=read.n_tokens / max(context.clock() - began, 1e-9),
            base_sha256=base_digest(name, context.models_dir),
            hyperparameters={"strength": strength, "n_read": len(examples.targets) - len(planted.examples)},
            count_tokens=model.n_tokens,
        )

    def cross_fit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> CrossFittedAnswers:
        """Of five fits with the same settings."""
        return cross_fit(job, self.refit, context, trained)

    def refit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> TextPredictor | None:
        """Heads of the same strength on a part of train; states that were read are not read again."""
        whole = trained.predictor
        assert isinstance(whole, StateHeadPredictor)
        fitting = [x for x in job.examples.train if whole.answers.indices(x.answer) is not None]
        if not fitting:
            return None
        kept = KeptStates(whole.model, context.states)
        examples = head_examples(kept.of([x.text for x in fitting]), fitting, whole.answers)
        sizes = [len(question.choices) for question in whole.answers.questions]
        heads = fit_heads(examples, sizes, trained.hyperparameters["strength"])
        return HeadsOnKeptStates(kept, heads, whole.answers)

    def _is_same(self, context: TrainingContext) -> bool:
        """True where another planned method fits the same heads on the same states."""
        asked = {"frozen", "auto"} & set(context.config.methods)
        return self.of_base and bool(asked) and FROZEN.base_model(context) == self.base_model(context)


FROZEN = FrozenMethod("frozen", 30)
FROZEN_BASE = FrozenMethod("frozen_base", 38, of_base=True)
"""A further voter beside `frozen`, where that reads the encoder: another model errs on other calls."""


class HeadsOnKeptStates:
    """Predicts closed answers as `StateHeadPredictor` does, from states that are kept."""

    def __init__(self, kept: KeptStates, heads: Sequence[Head], answers: ClosedAnswers) -> None:
        self.kept, self.heads, self.answers = kept, heads, answers

    def scores(self, texts: Sequence[str]) -> ClosedScores:
        """Log-probabilities of the choices of each question."""
        return ClosedScores(scores_of(self.heads, self.kept.of(texts)), [0] * len(texts))

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order."""
        return choose_each(self.answers, self.scores(texts)) if texts else []


def head_examples(
    states_NS: np.ndarray, examples: Sequence[TrainingExample], answers: ClosedAnswers
) -> HeadExamples:
    """Examples of train with their states, for fitting heads."""
    number = group_numbers(x.group for x in examples)
    return HeadExamples(
        states_NS,
        [answers.indices(x.answer) for x in examples],
        np.array([x.weight for x in examples], dtype=np.float64),
        np.array([number[x.group] for x in examples], dtype=np.int64),
    )


def _leak(predictor: HeadsOnKeptStates, planted: planted_secrets.PlantedSecrets, seed: int) -> Leak | None:
    loss = planted_secrets.loss_of_classifier(predictor)
    return planted_secrets.leak_test(planted, loss, n_references=N_RIVALS, seed=seed)
