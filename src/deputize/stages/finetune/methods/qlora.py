"""QLoRA: LoRA over a base model that is held in 4 bits while it is trained; needs bitsandbytes.

The specialist is served on the base model in full precision, as any LoRA is.

References:
    Dettmers et al., "QLoRA: Efficient finetuning of quantized LLMs", arXiv 2305.14314.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from deputize.specialists.language_model import LanguageModel, require_four_bit
from deputize.specialists.model_cache import MODELS
from deputize.specialists.torch_runtime import device_for
from deputize.stages.finetune.methods.fine_tuning import FineTuning


class QloraMethod(FineTuning):
    """LoRA with a quarter of the memory for the base model."""

    def require(self) -> None:
        require_four_bit()

    def load_base(self, path: Path) -> LanguageModel:
        require_four_bit()
        return LanguageModel(path, device_for(), "bf16", quantized=True)

    def serving_model(self, base: LanguageModel, adapter: str, path: Path) -> LanguageModel:
        """The shared base model with the adapter."""
        served = MODELS.get(path)
        served.drop_adapter(adapter)
        with tempfile.TemporaryDirectory(prefix="deputize-adapter-") as folder:
            base.save_adapter(adapter, Path(folder))
            served.load_adapter(adapter, Path(folder))
        return served


QLORA = QloraMethod("qlora", 60)
