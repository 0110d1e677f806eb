"""Cross-fitting on train: every logged call of it answered by a specialist that was fitted on the calls of other
groups.

On a small log nothing is held out for validation: that would be missing in calibration, where a dozen more groups
decide whether there is a certificate at all. The settings of the method are those chosen for all of train, and the
specialist that is tested for leaks, calibrated and served is the one fitted on all of train. Those fitted here are
forgotten.

References:
    Stone, "Cross-validatory choice and assessment of statistical predictions", JRSS B 36, 1974; Chernozhukov et al.,
    "Double/debiased machine learning", The Econometrics Journal 21, 2018 (cross-fitting).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from deputize.core.artifacts import CrossFitted
from deputize.core.contracts import DEFER, action_of, agree, served_message
from deputize.core.group_order import group_numbers
from deputize.core.records import Answer, Contract
from deputize.specialists.base import ClosedPredictor, ClosedScores, RawPrediction, TextPredictor
from deputize.specialists.confidence import ConfidenceCalibration, RawConfidence
from deputize.stages.finetune.examples import TrainingExample, TrainingSet
from deputize.stages.finetune.fit_ood_detector import fit_ood_detector
from deputize.stages.finetune.methods.base import (
    CrossFittedAnswers,
    Trained,
    TrainingContext,
    TrainingJob,
)

N_FOLDS = 5
"""Parts of train, by group."""
NO_ANSWER = RawPrediction(None, RawConfidence(0.0, 0.0, 0.0))


def folds_of(examples: TrainingSet) -> npt.NDArray[np.int64]:
    """The part that each of `examples.validation` is answered in; calls of a group are in one part."""
    number = group_numbers(x.group for x in examples.validation)
    return np.array([number[x.group] % N_FOLDS for x in examples.validation], dtype=np.int64)


Refit = Callable[[TrainingJob, TrainingContext, Trained], TextPredictor | None]
"""Fits a method with the settings of a specialist on another part of train; None where nothing can be fitted on it."""


def cross_fit(
    job: TrainingJob, refit: Refit, context: TrainingContext, trained: Trained
) -> CrossFittedAnswers:
    """The answers of a method that was trained on all of train, each by a model fitted on four of five parts.

    Args:
        job: of the training.
        refit: fits again; without a leak test, since nothing of it is kept.
        context: of the run.
        trained: the specialist, for its settings.
    """
    examples = job.examples
    fold_N, n = folds_of(examples), len(examples.validation)
    predictions, p_values = [NO_ANSWER] * n, [1.0] * n
    parts: list[tuple[list[int], ClosedScores | None]] = []
    has_detector = n > 0
    for fold in range(N_FOLDS):
        held = np.flatnonzero(fold_N == fold).tolist()
        if not held:
            continue
        context.progress(f"cross-fitting {job.name}", fold, N_FOLDS)
        rest = _without(examples, {examples.validation[i].group for i in held})
        texts = [examples.validation[i].text for i in held]
        predictor = refit(replace(job, examples=rest), context, trained) if rest.train else None
        said = predictor.predict(texts) if predictor is not None else [NO_ANSWER] * len(held)
        parts.append((held, predictor.scores(texts) if isinstance(predictor, ClosedPredictor) else None))
        detector = fit_ood_detector(rest, context.config.min_origins, context.config.seed)
        has_detector &= detector is not None
        p_fold = detector.p_values(texts) if detector is not None else [1.0] * len(held)
        for i, prediction, p in zip(held, said, p_fold, strict=True):
            predictions[i], p_values[i] = prediction, p
    return CrossFittedAnswers(predictions, p_values if has_detector else None, _joined(parts, n))


def _without(examples: TrainingSet, groups: set[str]) -> TrainingSet:
    """The training set without some groups, and with nothing to choose by."""
    return replace(
        examples,
        train=[x for x in examples.train if x.group not in groups],
        repeats=[x for x in examples.repeats if x.group not in groups],
        validation=[],
        validation_examples=[],
    )


def _joined(parts: Sequence[tuple[list[int], ClosedScores | None]], n: int) -> ClosedScores | None:
    """The scores of all parts in the order of the calls."""
    found = [(held, scores) for held, scores in parts if scores is not None]
    if not found or len(found) < len(parts):
        return None
    log_ps = []
    for q, first in enumerate(found[0][1].log_ps):
        whole_NC = np.zeros((n, first.shape[1]), np.float32)
        for held, scores in found:
            whole_NC[held] = scores.log_ps[q]
        log_ps.append(whole_NC)
    n_tokens = [0] * n
    for held, scores in found:
        for i, tokens in zip(held, scores.n_prompt_tokens, strict=True):
            n_tokens[i] = tokens
    return ClosedScores(log_ps, n_tokens)


def recorded(
    answers: CrossFittedAnswers,
    rows: Sequence[TrainingExample],
    contract: Contract,
    calibration: ConfidenceCalibration,
    least_p: float,
) -> CrossFitted:
    """The answers as the evaluation reads them.

    Args:
        answers: to the calls.
        rows: the calls.
        contract: of the task.
        calibration: of the specialist.
        least_p: p-value below which its detector leaves a request to the LLM.
    """
    unlike = [p < least_p for p in answers.p_values or [1.0] * len(rows)]
    said = [one.answer for one in answers.predictions]
    right = [agree(answer, x.answer, contract) for answer, x in zip(said, rows, strict=True)]
    return CrossFitted(
        call_ids=[x.call_id for x in rows],
        confidence=[
            calibration.confidence(one.raw_confidence)
            if _is_served(one.answer, contract) and not out
            else 0.0
            for one, out in zip(answers.predictions, unlike, strict=True)
        ],
        right=right,
        right_action=[
            answer is not None and action_of(answer) == action_of(x.answer)
            for answer, x in zip(said, rows, strict=True)
        ]
        if contract.kind == "tool_call"
        else right,
        unlike=unlike,
    )


def _is_served(answer: Answer | None, contract: Contract) -> bool:
    """True where the gateway would serve the answer, were it confident enough."""
    if answer is None or (contract.may_defer and answer == DEFER):
        return False
    return served_message(answer, contract, iter(str, None)) is not None
