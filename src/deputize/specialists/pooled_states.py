"""Texts as vectors: pooled states of a language model or a text encoder that is not trained.

Of a language model the mean state of a middle layer and the last token's of the last layer. Knows nothing of answers.
The words of a text are spread over a middle layer; the last layer's last state is what the model would go on with.

Legend: N texts, B texts of a batch, T tokens, H width, S = 2 H.

References:
    Alain and Bengio, "Understanding intermediate layers using linear classifier probes", arXiv 1610.01644.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from deputize.specialists.classification_head import batches, padded
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.model_cache import MODELS
from deputize.specialists.text_encoder import TextEncoder, is_encoder
from deputize.specialists.torch_runtime import torch_module

Floats = npt.NDArray[np.float32]

BATCH_TOKENS = 2048


def middle_layer(base: LanguageModel) -> int:
    """The layer whose states are averaged: two thirds of the way up."""
    return max(1, round(base.n_layers * 2 / 3))


class StatesModel(Protocol):
    """A model that turns texts into vectors."""

    path: Path
    depends_on_batch: bool
    """True where a vector differs with what else is in a batch, by rounding."""

    @property
    def engine(self) -> str:
        """The engine and the precision of its weights, as certificates name them."""
        ...

    def rows(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """Token ids of texts, none longer than `most`."""
        ...

    def states(self, rows: Sequence[Sequence[int]]) -> Floats:
        """The vectors of texts, [N, S]."""
        ...

    def n_tokens(self, text: str) -> int:
        """Tokens of a whole text."""
        ...


class LanguageModelStates:
    """Vectors of a language model, whatever adapters are loaded. S = 2 H."""

    def __init__(self, base: LanguageModel) -> None:
        self.base, self.path, self.depends_on_batch = base, base.path, base.depends_on_batch
        self.engine = base.engine

    def rows(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """Token ids of framed prompts."""
        return self.base.prompt_ids(texts, most)

    def n_tokens(self, text: str) -> int:
        """Tokens of a whole text."""
        return len(self.base.ids(text))

    def states(self, rows: Sequence[Sequence[int]], tokens: int = BATCH_TOKENS) -> Floats:
        """The vectors of texts, [N, S]; `tokens` is the size of a batch, padding included."""
        torch, base = torch_module(), self.base
        out_NS = np.zeros((len(rows), 2 * base.width), np.float32)
        at = middle_layer(base)
        with torch.inference_mode(), base.without_adapters():
            for batch in batches([len(row) for row in rows], tokens):
                ids_BT, mask_BT, positions_BT = padded(base, [rows[i] for i in batch])
                with base.threads["read"].work(sum(len(rows[i]) for i in batch)):
                    layers = base.decoder(
                        input_ids=ids_BT,
                        attention_mask=mask_BT,
                        position_ids=positions_BT,
                        use_cache=False,
                        output_hidden_states=True,
                    ).hidden_states
                weight_BT1 = mask_BT[..., None].float()
                mean_BH = (layers[at].float() * weight_BT1).sum(1) / weight_BT1.sum(1)
                out_NS[batch] = torch.cat([mean_BH, layers[-1][:, -1].float()], dim=1).cpu().numpy()
        return out_NS


@lru_cache(maxsize=4)
def states_model(folder: Path, device: str = "") -> StatesModel:
    """The model of a folder, loaded once in this process: a language model is the one that all specialists share.

    Raises:
        BadInput: the folder holds no model.
        MissingExtra: a package is not installed.
    """
    return (
        TextEncoder(folder, device) if is_encoder(folder) else LanguageModelStates(MODELS.get(folder, device))
    )
