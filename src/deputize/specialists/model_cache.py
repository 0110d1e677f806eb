"""Language models loaded in this process, each once per device and precision, for all specialists that share it."""

from __future__ import annotations

from pathlib import Path

from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import device_for, has_fast_bf16


class ModelCache:
    """Loaded models by folder, device and precision; they stay until they are forgotten."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, str, str], LanguageModel] = {}

    def get(self, path: Path, device: str = "", dtype: str = "") -> LanguageModel:
        """The model of a folder.

        Args:
            path: a folder in Hugging Face form.
            device: "" for CUDA where there is a device, else the CPU.
            dtype: bf16 or fp32; "" for bf16 where it is fast.

        Raises:
            MissingExtra: torch or transformers are not installed.
            BadInput: the folder holds no model.
        """
        device = device_for(device)
        dtype = dtype or ("bf16" if has_fast_bf16(device) else "fp32")
        key = (str(path.resolve()), device, dtype)
        if key not in self._loaded:
            self._loaded[key] = LanguageModel(path, device, dtype)
        return self._loaded[key]

    def forget(self, model: LanguageModel) -> None:
        """Lets go of one model; its memory is freed once nothing else refers to it."""
        self._loaded = {key: kept for key, kept in self._loaded.items() if kept is not model}

    def clear(self) -> None:
        """Lets go of every model."""
        self._loaded.clear()

    def __len__(self) -> int:
        return len(self._loaded)


MODELS = ModelCache()
"""Of this process: a base model is shared by selection, training, evaluation and serving."""
