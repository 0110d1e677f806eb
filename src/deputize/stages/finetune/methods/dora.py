"""DoRA: LoRA with the magnitude of each weight column trained apart from its direction.

References:
    Liu et al., "DoRA: Weight-decomposed low-rank adaptation", arXiv 2402.09353.
"""

from __future__ import annotations

from typing import Any

from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.methods.fine_tuning import FineTuning
from deputize.stages.finetune.trainer import TrainingSettings


class DoraMethod(FineTuning):
    """LoRA with weight decomposition; about half as fast in training."""

    def adapter_settings(self, base: LanguageModel, settings: TrainingSettings) -> dict[str, Any]:
        return {**super().adapter_settings(base, settings), "use_dora": True}


DORA = DoraMethod("dora", 50)
