"""Full fine-tuning: every weight of the model is trained, and the specialist is a whole model of its own."""

from __future__ import annotations

from pathlib import Path

from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import device_for, torch_module
from deputize.specialists.tuned_model import WEIGHTS_FOLDER
from deputize.stages.finetune.methods.base import TrainingJob
from deputize.stages.finetune.methods.fine_tuning import FineTuning
from deputize.stages.finetune.trainer import TrainingSettings


class FullMethod(FineTuning):
    """Costs the memory of a whole model for each specialist."""

    learning_rate = 5e-5
    may_search = False

    def load_base(self, path: Path) -> LanguageModel:
        """A copy of its own: the shared one must not change."""
        return LanguageModel(path, device_for(), "fp32" if device_for() == "cpu" else "bf16")

    def add_adapter(self, base: LanguageModel, job: TrainingJob, settings: TrainingSettings) -> str:
        """None: ""."""
        return ""

    def serving_model(self, base: LanguageModel, adapter: str, path: Path) -> LanguageModel:
        """The same model with its weights rounded as they are stored."""
        base.lm.to(torch_module().bfloat16)
        return base

    def save_weights(self, base: LanguageModel, adapter: str, folder: Path) -> None:
        base.lm.save_pretrained(folder / WEIGHTS_FOLDER)
        base.tokenizer.save_pretrained(folder / WEIGHTS_FOLDER)


FULL = FullMethod("full", 70)
