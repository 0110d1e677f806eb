"""Copies of a tuned language model for an export: merged into one model, or around a model that was loaded back."""

from __future__ import annotations

from pathlib import Path

from deputize.core.errors import BadInput
from deputize.specialists import catalogue
from deputize.specialists.base import TextPredictor
from deputize.specialists.classification_head import HeadPredictor, read_heads
from deputize.specialists.closed_answers import closed
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.tuned_model import ADAPTER_FOLDER, WEIGHTS_FOLDER, check_base

TUNED = ("head", "decoder")
"""Kinds of specialists that are a tuned language model."""


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


def predictor_around(
    stored: StoredSpecialist, model: LanguageModel, adapter: str, heads_folder: Path
) -> TextPredictor:
    """The predictor of a specialist's kind around another copy of its model.

    Args:
        stored: the specialist.
        model: the copy.
        adapter: its adapter; "" where it is merged.
        heads_folder: where the heads lie, of the kind "head".

    Raises:
        BadInput: it is not a tuned language model.
    """
    settings = stored.settings
    if stored.card.kind == "decoder":
        return DecoderPredictor(
            model, adapter, settings.schema, settings.max_tokens, settings.max_slot_tokens
        )
    answers = closed(settings.schema)
    if stored.card.kind != "head" or answers is None:
        raise BadInput(f"{stored.card.id} is no tuned language model")
    return HeadPredictor(model, adapter, read_heads(heads_folder, model.device), answers, settings.max_tokens)
