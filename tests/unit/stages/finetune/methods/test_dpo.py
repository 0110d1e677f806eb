"""DPO: training steps raise the lead of good answers over bad ones; without pairs it says how many there are."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.stages.finetune.methods.test_fine_tuning import job

from deputize.core.errors import BadInput
from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.encode import encode_for_decoder
from deputize.stages.finetune.hidden_states import states_of
from deputize.stages.finetune.methods.dpo import DPO, PreferenceLoss
from deputize.stages.finetune.trainer import TrainingSettings, adapter_settings, answer_loss

Tiny = tuple[Path, str]


def test_steps_raise_the_lead_of_the_good_answer(tiny: Tiny, tmp_path: Path) -> None:
    import torch

    made, _ = job(tiny, tmp_path)
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    torch.manual_seed(0)
    base.new_adapter("x", adapter_settings(base, TrainingSettings()))
    pairs = [replace(x, rejected="no" if x.answer == "yes" else "yes") for x in made.examples.train[:6]]
    rows = [r for r in encode_for_decoder(base, pairs, made.schema, 200) if r is not None]
    assert all(row.rejected is not None and row.rejected.ids != row.ids for row in rows)
    loss = PreferenceLoss(base, [], truncate=False, clip_ratio=0.0)
    assert loss.of_pairs(rows).tolist() == pytest.approx([math.log(2)] * len(rows)), (
        "nothing is preferred yet"
    )
    plain = answer_loss(base, [], TrainingSettings(clip_ratio=0.0))
    both, alone = (x.of_batch(states_of(base, rows), rows) for x in (loss, plain))
    assert float((both - alone).detach()) == pytest.approx(
        math.log(2) * sum(r.weight for r in rows), rel=1e-4
    )
    weights = [p.requires_grad_(True) for _, p in base.adapter_parameters("x")]
    steps = torch.optim.Adam(weights, lr=1e-2)
    for _ in range(5):
        steps.zero_grad()
        loss.of_pairs(rows).sum().backward()
        steps.step()
    assert float(loss.leads(rows).detach().mean()) > 0.5


def test_a_log_without_pairs_is_refused_with_their_number(tiny: Tiny, tmp_path: Path) -> None:
    made, context = job(tiny, tmp_path)
    with pytest.raises(BadInput, match=r"holds 0 pairs .* 8 are needed"):
        DPO.train(made, context, 20.0)
