"""A training on disk, from which a killed run goes on: weights, optimiser and counters, whole or not at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

from deputize.stages.finetune.master_weights import MasterWeights, Snapshot


class Resumed(NamedTuple):
    """Contents of a checkpoint besides the weights, which are in place already."""

    best: Snapshot | None
    counters: dict[str, Any]


class Checkpoint:
    """The folder of one training's checkpoints, of which the last one is kept."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """
        Args:
            folder: for the checkpoint.
            fingerprint: of all that the training depends on; a checkpoint of another one is not resumed.
        """
        self.folder, self.fingerprint = folder, fingerprint

    def save(self, weights: MasterWeights, best: Snapshot | None, counters: dict[str, Any]) -> None:
        """Writes everything needed to go on."""
        from safetensors.torch import save_file

        tensors: dict[str, Any] = {}
        groups = [("master", weights.masters), ("head", weights.head_parts)]
        if best is not None:
            groups += [("best_master", best.masters), ("best_head", best.heads)]
        for name, parts in groups:
            tensors |= {f"{name}.{i}": p.detach().contiguous() for i, p in enumerate(parts)}
        for i, parameter in enumerate(weights.parts):
            for key, value in weights.optimizer.state.get(parameter, {}).items():
                tensors[f"opt.{i}.{key}"] = value.detach().float().contiguous().reshape(value.shape or (1,))
        state = {
            "fingerprint": self.fingerprint,
            "best_epoch": best.epoch if best is not None else -1,
            "counters": counters,
        }
        fresh = self.folder.with_name(self.folder.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        save_file(tensors, fresh / "state.safetensors")
        (fresh / "state.json").write_text(json.dumps(state), "utf-8")
        shutil.rmtree(self.folder, ignore_errors=True)
        fresh.rename(self.folder)

    def counters(self) -> dict[str, Any]:
        """Those of the checkpoint without its weights; empty where there is none of this training."""
        try:
            state = json.loads((self.folder / "state.json").read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        return dict(state["counters"]) if state.get("fingerprint") == self.fingerprint else {}

    def load(self, weights: MasterWeights, device: str) -> Resumed | None:
        """Puts the weights and the optimiser's state in place; None where there is no checkpoint that fits."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        from deputize.specialists.torch_runtime import torch_module

        try:
            state = json.loads((self.folder / "state.json").read_text("utf-8"))
            tensors = load_file(self.folder / "state.safetensors", device=device)
        except (OSError, ValueError, SafetensorError):
            return None
        n_masters, n_heads = len(weights.masters), len(weights.head_parts)
        names = [f"master.{i}" for i in range(n_masters)] + [f"head.{i}" for i in range(n_heads)]
        fits = all(
            n in tensors and tensors[n].shape == p.shape for n, p in zip(names, weights.parts, strict=True)
        )
        if state.get("fingerprint") != self.fingerprint or not fits:
            return None
        with torch_module().no_grad():
            for name, part in zip(names, weights.parts, strict=True):
                part.copy_(tensors[name])
        for i, part in enumerate(weights.parts):
            kept = {k.split(".", 2)[2]: v for k, v in tensors.items() if k.startswith(f"opt.{i}.")}
            if kept:
                kept["step"] = kept["step"].reshape(())
                weights.optimizer.state[part] = kept
        weights.write_back()
        best = None
        if state["best_epoch"] >= 0:
            best = Snapshot(
                state["best_epoch"],
                [tensors[f"best_master.{i}"] for i in range(n_masters)],
                [tensors[f"best_head.{i}"] for i in range(n_heads)],
            )
        return Resumed(best, state["counters"])
