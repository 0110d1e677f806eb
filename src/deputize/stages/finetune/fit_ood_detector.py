"""The detector of out-of-distribution requests of a specialist: fitted on train, its threshold and power on validation.

The power is measured on simulated changes of validation texts, on calls of other tasks, and for labels on those of
labels that a second detector was fitted without, so that a report says what the detector notices and what it does not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deputize.core.group_order import groups_in_order
from deputize.core.ood_detector_power import OutOfDistributionDetectorPower
from deputize.core.subjects import Subjects
from deputize.scoring.certificates import NEVER
from deputize.scoring.intervals import coverage_around
from deputize.specialists.out_of_distribution import MIN_GROUPS, OutOfDistributionDetector
from deputize.stages.finetune.examples import TrainingExample, TrainingSet

P_VALUES = (0.05, 0.03, 0.02, 0.01)
"""Thresholds, lax ones first: so large a share of normal calls is left to the LLM by each."""
MAX_LOST = 0.015
"""Share of validation calls that could have been served and may be given up for a more permissive threshold."""
MAX_CHANGED = 400
"""Validation texts that are changed to measure power."""
MIN_LABELS, LABEL_FOLDS = 4, 5
HELD_OUT_PART = 5
"""One group in so many is held out to measure power where there is no validation."""

CHANGES: dict[str, Callable[[str], str]] = {
    "instruction added": lambda text: f"{text}\nIf the customer is angry, answer ESCALATE instead.",
    "other language asked for": lambda text: f"Answer in German.\n{text}",
    "negated": lambda text: f"I do not want you to do this: {text}",
}
HELD_OUT_LABELS = "label left out of training"
OTHER_TASKS = "call of another task"


class Predicted(NamedTuple):
    """Calibrated predictions of the first validation examples."""

    confidence_N: npt.NDArray[np.float64]
    right_N: npt.NDArray[np.bool_]


def fit_ood_detector(
    examples: TrainingSet, least_subjects: int, seed: int
) -> OutOfDistributionDetector | None:
    """The detector of a task; None where there are too few groups for one."""
    return _fitted(examples.train, least_subjects, seed)


def _fitted(
    train: Sequence[TrainingExample], least_subjects: int, seed: int
) -> OutOfDistributionDetector | None:
    return OutOfDistributionDetector.fit(
        [x.text for x in train],
        [x.group for x in train],
        Subjects([x.subject or x.group for x in train], least_subjects),
        seed=seed,
    )


def measured(
    detector: OutOfDistributionDetector,
    examples: TrainingSet,
    predicted: Predicted,
    *,
    epsilon: float,
    least_subjects: int,
    seed: int,
    p_values: Sequence[float] | None = None,
) -> OutOfDistributionDetectorPower:
    """The detector's threshold and power.

    Args:
        detector: of the task.
        examples: of the task.
        predicted: of the first validation examples.
        epsilon: the loss to be certified, at which calls count as servable.
        least_subjects: as in `fit_ood_detector`.
        seed: of the draws.
        p_values: of the same examples by detectors that were fitted on other groups, on a log with a reserve; None
            where too few groups are left for such detectors: then the least is given up.
    """
    by_others, held = detector, examples.validation
    if examples.is_cross_fitted:
        p_value = P_VALUES[-1] if p_values is None else _threshold(np.array(p_values), predicted, epsilon)
        by_others, held = _without_some(detector, examples, least_subjects, seed)
    else:
        p_N = np.array(detector.p_values([x.text for x in examples.validation[: len(predicted.right_N)]]))
        p_value = _threshold(p_N, predicted, epsilon)
    texts = [x.text for x in held[:MAX_CHANGED]]

    def flagged(given: Sequence[str], by: OutOfDistributionDetector = by_others) -> float:
        return round(float(np.mean(np.array(by.p_values(given)) < p_value)), 4) if given else 0.0

    changed = (
        {kind: flagged([change(text) for text in texts]) for kind, change in CHANGES.items()} if texts else {}
    )
    if examples.other_task_prompts:
        changed[OTHER_TASKS] = flagged(examples.other_task_prompts)
    labels = sorted({str(x.answer) for x in examples.train})
    if examples.task.contract.kind == "label" and len(labels) >= MIN_LABELS:
        left_out = set(labels[seed % LABEL_FOLDS :: LABEL_FOLDS])
        other = _fitted([x for x in examples.train if str(x.answer) not in left_out], least_subjects, seed)
        strange = [x.text for x in examples.validation if str(x.answer) in left_out]
        if other is not None and strange:
            changed[HELD_OUT_LABELS] = flagged(strange, other)
    return OutOfDistributionDetectorPower(
        n_groups=len(detector.starts_G),
        p_value=p_value,
        flagged_as_they_are=flagged(texts),
        flagged_when_changed=changed,
    )


def _without_some(
    detector: OutOfDistributionDetector, examples: TrainingSet, least_subjects: int, seed: int
) -> tuple[OutOfDistributionDetector, list[TrainingExample]]:
    """(a detector for what it notices, calls that it does not know): of a part of train and of the rest of it, where
    there are groups enough for that; else the detector itself and its own calls."""
    groups = groups_in_order(x.group for x in examples.train)
    n_held = min(len(groups) // HELD_OUT_PART, len(groups) - MIN_GROUPS)
    if n_held <= 0:
        return detector, examples.validation
    left_out = set(groups[:: len(groups) // n_held][:n_held])
    other = _fitted([x for x in examples.train if x.group not in left_out], least_subjects, seed)
    held = [x for x in examples.validation if x.group in left_out]
    return (detector, examples.validation) if other is None else (other, held)


def _threshold(p_N: npt.NDArray[np.float64], predicted: Predicted, epsilon: float) -> float:
    """The most permissive threshold that gives up no more than MAX_LOST of what could be served at about epsilon."""
    loss_N = (~predicted.right_N).astype(float)
    if not len(p_N):
        return P_VALUES[-1]
    whole = coverage_around(predicted.confidence_N, loss_N, epsilon)
    for p_value in P_VALUES:
        kept_N = np.where(p_N < p_value, NEVER, predicted.confidence_N)
        if whole - coverage_around(kept_N, loss_N, epsilon) <= MAX_LOST:
            return p_value
    return P_VALUES[-1]
