"""Closed answers from pooled states: a linear head per question over a model that stays as it is, or an encoder of its
own.

A frozen model is shared by all its specialists, and training takes seconds once its states are computed.

Legend: N texts, S states of a text, C choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deputize.core.errors import BadInput
from deputize.specialists import catalogue
from deputize.specialists.base import ClosedScores, RawPrediction, choose_each
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.pooled_states import StatesModel, states_model
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.text_encoder import TextEncoder
from deputize.specialists.tuned_model import check_base

Floats = npt.NDArray[np.float32]
Head = tuple[Floats, Floats]
"""Weights [C, S] and bias [C] of one question."""

HEADS_FILE = "state_heads.npz"
ENCODER_FOLDER = "encoder"
"""Of a tuned encoder."""


class StateHeadPredictor:
    """Predicts closed answers from pooled states."""

    kind = "states"

    def __init__(
        self, model: StatesModel, heads: Sequence[Head], answers: ClosedAnswers, max_tokens: int
    ) -> None:
        self.model, self.heads, self.answers, self.max_tokens = model, list(heads), answers, max_tokens

    def scores(self, texts: Sequence[str]) -> ClosedScores:
        """Log-probabilities of the choices of each question."""
        rows = self.model.rows(texts, self.max_tokens)
        log_ps = scores_of(self.heads, self.model.states(rows))
        return ClosedScores(log_ps, [len(row) for row in rows])

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order; an answer is None for an action whose arguments a classifier cannot
        write."""
        return choose_each(self.answers, self.scores(texts)) if texts else []

    def save(self, folder: Path) -> None:
        """Writes the heads into a folder; a shared model is not copied."""
        arrays = {
            f"{name}_{i}": array
            for i, head in enumerate(self.heads)
            for name, array in zip(("weight", "bias"), head, strict=True)
        }
        with (folder / HEADS_FILE).open("wb") as out:
            np.savez(out, allow_pickle=False, **arrays)

    @property
    def engine(self) -> str:
        return self.model.engine

    @property
    def depends_on_batch(self) -> bool:
        return self.model.depends_on_batch


def scores_of(heads: Sequence[Head], states_NS: Floats) -> list[Floats]:
    """Log-probabilities per question, [N, C]."""
    out = []
    for weight_CS, bias_C in heads:
        logits_NC = states_NS @ weight_CS.T + bias_C
        logits_NC = logits_NC - logits_NC.max(axis=1, keepdims=True)
        out.append((logits_NC - np.log(np.exp(logits_NC).sum(axis=1, keepdims=True))).astype(np.float32))
    return out


def load_states(stored: StoredSpecialist) -> StateHeadPredictor:
    """The predictor of a stored specialist of kind "states".

    Raises:
        BadInput: its answers are not closed, or the base model has changed since training.
        MissingExtra: the base model is not fetched, or a package is not installed.
    """
    answers = closed(stored.settings.schema, partly=True)
    if answers is None:
        raise BadInput(f"{stored.folder}: a specialist with a head needs closed answers")
    if (stored.folder / ENCODER_FOLDER).is_dir():
        model: StatesModel = TextEncoder(stored.folder / ENCODER_FOLDER, stored.device)
    else:
        check_base(stored)
        model = states_model(catalogue.model_path(stored.card.model, stored.models_dir), stored.device)
    with np.load(stored.folder / HEADS_FILE, allow_pickle=False) as arrays:
        heads = [(arrays[f"weight_{i}"], arrays[f"bias_{i}"]) for i in range(len(arrays.files) // 2)]
    return StateHeadPredictor(model, heads, answers, stored.settings.max_tokens)
