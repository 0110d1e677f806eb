"""A checkpoint brings back weights, optimiser and counters, or nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.checkpoint import Checkpoint
from deputize.stages.finetune.master_weights import MasterWeights


@pytest.fixture
def base(tiny: tuple[Path, str]) -> LanguageModel:
    return LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")


def weights(base: LanguageModel) -> MasterWeights:
    import torch

    head: list[tuple[Any, Any]] = [(torch.zeros(2, base.width), torch.zeros(2))]
    return MasterWeights(base, "", head, lr=1e-2, head_lr=1e-2)


def train(mine: MasterWeights, n: int) -> None:
    import torch

    torch.manual_seed(n)
    for _ in range(n):
        for _, parameter in mine.weights:
            parameter.grad = torch.randn_like(parameter)
        for part in mine.head_parts:
            part.grad = torch.randn_like(part)
        mine.step(1.0)


def test_what_goes_on_from_a_checkpoint_goes_on_as_if_never_stopped(
    base: LanguageModel, tmp_path: Path
) -> None:
    import torch

    mine, checkpoint = weights(base), Checkpoint(tmp_path / "c", "f")
    train(mine, 2)
    checkpoint.save(mine, mine.snapshot(1), {"step": 2})
    train(mine, 3)
    after = [p.detach().clone() for p in mine.parts]
    other = weights(base)
    found = checkpoint.load(other, "cpu")
    assert found is not None and found.counters == {"step": 2} and found.best is not None
    assert found.best.epoch == 1 and torch.equal(found.best.masters[0], other.masters[0])
    train(other, 3)
    for one, two in zip(other.parts, after, strict=True):
        torch.testing.assert_close(one.detach(), two)
    assert [p.name for p in tmp_path.iterdir()] == ["c"]


def test_one_of_another_training_or_a_broken_one_is_not_resumed(base: LanguageModel, tmp_path: Path) -> None:
    mine, checkpoint = weights(base), Checkpoint(tmp_path / "c", "f")
    assert checkpoint.load(mine, "cpu") is None
    checkpoint.save(mine, None, {})
    assert checkpoint.load(mine, "cpu") is not None
    assert Checkpoint(tmp_path / "c", "other").load(mine, "cpu") is None
    (tmp_path / "c" / "state.safetensors").write_bytes(b"cut")
    assert checkpoint.load(mine, "cpu") is None
