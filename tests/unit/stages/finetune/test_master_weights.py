"""Float32 masters are what is trained; the model gets a copy after each step."""

from __future__ import annotations

from pathlib import Path

from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.master_weights import MasterWeights


def test_small_updates_are_not_lost_in_half_precision(tiny: tuple[Path, str]) -> None:
    import torch

    base = LanguageModel(tiny[0] / tiny[1], "cpu", "bf16")
    mine = MasterWeights(base, "", [], lr=1e-5, head_lr=0.0)
    (_, parameter), master = mine.weights[0], mine.masters[0]
    assert parameter.dtype == torch.bfloat16 and master.dtype == torch.float32
    before, first = master.detach().clone(), mine.snapshot(0)
    for _ in range(20):
        for _, p in mine.weights:
            p.grad = torch.ones_like(p)
        mine.step(1.0)
    moved = (before - master).abs().max()
    assert 1e-4 < float(moved) < 3e-4, "twenty steps of 1e-5"
    assert torch.equal(parameter, master.to(torch.bfloat16))
    mine.restore(first)
    mine.write_back()
    assert torch.equal(master, before) and torch.equal(parameter, before.to(torch.bfloat16))
    mine.freeze()
    assert not any(p.requires_grad for _, p in mine.weights)
