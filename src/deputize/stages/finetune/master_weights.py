"""The weights that are trained: float32 copies with an optimiser, written back into the model after each step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import torch_module


class Snapshot(NamedTuple):
    """The weights after an epoch."""

    epoch: int
    masters: list[Any]
    heads: list[Any]


class MasterWeights:
    """Float32 masters of an adapter's or a whole model's weights, and of heads, under AdamW.

    Half-precision weights lose small updates, so the optimiser works on the copies.
    """

    def __init__(
        self,
        base: LanguageModel,
        adapter: str,
        heads: Sequence[tuple[Any, Any]],
        *,
        lr: float,
        head_lr: float,
    ) -> None:
        torch = torch_module()
        self.weights: list[tuple[str, Any]] = (
            base.adapter_parameters(adapter) if adapter else list(base.lm.named_parameters())
        )
        for _, p in self.weights:
            p.requires_grad_(True)
        self.masters = [p.detach().float().clone() for _, p in self.weights]
        self.head_parts = [part.requires_grad_(True) for pair in heads for part in pair]
        groups: list[dict[str, Any]] = [{"params": self.masters, "lr": lr}]
        if self.head_parts:
            groups.append({"params": self.head_parts, "lr": head_lr})
        self.optimizer = torch.optim.AdamW(
            groups, betas=(0.9, 0.99), weight_decay=0.0, fused=base.device != "mps"
        )
        self._rates: list[float] = [g["lr"] for g in groups]

    @property
    def parts(self) -> list[Any]:
        """All tensors that the optimiser works on."""
        return [*self.masters, *self.head_parts]

    def step(self, rate: float) -> None:
        """One optimiser step with the gradients of the model's weights; `rate` scales the learning rates."""
        torch = torch_module()
        for (_, parameter), master in zip(self.weights, self.masters, strict=True):
            master.grad = parameter.grad.float() if parameter.grad is not None else None
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
        for group, lr in zip(self.optimizer.param_groups, self._rates, strict=True):
            group["lr"] = lr * rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.write_back()

    def write_back(self) -> None:
        """Copies the masters into the model."""
        with torch_module().no_grad():
            for (_, parameter), master in zip(self.weights, self.masters, strict=True):
                parameter.copy_(master)

    def snapshot(self, epoch: int) -> Snapshot:
        """A copy of the weights as they are."""
        return Snapshot(
            epoch,
            [m.detach().clone() for m in self.masters],
            [p.detach().clone() for p in self.head_parts],
        )

    def restore(self, kept: Snapshot) -> None:
        """Goes back to a snapshot."""
        with torch_module().no_grad():
            for mine, old in zip(self.masters, kept.masters, strict=True):
                mine.copy_(old)
            for mine, old in zip(self.head_parts, kept.heads, strict=True):
                mine.copy_(old)

    def freeze(self) -> None:
        """Ends the training: the model's weights take no gradient any more."""
        for _, p in self.weights:
            p.requires_grad_(False)
