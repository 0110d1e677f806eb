"""An adapter of a Llama model as a GGUF file, which llama.cpp applies to the GGUF file of its base.

References:
    The GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (general.type, adapter.*).
    Hu et al., "LoRA", arXiv 2106.09685; Kalajdzievski, "rsLoRA", arXiv 2312.03732 (the factor of an adapter).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from deputize.core.errors import BadInput
from deputize.specialists.writing.llama_gguf import gguf_module, interleaved

_BEFORE = "base_model.model."
_KINDS = {".lora_A.weight": ".lora_a", ".lora_B.weight": ".lora_b"}


def why_no_adapter_file(adapter: Path) -> str:
    """Why llama.cpp cannot apply the adapter of a folder as it is, as a clause that begins with "it"; "" where it
    can."""
    config = _config(adapter)
    if config.get("use_dora"):
        return "it scales the base's weights too (DoRA)"
    if config.get("rank_pattern") or config.get("alpha_pattern"):
        return "its layers have different ranks or factors"
    if config.get("modules_to_save") or config.get("bias", "none") != "none":
        return "it replaces weights of the base"
    return ""


def write_adapter(adapter: Path, base: Path, path: Path) -> None:
    """Writes the adapter of a folder as one file of 32-bit weights.

    Args:
        adapter: as peft saves it.
        base: folder of its base model, of the architecture llama.
        path: of the file.

    Raises:
        BadInput: llama.cpp cannot apply it, or it has weights that GGUF has no name for.
        MissingExtra: gguf or safetensors is not installed.
    """
    if why := why_no_adapter_file(adapter):
        raise BadInput(f"{adapter} cannot be written as an adapter for llama.cpp: {why}.")
    gguf, config = gguf_module(), _config(adapter)
    model = json.loads((base / "config.json").read_text("utf-8"))
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, int(model["num_hidden_layers"]))
    writer = gguf.GGUFWriter(path, "llama")
    try:
        writer.add_type(gguf.GGUFType.ADAPTER)
        writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
        writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, _alpha(config))
        for key, array in _weights(adapter).items():
            inner, kind = _parts(key)
            name = names.get_name(f"{inner}.weight", try_suffixes=(".weight",))
            if name is None:
                raise BadInput(f"{adapter} has the weight {key}, which GGUF has no name for.")
            if kind == ".lora_b" and inner.endswith("q_proj"):
                array = interleaved(array, int(model["num_attention_heads"]))
            elif kind == ".lora_b" and inner.endswith("k_proj"):
                array = interleaved(array, int(model["num_key_value_heads"]))
            writer.add_tensor(name + kind, np.ascontiguousarray(array))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _config(adapter: Path) -> dict[str, Any]:
    try:
        found = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{adapter} holds no adapter: {error}") from error
    return found if isinstance(found, dict) else {}


def _alpha(config: dict[str, Any]) -> float:
    """The factor that llama.cpp divides by the rank."""
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    return alpha * math.sqrt(rank) if config.get("use_rslora") else alpha


def _parts(key: str) -> tuple[str, str]:
    """(the layer's name in the model, .lora_a or .lora_b) of a weight of an adapter."""
    for end, kind in _KINDS.items():
        if key.startswith(_BEFORE) and key.endswith(end):
            return key.removeprefix(_BEFORE).removesuffix(end), kind
    raise BadInput(f"An adapter has the weight {key}, which llama.cpp does not apply.")


def _weights(adapter: Path) -> dict[str, Any]:
    """Weights by name, float32."""
    from safetensors.torch import load_file  # numpy has no bf16

    return {
        key: weight.float().numpy()
        for key, weight in load_file(adapter / "adapter_model.safetensors").items()
    }
