"""The form "merged": base model and adapter as one model in safetensors, which any engine for such models loads."""

from __future__ import annotations

import shutil
from pathlib import Path

from deputize.specialists.classification_head import HEADS_FILE
from deputize.specialists.export_forms.base import LoadedExport
from deputize.specialists.export_forms.tuned_copy import TUNED, predictor_around
from deputize.specialists.language_model import LanguageModel, require_packages
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.torch_runtime import torch_module
from deputize.specialists.tuned_model import merged_model

MODEL_FOLDER = "model"


class MergedForm:
    """A whole model; the sums are made in 32 bits and rounded once."""

    name = "merged"
    # a tuned weight differs little from the base's: the three bits that f16 has more are where the difference lies
    precisions = ("f16", "bf16", "f32")

    def refusal(self, stored: StoredSpecialist) -> str:
        return (
            "" if stored.card.kind in TUNED else "it is no tuned language model, so there is nothing to merge"
        )

    def require(self) -> None:
        require_packages()

    def write(self, stored: StoredSpecialist, folder: Path, precision: str) -> str:
        torch = torch_module()
        model = merged_model(stored)
        kind = {"f16": torch.float16, "bf16": torch.bfloat16, "f32": torch.float32}[precision]
        model.lm.to(kind).save_pretrained(folder / MODEL_FOLDER)
        model.tokenizer.save_pretrained(folder / MODEL_FOLDER)
        if stored.card.kind == "decoder":
            return f"`{MODEL_FOLDER}/` is loaded by transformers, vLLM, SGLang and others, in {precision}."
        shutil.copy(stored.folder / HEADS_FILE, folder / HEADS_FILE)
        return (
            f"`{MODEL_FOLDER}/` is loaded by transformers, in {precision}. `{HEADS_FILE}` holds weights and bias for each "
            "question: the answer is the choice with the highest score on the last token's hidden state after the last norm."
        )

    def load(self, stored: StoredSpecialist, folder: Path) -> LoadedExport:
        model = LanguageModel(folder / MODEL_FOLDER, "cpu", "fp32")
        return LoadedExport(predictor_around(stored, model, "", folder), "transformers, fp32 on cpu")


MERGED = MergedForm()
