"""The merged copy of a tuned model says the same as base and adapter."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.core.errors import BadInput
from deputize.specialists.export_forms.tuned_copy import predictor_around
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.tuned_model import ADAPTER_FOLDER, base_folder, merged_model


def test_base_and_adapter_in_one_piece(tiny: tuple[Path, str], tmp_path: Path) -> None:
    import torch

    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder")
    merged, apart = merged_model(stored), LanguageModel(base_folder(stored), "cpu", "fp32")
    ids = torch.tensor(apart.prompt_ids(["the order has not arrived"], 100))
    with torch.inference_mode():
        bare = apart.lm(ids).logits
        apart.load_adapter("x", stored.folder / ADAPTER_FOLDER)
        apart.use("x")
        assert merged.peft is None and torch.allclose(merged.lm(ids).logits, apart.lm(ids).logits, atol=1e-4)
        assert not torch.allclose(bare, merged.lm(ids).logits, atol=1e-2)


def test_a_linear_specialist_has_no_model(tiny: tuple[Path, str], tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "linear")
    with pytest.raises(BadInput, match="no tuned language model"):
        predictor_around(stored, LanguageModel(tiny[0] / tiny[1], "cpu", "fp32"), "", tmp_path)
