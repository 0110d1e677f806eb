"""What a prompt loses when it is too long, and adapters that come and go."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from deputize.core.errors import BadInput
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


def with_first_half(weights: Path) -> None:
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def without_a_layer(weights: Path) -> None:
    from safetensors.torch import load_file, save_file

    save_file(dict(list(load_file(weights).items())[1:]), weights)


@pytest.mark.parametrize("spoil", [with_first_half, without_a_layer, Path.unlink])
@pytest.mark.parametrize("has_another", [False, True])
def test_an_adapter_that_is_not_whole_leaves_nothing_under_its_name(
    tiny: Tiny, tmp_path: Path, spoil: Callable[[Path], None], has_another: bool
) -> None:
    import torch

    settings = {"r": 2, "target_modules": ["q_proj"], "init_lora_weights": False}
    maker = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    for name in ("x", "other"):
        maker.new_adapter(name, settings)
        maker.save_adapter(name, tmp_path / name)
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    ids = torch.tensor([base.ids("the order LH-1")])
    with torch.inference_mode():
        bare = base.decoder(input_ids=ids).last_hidden_state
    if has_another:
        base.load_adapter("other", tmp_path / "other")
    shutil.copytree(tmp_path / "x", tmp_path / "spoilt")
    spoil(tmp_path / "spoilt" / "adapter_model.safetensors")
    with pytest.raises(BadInput, match="holds no adapter"):
        base.load_adapter("x", tmp_path / "spoilt")
    assert not base.adapter_parameters("x")
    with torch.inference_mode(), base.without_adapters():
        assert torch.equal(base.decoder(input_ids=ids).last_hidden_state, bare)
    base.load_adapter("x", tmp_path / "x")
    loaded, made = base.adapter_parameters("x"), maker.adapter_parameters("x")
    assert len(loaded) == len(made) == 4 and all(
        torch.equal(a, b) for (_, a), (_, b) in zip(loaded, made, strict=True)
    )


@pytest.mark.parametrize(("dtype", "depends"), [("fp32", False), ("bf16", True)])
def test_low_precision_depends_on_the_batch(tiny: Tiny, dtype: str, depends: bool) -> None:
    assert LanguageModel(tiny[0] / tiny[1], "cpu", dtype).depends_on_batch is depends
