"""The language model behind a stored specialist: the shared base with the specialist's adapter, or its own weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from deputize.core.errors import BadInput
from deputize.specialists import catalogue
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.model_cache import MODELS
from deputize.specialists.registry import StoredSpecialist

ADAPTER_FOLDER = "adapter"
WEIGHTS_FOLDER = "weights"
"""Folder of a whole tuned model."""


def load_tuned_model(stored: StoredSpecialist) -> tuple[LanguageModel, str]:
    """(model, name of the active adapter; "" for a whole tuned model).

    Raises:
        BadInput: the base model has changed since training.
        MissingExtra: the base model is not fetched, or a package is not installed.
    """
    card, folder = stored.card, stored.folder
    if (folder / WEIGHTS_FOLDER).is_dir():
        return MODELS.get(folder / WEIGHTS_FOLDER, stored.device), ""
    check_base(stored)
    base = MODELS.get(catalogue.model_path(card.model, stored.models_dir), stored.device)
    adapter = adapter_name(folder)
    base.load_adapter(adapter, folder / ADAPTER_FOLDER)
    return base, adapter


def check_base(stored: StoredSpecialist) -> None:
    """Compares the base model with the one that the specialist was trained on. Raises as `load_tuned_model`."""
    card = stored.card
    if card.base_sha256 and base_digest(card.model, stored.models_dir) != card.base_sha256:
        raise BadInput(
            f"{stored.folder}: {card.model} is not the model this specialist was trained on (its weights differ). "
            f"Fetch that one again or retrain."
        )


def base_folder(stored: StoredSpecialist) -> Path:
    """The folder of the model that a specialist was tuned from; of a whole tuned model its own.

    Raises:
        BadInput: the base model has changed since training.
        MissingExtra: the base model is not fetched.
    """
    own = stored.folder / WEIGHTS_FOLDER
    if own.is_dir():
        return own
    check_base(stored)
    return catalogue.model_path(stored.card.model, stored.models_dir)


def merged_model(stored: StoredSpecialist) -> LanguageModel:
    """The tuned model in one piece, in 32 bits on the CPU, shared with nobody. Raises as `base_folder`."""
    model = LanguageModel(base_folder(stored), "cpu", "fp32")
    adapter = stored.folder / ADAPTER_FOLDER
    if adapter.is_dir():
        model.load_adapter("merged", adapter)
        model.merge_adapter("merged")
    return model


def adapter_name(folder: Path) -> str:
    """The name under which a folder's adapter is loaded: letters and digits only, as module names demand."""
    return "a" + "".join(c for c in str(folder.resolve()) if c.isalnum())


def base_digest(name: str, models_dir: Path) -> str:
    """One SHA-256 for a base model: that of its only weight file, or of the list of them."""
    sums = catalogue.manifest(name, models_dir).sha256
    if len(sums) == 1:
        return next(iter(sums.values()))
    return hashlib.sha256("".join(f"{k}:{v}\n" for k, v in sorted(sums.items())).encode()).hexdigest()


def release_tuned_model(base: LanguageModel, adapter: str) -> None:
    """Frees a specialist's adapter; where it has none, the whole model, which no other specialist uses."""
    if adapter:
        base.drop_adapter(adapter)
    else:
        MODELS.forget(base)
