"""Minifinetuning: its correction on a case made by hand, its loss by the formula, and a specialist that it trains."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.stages.finetune.methods.test_fine_tuning import job

from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.encode import EncodedExample, encode_for_decoder
from deputize.stages.finetune.hidden_states import states_of
from deputize.stages.finetune.methods.minifinetuning import (
    MINIFINETUNING,
    CorrectedSelfDistillation,
    corrected,
)
from deputize.stages.finetune.trainer import TrainingSettings, adapter_settings

Tiny = tuple[Path, str]


def test_the_right_token_leads_by_tau_and_the_others_keep_their_proportions() -> None:
    import torch

    p_NV = torch.tensor([[0.1, 0.6, 0.3], [0.7, 0.2, 0.1]])
    found = corrected(p_NV, torch.tensor([0, 0]), 0.25)
    # c = (1 - .25) / (1 - .1 + .6) = .5
    assert torch.allclose(found[0], torch.tensor([0.55, 0.3, 0.15]))
    assert torch.equal(found[1], p_NV[1]), "what leads already is left alone"
    assert torch.allclose(found.sum(1), torch.ones(2))


def rows_of(tiny: Tiny, home: Path) -> tuple[LanguageModel, list[EncodedExample]]:
    made, _ = job(tiny, home)
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    base.new_adapter("x", adapter_settings(base, TrainingSettings()))
    rows = encode_for_decoder(base, made.examples.train[:3], made.schema, 200)
    return base, [row for row in rows if row is not None]


def test_the_loss_is_the_divergence_from_the_corrected_prediction(tiny: Tiny, tmp_path: Path) -> None:
    import torch

    base, rows = rows_of(tiny, tmp_path)
    loss = CorrectedSelfDistillation(base, [], truncate=False, clip_ratio=0.0)
    loss.tau = -10.0
    with torch.no_grad():
        assert float(loss.of_batch(states_of(base, rows), rows)) == pytest.approx(0.0, abs=1e-6), (
            "an adapter that changes nothing is where it should be, where nothing is corrected"
        )
        loss.tau = 0.25
        found = loss.token_losses(states_of(base, rows), rows)
        p_NV = found.logits_NV.softmax(-1)
        by_hand = []
        for p_V, target in zip(p_NV, found.target_N.tolist(), strict=True):
            others = [float(p) for i, p in enumerate(p_V) if i != target]
            scale = min(1.0, 0.75 / (1 - float(p_V[target]) + max(others)))
            target_V = [scale * float(p) for p in p_V]
            target_V[target] = 1 - scale * (1 - float(p_V[target]))
            terms = zip(target_V, p_V.log().tolist(), strict=True)
            by_hand.append(sum(p * (torch.tensor(p).log().item() - lq) for p, lq in terms if p > 0))
    assert loss.training_losses(found, rows).tolist() == pytest.approx(by_hand, abs=1e-5)
    assert max(by_hand) > 0.05


def test_it_writes_answers_of_a_closed_task(tiny: Tiny, tmp_path: Path) -> None:
    made, context = job(tiny, tmp_path)
    trained = MINIFINETUNING.train(made, context, 20.0)
    try:
        assert trained.kind == "decoder" and trained.hyperparameters["history"]
        assert trained.predictor.predict([made.examples.train[0].text])[0].answer in ("yes", "no")
    finally:
        trained.release()
