"""Adapters packed for mixed passes."""

from __future__ import annotations

from pathlib import Path

import torch

from deputize.specialists.adapter_pack import GROUPS, AdapterPlaces, joined, pack_adapter, why_no_pack
from deputize.specialists.language_model import LanguageModel


def test_several_adapters_add_to_each_token_what_its_own_does(tiny: tuple[Path, str]) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    for name, rank in (("a", 4), ("b", 2)):
        base.new_adapter(name, {"r": rank, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]})
        for _, weights in base.adapter_parameters(name):
            weights.data.normal_(std=0.2)
    layers = base.lm.base_model.layers
    packs = [pack_adapter(layers, name) for name in ("a", "b")]
    assert packs[0].layers[0]["down"] is None and set(packs[0].layers[0]) == set(GROUPS)
    x = torch.randn(5, base.width)
    owner = [1, 0, 1, 1, 0]
    with torch.inference_mode():
        both = joined(packs).layers[1]["qkv"]
        assert both is not None
        mixed = AdapterPlaces(owner, 2, "cpu").product(x, both)
        for n, a in enumerate(owner):
            weights = packs[a].layers[1]["qkv"]
            assert weights is not None
            alone = AdapterPlaces([0], 1, "cpu").product(x[n : n + 1], weights)
            assert torch.allclose(mixed[n], alone[0], atol=1e-5)
        module = layers[1].self_attn.q_proj
        expected = module.lora_B["b"](module.lora_A["b"](x[:1])) * module.scaling["b"]
        assert torch.allclose(mixed[:1, : expected.shape[1]], expected, atol=1e-5)
        assert not mixed[0, base.width : base.width + 2].any(), "k_proj has no adapter"


def test_what_does_more_than_add_a_product_is_not_packed(tiny: tuple[Path, str]) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    base.new_adapter("d", {"r": 2, "use_dora": True, "target_modules": ["q_proj"]})
    base.new_adapter("p", {"r": 2, "target_modules": ["q_proj"]})
    layers = base.lm.base_model.layers
    assert "DoRA" in why_no_pack(layers, "d") and not why_no_pack(layers, "p")
