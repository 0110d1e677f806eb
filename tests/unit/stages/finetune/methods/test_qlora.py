"""QLoRA where it cannot run: a sentence with the line to install, before anything is loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tests import tiny_model

from deputize.core.errors import MissingExtra
from deputize.specialists.catalogue import model_path
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.model_cache import MODELS
from deputize.stages.finetune.methods.qlora import QLORA
from deputize.stages.finetune.trainer import TrainingSettings


@pytest.mark.usefixtures("without_bitsandbytes")
def test_without_its_package_it_says_what_to_install(tmp_path: Path) -> None:
    for ask in (QLORA.require, lambda: QLORA.load_base(tmp_path)):
        with pytest.raises(MissingExtra, match=r"deputize\[qlora\]"):
            ask()


@pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None,
    reason="bitsandbytes is not installed (pip install 'deputize[qlora]')",
)
def test_gradients_reach_the_adapter_of_a_base_in_four_bits(tmp_path: Path) -> None:
    import torch

    base = QLORA.load_base(tiny_model.make(tmp_path / "m", width=64))
    assert {type(m).__name__ for m in base.decoder.modules() if isinstance(m, torch.nn.Linear)} == {
        "Linear4bit"
    }
    base.new_adapter("x", QLORA.adapter_settings(base, TrainingSettings()))
    ids_1T = torch.tensor(base.prompt_ids(["the order has not arrived"], 100)).to(base.device)
    base.lm(ids_1T, labels=ids_1T).loss.backward()
    grads = [p.grad for name, p in base.adapter_parameters("x") if "lora_B" in name]
    assert grads and all(grad is not None and float(grad.abs().sum()) > 0 for grad in grads)


def test_the_adapter_moves_from_the_model_it_was_trained_on_to_the_shared_one(
    tiny: tuple[Path, str], tmp_path: Path
) -> None:
    import torch

    path = model_path(tiny[1], tiny[0])
    trained, shared = LanguageModel(path, "cpu", "bf16"), MODELS.get(path)
    trained.new_adapter("moved", QLORA.adapter_settings(trained, TrainingSettings()))
    for _, weights in trained.adapter_parameters("moved"):
        weights.data.normal_(generator=torch.Generator().manual_seed(0))
    assert QLORA.serving_model(trained, "moved", path) is shared
    try:
        pairs = zip(trained.adapter_parameters("moved"), shared.adapter_parameters("moved"), strict=True)
        for (name, one), (other_name, other) in pairs:
            assert name == other_name and torch.equal(one.float(), other.float())
    finally:
        shared.drop_adapter("moved")
