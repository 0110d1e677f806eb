"""Token-level distillation: no loss at the teacher, and a sentence where the log holds no log-probabilities."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.stages.finetune.methods.test_fine_tuning import job

from deputize.core.errors import BadInput
from deputize.specialists.closed_answers import closed
from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.encode import encode_for_head
from deputize.stages.finetune.methods.token_distillation import TOKEN_DISTILLATION, SparseDivergence

Tiny = tuple[Path, str]


def test_the_loss_is_zero_at_the_teacher_and_the_divergence_elsewhere(tiny: Tiny, tmp_path: Path) -> None:
    import torch

    made, _ = job(tiny, tmp_path)
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    answers = closed(made.schema)
    assert answers is not None
    example = replace(made.examples.train[0], soft={"yes": 0.7, "no": 0.3})
    (row,) = encode_for_head(base, [example], answers, 200)
    assert row is not None and row.soft is not None
    assert dict(zip(answers.questions[0].choices, row.soft, strict=True)) == pytest.approx(
        {"yes": 0.7, "no": 0.3}
    )
    hidden_BTH = torch.zeros(1, 3, base.width)
    weights_CH = torch.zeros(2, base.width)

    def loss(bias_C: list[float]) -> float:
        heads = [(weights_CH, torch.tensor(bias_C))]
        return float(
            SparseDivergence(base, heads, truncate=False, clip_ratio=0.0).of_batch(hidden_BTH, [row])
        )

    assert loss([math.log(share) for share in row.soft]) == pytest.approx(0.0, abs=1e-6)
    even = row.weight * sum(share * math.log(share / 0.5) for share in row.soft)
    assert loss([0.0, 0.0]) == pytest.approx(even, rel=1e-5)


def test_a_log_without_log_probabilities_is_refused_with_their_number(tiny: Tiny, tmp_path: Path) -> None:
    made, context = job(tiny, tmp_path)
    with pytest.raises(BadInput, match=r"0 replies of train come with log-probabilities, and 16 are needed"):
        TOKEN_DISTILLATION.train(made, context, 20.0)
