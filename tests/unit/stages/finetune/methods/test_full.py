"""Full fine-tuning works on a copy of its own and rounds what it stores."""

from __future__ import annotations

from pathlib import Path

from deputize.specialists.catalogue import model_path
from deputize.specialists.model_cache import MODELS
from deputize.stages.finetune.methods.full import FULL
from deputize.stages.finetune.methods.lora import LORA


def test_the_shared_model_is_not_touched_and_what_is_stored_is_what_was_measured(
    tiny: tuple[Path, str], tmp_path: Path
) -> None:
    import torch
    from safetensors.torch import load_file

    path = model_path(tiny[1], tiny[0])
    base = FULL.load_base(path)
    assert base is not MODELS.get(path) and LORA.load_base(path) is MODELS.get(path)
    assert FULL.serving_model(base, "", path) is base
    FULL.save_weights(base, "", tmp_path)
    stored = load_file(tmp_path / "weights" / "model.safetensors")
    assert stored and all(t.dtype == torch.bfloat16 for t in stored.values())
    assert (tmp_path / "weights" / "tokenizer.json").is_file()
    assert FULL.learning_rate < LORA.learning_rate
