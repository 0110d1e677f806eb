"""LoRA adapters packed for reading tokens of several adapters in one pass: two batched products for each group of
projections.

Legend: A adapters, M tokens of the adapter that has most, N tokens of a pass, I inputs, O outputs, R ranks of a group.

References:
    Hu et al., "LoRA", arXiv 2106.09685; Chen et al., "Punica: multi-tenant LoRA serving", arXiv 2310.18547.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deputize.specialists.torch_runtime import torch_module

GROUPS = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "o": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}
"""Projections that read the same input."""


class AdapterPack:
    """The weights of one or several adapters, by layer and group: down [A, I, R] and up [A, R, O], None where nothing
    is changed."""

    def __init__(self, layers: list[dict[str, tuple[Any, Any] | None]]) -> None:
        self.layers = layers


def why_no_pack(layers: Sequence[Any], name: str) -> str:
    """Why an adapter cannot be packed; "" where it can."""
    for layer in layers:
        for group in GROUPS.values():
            for path in group:
                module = layer.get_submodule(path)
                if name not in getattr(module, "lora_A", {}):
                    continue
                if name in getattr(module, "lora_variant", {}) or getattr(module, "use_dora", {}).get(name):
                    return "it does more than add a product (DoRA)"
                if getattr(module, "lora_bias", {}).get(name):
                    return "it has a bias"
    return ""


def pack_adapter(layers: Sequence[Any], name: str) -> AdapterPack:
    """A loaded adapter of a model's layers, as its weights are now.

    Args:
        layers: decoder layers, wrapped by peft.
        name: of the adapter.
    """
    return AdapterPack(
        [{group: _packed(layer, paths, name) for group, paths in GROUPS.items()} for layer in layers]
    )


def random_pack(layers: Sequence[Any], rank: int, seed: int) -> AdapterPack:
    """An adapter of small random weights for all projections, to try the arithmetic with; rank is that of a group."""
    torch = torch_module()
    random = torch.Generator().manual_seed(seed)

    def weights(like_OI: Any, *shape: int) -> Any:
        return (0.05 * torch.randn(1, *shape, generator=random)).to(
            device=like_OI.device, dtype=like_OI.dtype
        )

    packed: list[dict[str, tuple[Any, Any] | None]] = []
    for layer in layers:
        groups: dict[str, tuple[Any, Any] | None] = {}
        for group, paths in GROUPS.items():
            modules = [layer.get_submodule(path) for path in paths]
            bases = [getattr(module, "base_layer", module).weight for module in modules]
            n_outputs = sum(base_OI.shape[0] for base_OI in bases)
            groups[group] = (
                weights(bases[0], bases[0].shape[1], rank),
                weights(bases[0], rank, n_outputs),
            )
        packed.append(groups)
    return AdapterPack(packed)


def _packed(layer: Any, paths: Sequence[str], name: str) -> tuple[Any, Any] | None:
    """The projections of a group side by side: ranks one after the other, each with outputs of its own."""
    torch = torch_module()
    modules = [layer.get_submodule(path) for path in paths]
    if not any(name in getattr(module, "lora_A", {}) for module in modules):
        return None
    downs, ups = [], []
    for module in modules:
        base_OI = getattr(module, "base_layer", module).weight
        if name in getattr(module, "lora_A", {}):
            downs.append(module.lora_A[name].weight.detach())
            ups.append(module.lora_B[name].weight.detach() * module.scaling[name])
        else:
            downs.append(base_OI.new_zeros(1, base_OI.shape[1]))
            ups.append(base_OI.new_zeros(base_OI.shape[0], 1))
    return torch.cat(downs).T.contiguous()[None], torch.block_diag(*ups).T.contiguous()[None]


def joined(packs: Sequence[AdapterPack]) -> AdapterPack:
    """Several packs as one, in their order; a rank that one lacks is zero."""
    layers = []
    for parts in zip(*(pack.layers for pack in packs), strict=True):
        layers.append({group: _joined([part[group] for part in parts]) for group in GROUPS})
    return AdapterPack(layers)


def _joined(parts: Sequence[tuple[Any, Any] | None]) -> tuple[Any, Any] | None:
    there = [part for part in parts if part is not None]
    if not there:
        return None
    ranks = max(down.shape[2] for down, _ in there)
    down_AIR = there[0][0].new_zeros(len(parts), there[0][0].shape[1], ranks)
    up_ARO = there[0][1].new_zeros(len(parts), ranks, there[0][1].shape[2])
    for at, part in enumerate(parts):
        if part is not None:
            down_AIR[at, :, : part[0].shape[2]] = part[0][0]
            up_ARO[at, : part[1].shape[1]] = part[1][0]
    return down_AIR, up_ARO


class AdapterPlaces:
    """Where the tokens of a pass stand when they are sorted by adapter."""

    def __init__(self, adapter_N: Sequence[int], n_adapters: int, device: str) -> None:
        torch = torch_module()
        self.n_adapters = n_adapters
        self._grid_AM: Any = None
        if n_adapters > 1:
            groups = [[n for n, a in enumerate(adapter_N) if a == adapter] for adapter in range(n_adapters)]
            most = max(2, *map(len, groups))
            back = [0] * len(adapter_N)
            for a, group in enumerate(groups):
                for m, n in enumerate(group):
                    back[n] = a * most + m
            filled = [n for group in groups for n in (group + [0] * (most - len(group)))]
            self._grid_AM = torch.tensor(filled, device=device)
            self._back_N = torch.tensor(back, device=device)

    def product(self, x_NI: Any, weights: tuple[Any, Any]) -> Any:
        """The part of a group's outputs that the adapters add, [N, O]."""
        torch = torch_module()
        down_AIR, up_ARO = weights
        if self._grid_AM is None:
            # one row alone is summed in another order than several
            x_1NI = x_NI[None] if len(x_NI) > 1 else x_NI.expand(2, -1)[None]
            return torch.bmm(torch.bmm(x_1NI, down_AIR), up_ARO)[0, : len(x_NI)]
        x_AMI = x_NI.index_select(0, self._grid_AM).view(self.n_adapters, -1, x_NI.shape[1])
        out_AMO = torch.bmm(torch.bmm(x_AMI, down_AIR), up_ARO)
        return out_AMO.flatten(0, 1).index_select(0, self._back_N)
