"""Hard examples: those that a cheap model of other groups gets wrong, which training may count for more.

An example may be hard because it is rare, or because its answer is wrong; which of both it is only validation tells.

References:
    Shrivastava, Gupta, Girshick, "Training region-based object detectors with online hard example mining", CVPR 2016
    (the idea; here mined once, by cross-validation, and weighed instead of drawn).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from zlib import crc32

from deputize.core.contracts import agree
from deputize.core.records import Contract
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.linear_model import CAREFUL, LinearSettings
from deputize.specialists.pointer_predictor import fit_linear_predictor
from deputize.stages.finetune.examples import TrainingExample

FOLDS = 3
FACTOR = 2.0
"""By how much a hard example counts for more than another one."""
MOST = 0.5
"""Share of train beyond which a task is hard as a whole, and nothing is mined."""
LEAST = 3
"""Hard examples below which weights would change nothing."""


def hard_examples(
    examples: Sequence[TrainingExample],
    schema: AnswerSchema,
    contract: Contract,
    *,
    min_origins: int,
    variant: LinearSettings | None = None,
) -> list[int] | None:
    """Places of the examples that a linear model of the other groups gets wrong; None where it cannot say.

    Args:
        examples: train.
        schema: of the answers; one that it cannot express is not looked at.
        contract: says when two answers agree.
        min_origins: data subjects that must share a feature of the models.
        variant: of the linear models.
    """
    able = [n for n, x in enumerate(examples) if schema.segments(x.answer) is not None]
    fold_of = {n: crc32(examples[n].group.encode()) % FOLDS for n in able}
    hard: list[int] = []
    for fold in range(FOLDS):
        mine, others = ([n for n in able if (fold_of[n] == fold) == own] for own in (True, False))
        if not mine or not others:
            return None
        rest = [examples[n] for n in others]
        model = fit_linear_predictor(
            schema,
            [x.text for x in rest],
            [x.answer for x in rest],
            groups=[x.group for x in rest],
            weights=[x.weight for x in rest],
            variant=variant or CAREFUL,
            subjects=Subjects([x.subject for x in rest], min_origins),
        )
        if model is None:
            return None
        found = model.predict([examples[n].text for n in mine])
        hard += [
            n
            for n, one in zip(mine, found, strict=True)
            if not agree(one.answer, examples[n].answer, contract)
        ]
    return sorted(hard) if LEAST <= len(hard) <= MOST * len(able) else None


def weighed_up(examples: Sequence[TrainingExample], hard: Sequence[int]) -> list[TrainingExample]:
    """The examples, hard ones counting FACTOR times as much; all weights together stay what they were."""
    chosen = set(hard)
    raw = [x.weight * (FACTOR if n in chosen else 1.0) for n, x in enumerate(examples)]
    scale = sum(x.weight for x in examples) / sum(raw)
    return [replace(x, weight=w * scale) for x, w in zip(examples, raw, strict=True)]
