"""The form "peft": the adapter as peft and vLLM load it onto the base model, and the heads where answers are chosen."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from deputize.specialists import catalogue
from deputize.specialists.classification_head import HEADS_FILE
from deputize.specialists.export_forms.base import LoadedExport
from deputize.specialists.export_forms.tuned_copy import TUNED, predictor_around
from deputize.specialists.language_model import require_packages
from deputize.specialists.model_cache import MODELS
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.tuned_model import ADAPTER_FOLDER, adapter_name, base_folder


class PeftForm:
    """The smallest form: a few megabytes next to a base model that others may share."""

    name, precisions = "peft", ("as trained",)

    def refusal(self, stored: StoredSpecialist) -> str:
        if stored.card.kind not in TUNED:
            return "it has no adapter: it is no tuned language model"
        return (
            ""
            if (stored.folder / ADAPTER_FOLDER).is_dir()
            else "it is a whole tuned model, without an adapter"
        )

    def require(self) -> None:
        require_packages()

    def write(self, stored: StoredSpecialist, folder: Path, precision: str) -> str:
        shutil.copytree(stored.folder / ADAPTER_FOLDER, folder / ADAPTER_FOLDER)
        model = catalogue.find(stored.card.model, stored.models_dir)
        config = folder / ADAPTER_FOLDER / "adapter_config.json"
        # peft writes the folder of the machine it was trained on
        settings = json.loads(config.read_text("utf-8")) | {
            "base_model_name_or_path": model.hub or model.name
        }
        config.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n", "utf-8")
        lines = f"`adapter/` is loaded onto {model.hub or model.name} with `peft.PeftModel.from_pretrained`."
        if stored.card.kind == "head":
            shutil.copy(stored.folder / HEADS_FILE, folder / HEADS_FILE)
            lines += (
                f" `{HEADS_FILE}` holds weights and bias for each question: the answer is the choice with the highest score "
                "on the last token's hidden state after the last norm."
            )
        else:
            lines += " vLLM loads it as well (`--enable-lora`)."
        return lines

    def load(self, stored: StoredSpecialist, folder: Path) -> LoadedExport:
        base = MODELS.get(base_folder(stored), stored.device)
        name = adapter_name(folder)
        base.load_adapter(name, folder / ADAPTER_FOLDER)
        predictor = predictor_around(stored, base, name, folder)
        return LoadedExport(predictor, f"transformers and peft, {base.dtype} on {base.device}")


PEFT = PeftForm()
