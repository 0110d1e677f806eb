"""rsLoRA: LoRA whose updates are scaled by the root of the rank, so that a higher rank learns more instead of slower.

References:
    Kalajdzievski, "A rank stabilization scaling factor for fine-tuning with LoRA", arXiv 2312.03732.
"""

from __future__ import annotations

from typing import Any

from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.methods.fine_tuning import FineTuning
from deputize.stages.finetune.trainer import TrainingSettings

RANK, ALPHA = 64, 16
"""Four times LoRA's rank at the same factor on the update (16 / 8 = 32 / 16)."""


class RsLoraMethod(FineTuning):
    """LoRA with a rank of 64: four times the adapter, for tasks that a rank of 16 cannot hold."""

    def adapter_settings(self, base: LanguageModel, settings: TrainingSettings) -> dict[str, Any]:
        rank = min(RANK, base.width)
        return {
            **super().adapter_settings(base, settings),
            "r": rank,
            "lora_alpha": ALPHA,
            "use_rslora": True,
        }


RSLORA = RsLoraMethod("rslora", 45)
