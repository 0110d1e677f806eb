"""The linear method: linear classifiers over hashed n-grams, with values copied out of the prompt where answers hold
any."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from deputize.core.artifacts import Leak, MethodPlan, TaskProbe
from deputize.core.errors import DeputizeError
from deputize.core.records import Answer, Task
from deputize.core.subjects import Subjects
from deputize.specialists import catalogue
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.base import TextPredictor
from deputize.specialists.linear_model import CAREFUL, LinearPredictor, LinearSettings
from deputize.specialists.pointer_predictor import PointerPredictor, fit_linear_predictor
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.methods.base import CrossFittedAnswers, Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.cross_fitting import cross_fit

N_RIVALS: dict[str, tuple[int, int]] = {"linear": (255, 4095), "pointer": (63, 255)}
"""Random secrets that each planted one is compared with, by kind: at first, and where that leaves open whether it is
safe."""


class FitLinear(Protocol):
    """Makes a linear predictor, as `fit_linear_predictor`."""

    def __call__(
        self,
        schema: AnswerSchema,
        texts: Sequence[str],
        answers: Sequence[Answer],
        *,
        groups: Sequence[str] | None,
        weights: Sequence[float] | None,
        variant: LinearSettings | None,
        subjects: Subjects | None,
    ) -> LinearPredictor | PointerPredictor | None: ...


class LinearMethod:
    """Trains in seconds, answers in microseconds."""

    name, cost, tunes_base_model = "linear", 10, False

    def base_model(self, context: TrainingContext) -> str:
        """None: ""."""
        return ""

    def require(self) -> None:
        """Nothing: it needs only the base installation."""

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """Worth training wherever the linear model can express the answers."""
        return MethodPlan(train=probe.linear_fits)

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """None where there is nothing that a linear model could choose or copy."""
        if all(job.schema.segments(x.answer) is None for x in job.examples.train):
            return None
        began = context.clock()
        config = context.config
        chosen = LinearSettings(*job.linear_settings) if job.linear_settings is not None else None
        found = fit_without_leak(
            job.examples.train,
            job.schema,
            config.seed,
            tuple(dict.fromkeys((chosen, CAREFUL))),
            min_origins=config.min_origins,
        )
        if found is None:
            return None
        predictor, leak = found
        copies = ", values copied" if isinstance(predictor, PointerPredictor) else ""
        return Trained(
            predictor=predictor,
            kind=predictor.kind,
            model=f"tf-idf + linear classifier{copies}",
            save=predictor.save,
            train_s=context.clock() - began,
            is_fast=True,
            leak=leak,
            count_tokens=token_counter(context.base_model, context.models_dir),
        )

    def cross_fit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> CrossFittedAnswers:
        """Of five fits with the same settings."""
        return cross_fit(job, self.refit, context, trained)

    def refit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> TextPredictor | None:
        """The same fit on a part of train."""
        whole = trained.predictor
        assert isinstance(whole, LinearPredictor | PointerPredictor)
        return refit_on_train(fit_linear_predictor, whole, job, context)


LINEAR = LinearMethod()


def fit_without_leak(
    examples: Sequence[TrainingExample],
    schema: AnswerSchema,
    seed: int,
    variants: Sequence[LinearSettings | None] = (None, CAREFUL),
    *,
    min_origins: int = 1,
    fit: FitLinear = fit_linear_predictor,
) -> tuple[LinearPredictor | PointerPredictor, Leak | None] | None:
    """A linear predictor and its leak test: of the first variant that keeps its planted secrets, else of the last.

    Args:
        examples: train.
        schema: of the answers.
        seed: of the planted secrets.
        variants: from what is best for the answers to what remembers least; None: chosen by cross-validation over
            groups.
        min_origins: data subjects that must share a feature.
        fit: makes the predictor.

    Returns:
        None where there is nothing a linear model could choose from.
    """
    planted = planted_secrets.plant_to_choose(
        examples, lambda answer: schema.segments(answer) is not None, seed=seed
    )
    train = [*examples, *planted.examples]
    found = None
    for variant in variants:
        predictor = fit_on(train, fit, schema, variant, min_origins)
        if predictor is None:
            return None
        leak = planted_secrets.leak_test(
            planted,
            planted_secrets.loss_of_classifier(predictor),
            n_references=N_RIVALS[predictor.kind],
            seed=seed,
        )
        found = predictor, leak
        if leak is None or not leak.leaks:
            break
    return found


def refit_on_train(
    fit: FitLinear, whole: LinearPredictor | PointerPredictor, job: TrainingJob, context: TrainingContext
) -> LinearPredictor | PointerPredictor | None:
    """A predictor of a job's train with the settings of one that was fitted before."""
    variant = whole.model.variant if whole.model is not None else None
    return fit_on(job.examples.train, fit, job.schema, variant, context.config.min_origins)


def fit_on(
    examples: Sequence[TrainingExample],
    fit: FitLinear,
    schema: AnswerSchema,
    variant: LinearSettings | None,
    min_origins: int,
) -> LinearPredictor | PointerPredictor | None:
    """The predictor that `fit` makes of examples; None where there is nothing a linear model could choose from."""
    return fit(
        schema,
        [x.text for x in examples],
        [x.answer for x in examples],
        groups=[x.group for x in examples],
        weights=[x.weight for x in examples],
        variant=variant,
        subjects=Subjects([x.subject for x in examples], min_origins),
    )


def token_counter(base_model: str, models_dir: Path) -> Callable[[str], int] | None:
    """Counts tokens of the base model without loading it; None where it is not fetched."""
    try:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(catalogue.model_path(base_model, models_dir) / "tokenizer.json"))
    except (ImportError, DeputizeError):
        return None
    return lambda text: len(tokenizer.encode(text, add_special_tokens=False).ids)
