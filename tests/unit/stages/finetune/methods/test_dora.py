"""The adapter of dora."""

from __future__ import annotations

from pathlib import Path

from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.methods.dora import DORA
from deputize.stages.finetune.trainer import TrainingSettings


def test_its_adapter_has_the_weights_of_the_method_in_the_upper_layers(tiny: tuple[Path, str]) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    base.new_adapter("x", DORA.adapter_settings(base, TrainingSettings(layers=0.5)))
    names = [name for name, _ in base.adapter_parameters("x")]
    kinds = {part for name in names for part in name.split(".") if part.startswith("lora_")}
    assert kinds == {"lora_A", "lora_B", "lora_magnitude_vector"}
    assert names and all(".1." in name for name in names), "of two layers the upper one"
