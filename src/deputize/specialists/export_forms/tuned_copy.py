"""Copies of a tuned language model for an export: merged into one model, or around a model that was loaded back."""

from __future__ import annotations

from pathlib import Path

from deputize.core.errors import BadInput
from deputize.specialists.base import TextPredictor
from deputize.specialists.classification_head import HeadPredictor, read_heads
from deputize.specialists.closed_answers import closed
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.kept_forms import read_forms
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.registry import StoredSpecialist

TUNED = ("head", "decoder")
"""Kinds of specialists that are a tuned language model."""


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
            model,
            adapter,
            settings.schema,
            settings.max_tokens,
            settings.max_slot_tokens,
            forms=read_forms(stored.folder),
        )
    answers = closed(settings.schema)
    if stored.card.kind != "head" or answers is None:
        raise BadInput(f"{stored.card.id} is no tuned language model")
    return HeadPredictor(model, adapter, read_heads(heads_folder, model.device), answers, settings.max_tokens)
