"""The adapter of rslora."""

from __future__ import annotations

from pathlib import Path

from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.methods.rslora import RSLORA
from deputize.stages.finetune.trainer import TrainingSettings


def test_the_update_is_scaled_by_the_root_of_the_rank(tiny: tuple[Path, str]) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    base.new_adapter("x", RSLORA.adapter_settings(base, TrainingSettings()))
    layer = next(m for m in base.lm.modules() if hasattr(m, "lora_A"))
    rank = layer.r["x"]
    assert rank == 48, "64, or the width of a smaller model"
    assert abs(layer.scaling["x"] - 16 / rank**0.5) < 1e-9
