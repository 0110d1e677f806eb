"""From a trained specialist in memory to its folder: calibration on validation or by cross-fitting, out-of-distribution
detector, card."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from deputize.core.artifacts import Specialist
from deputize.core.config import Convert
from deputize.core.contracts import agree
from deputize.core.ood_detector_power import OutOfDistributionDetectorPower
from deputize.core.records import Request
from deputize.core.subjects import Subjects
from deputize.scoring.certificates import NEVER
from deputize.scoring.intervals import coverage_around
from deputize.specialists import catalogue
from deputize.specialists.base import RawPrediction, TextPredictor
from deputize.specialists.confidence import ConfidenceCalibration, fit_calibration
from deputize.specialists.predictor import KnowsForms, WritesFreeSlots
from deputize.specialists.specialist_card import OUT_OF_DISTRIBUTION_FILE, PredictorSettings, write_card
from deputize.stages.finetune.encode import MAX_TOKENS
from deputize.stages.finetune.examples import TrainingSet
from deputize.stages.finetune.fit_ood_detector import Predicted, fit_ood_detector, measured
from deputize.stages.finetune.methods.base import (
    CrossFits,
    CrossFittedAnswers,
    Trained,
    TrainingContext,
    TrainingJob,
)
from deputize.stages.finetune.methods.cross_fitting import recorded

MAX_VALIDATION = 500
"""Validation examples that are predicted for calibration."""
MAX_COUNTED = 48
"""Validation examples whose tokens are counted."""
MIN_COVERAGE = 20
"""Predictions of validation below which the share that could be served is not told."""
CERTIFIABLE = 0.5
"""Part of epsilon that may show on calibration for a claim of epsilon to pass, about: 20 errors of 1,500 for .02,
none of
160."""


def package(trained: Trained, job: TrainingJob, context: TrainingContext) -> Specialist:
    """Calibrates a trained specialist, writes its folder whole or not at all, and gives its card."""
    context.progress(f"calibrating {job.name}", 0)
    _know_forms(trained, job.examples, context.config)
    fresh = _fresh(job.folder)
    trained.save(fresh)
    answers = _cross_fitted(job, context, trained)
    calibration, predicted = _calibrate(trained, job.examples, answers)
    detector = _make_detector(job.examples, predicted, context.config, fresh, answers)
    settings = PredictorSettings(
        schema=job.schema,
        calibration=calibration,
        out_of_distribution_p=detector.p_value if detector is not None else 0.0,
        max_tokens=MAX_TOKENS,
        max_slot_tokens=trained.max_slot_tokens,
        training={**trained.hyperparameters, "fingerprint": job.fingerprint},
    )
    before, after = _prompt_tokens(trained.count_tokens, job.examples)
    specialist = Specialist(
        id=f"{job.task.id}-{job.method.name}",
        task_id=job.task.id,
        method=job.method.name,
        model=trained.model,
        kind=trained.kind,
        contract=job.task.contract,
        task=job.task,
        n_train=len(job.examples.train),
        train_s=round(trained.train_s, 2),
        cost=job.method.cost,
        is_fast=trained.is_fast,
        tokens_per_s=None if trained.tokens_per_s is None else round(trained.tokens_per_s, 1),
        teacher_usd=round(trained.teacher_usd, 6),
        prompt_tokens_before=before,
        prompt_tokens_after=after,
        validation_accuracy=float(predicted.right_N.mean()) if len(predicted.right_N) else None,
        validation_coverage=servable_share(predicted, context.config.epsilon),
        seed=context.config.seed,
        base_sha256=trained.base_sha256,
        checksums=_checksums(fresh),
        settings=msgspec.to_builtins(settings),
        path=_relative(job.folder, context.home),
        trained_on=job.trained_on,
        leak=trained.leak,
        ood_detector=detector,
    )
    if answers is not None:
        context.answers[specialist.id] = answers
        context.cross_fitted[specialist.id] = recorded(
            answers, job.examples.validation, job.task.contract, calibration, settings.out_of_distribution_p
        )
    write_card(fresh, specialist)
    shutil.rmtree(job.folder, ignore_errors=True)
    fresh.rename(job.folder)
    if trained.checkpoint is not None:
        shutil.rmtree(trained.checkpoint, ignore_errors=True)
    return specialist


def _checksums(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): catalogue.sha256_of(path) for path in files}


def _know_forms(trained: Trained, examples: TrainingSet, config: Convert) -> None:
    """Has a specialist that writes learn the forms of its values, before it is calibrated and saved."""
    if isinstance(trained.predictor, KnowsForms):
        train = examples.train
        subjects = Subjects([x.subject for x in train], config.min_origins)
        trained.predictor.know_forms([x.text for x in train], [x.answer for x in train], subjects)


def _fresh(folder: Path) -> Path:
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    return fresh


def _cross_fitted(job: TrainingJob, context: TrainingContext, trained: Trained) -> CrossFittedAnswers | None:
    """The answers that the specialist is calibrated by on a log with a reserve; None where it is by validation."""
    if not job.examples.is_cross_fitted:
        return None
    assert isinstance(job.method, CrossFits)
    return job.method.cross_fit(job, context, trained)


def _make_detector(
    examples: TrainingSet,
    predicted: Predicted,
    config: Convert,
    folder: Path,
    answers: CrossFittedAnswers | None,
) -> OutOfDistributionDetectorPower | None:
    """Writes the detector of out-of-distribution requests; its power, or None where there is none."""
    detector = fit_ood_detector(examples, config.min_origins, config.seed)
    if detector is None:
        return None
    with (folder / OUT_OF_DISTRIBUTION_FILE).open("wb") as out:
        np.savez_compressed(out, allow_pickle=False, **detector.arrays())
    return measured(
        detector,
        examples,
        predicted,
        epsilon=config.epsilon,
        least_subjects=config.min_origins,
        seed=config.seed,
        p_values=None if answers is None else answers.p_values,
    )


def _calibrate(
    trained: Trained, examples: TrainingSet, answers: CrossFittedAnswers | None
) -> tuple[ConfidenceCalibration, Predicted]:
    """The calibration, and the calibrated predictions that it was made from."""
    if answers is not None:
        predictions = answers.predictions
    else:
        texts = [x.text for x in examples.validation[:MAX_VALIDATION]]
        predictions = predict_within(trained.predictor, texts, trained.validation_s)
    truth = examples.validation[: len(predictions)]
    right = [
        agree(p.answer, x.answer, examples.task.contract) for p, x in zip(predictions, truth, strict=True)
    ]
    answered = [
        (p.raw_confidence, ok) for p, ok in zip(predictions, right, strict=True) if p.answer is not None
    ]
    calibration = fit_calibration([raw for raw, _ in answered], [ok for _, ok in answered])
    confidence = [
        NEVER if p.answer is None else calibration.confidence(p.raw_confidence) for p in predictions
    ]
    return calibration, Predicted(np.array(confidence, dtype=float), np.array(right, dtype=bool))


def servable_share(predicted: Predicted, epsilon: float) -> float | None:
    """Share of validation that could be served where a claim of epsilon is tested; None where too little was predicted."""
    if len(predicted.right_N) < MIN_COVERAGE:
        return None
    return coverage_around(predicted.confidence_N, ~predicted.right_N, CERTIFIABLE * epsilon)


def predict_within(predictor: TextPredictor, texts: Sequence[str], seconds: float) -> list[RawPrediction]:
    """Predictions of the first texts, as many as are likely to fit into a time; the first eight always.

    Text that is not compared is not written.
    """
    shorter = predictor.without_free_slots() if isinstance(predictor, WritesFreeSlots) else predictor
    began, out, size = time.monotonic(), list[RawPrediction](), 8
    while size > 0 and len(out) < len(texts):
        out += shorter.predict(texts[len(out) : len(out) + size])
        spent_s = time.monotonic() - began
        size = int(min(32, (seconds - spent_s) * len(out) / max(spent_s, 1e-6)))
    return out


def _prompt_tokens(
    count: Callable[[str], int] | None, examples: TrainingSet
) -> tuple[float | None, float | None]:
    """Mean tokens of whole and of pruned prompts; None where they cannot be counted."""
    if count is None or not examples.validation_examples:
        return None, None
    whole = [count(_whole(e.request)) for e in examples.validation_examples[:MAX_COUNTED]]
    pruned = [count(x.text) for x in examples.validation[:MAX_COUNTED]]
    return round(float(np.mean(whole)), 1), round(float(np.mean(pruned)), 1) if pruned else None


def _relative(folder: Path, home: Path) -> str:
    try:
        return str(folder.resolve().relative_to(home.resolve()))
    except ValueError:
        return str(folder.resolve())


def _whole(request: Request) -> str:
    """A request as one text, to count what the LLM had to read."""
    parts = [str(m.get("content") or "") + json.dumps(m.get("tool_calls") or "") for m in request.messages]
    return "\n".join([*parts, json.dumps(request.tools) if request.tools else ""])
