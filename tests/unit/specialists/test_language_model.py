"""What a prompt loses when it is too long, and adapters that come and go."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.specialists.language_model import LanguageModel
from deputize.specialists.model_cache import MODELS

Tiny = tuple[Path, str]


def test_a_long_prompt_loses_its_middle_and_keeps_its_frame(tiny: Tiny) -> None:
    base = MODELS.get(tiny[0] / tiny[1])
    (short,) = base.prompt_ids(["hello"], 64)
    (long,) = base.prompt_ids(["first " + "x " * 500 + "last"], 64)
    after = base.ids(base.frame.after)
    assert len(long) == 64 and long[-len(after) :] == short[-len(after) :] == after
    text = base.tokenizer.decode(long)
    assert "first" in text and "last" in text
    assert base.prompt_ids([], 64) == []


def test_adapters_come_and_go_and_the_base_stays_as_it_was(tiny: Tiny) -> None:
    import torch

    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    ids = torch.tensor([base.ids("the order LH-1")])
    with torch.inference_mode():
        before = base.decoder(input_ids=ids).last_hidden_state
    for name in ("one", "two"):
        base.new_adapter(name, {"r": 2, "target_modules": ["q_proj"], "init_lora_weights": False})
    with torch.inference_mode():
        assert not torch.allclose(base.decoder(input_ids=ids).last_hidden_state, before)
    assert base.adapter_parameters("one") and base.active == "two"
    base.drop_adapter("two")
    base.drop_adapter("one")
    base.drop_adapter("never there")
    with torch.inference_mode():
        assert torch.allclose(base.decoder(input_ids=ids).last_hidden_state, before)


@pytest.mark.parametrize(("dtype", "depends"), [("fp32", False), ("bf16", True)])
def test_low_precision_depends_on_the_batch(tiny: Tiny, dtype: str, depends: bool) -> None:
    assert LanguageModel(tiny[0] / tiny[1], "cpu", dtype).depends_on_batch is depends
