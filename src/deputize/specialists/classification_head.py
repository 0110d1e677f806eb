"""Closed answers of a language model: one forward pass, then a linear head per closed question on the hidden state of
the last token.

Legend: B texts of a batch, T tokens, H width, C choices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from deputize.core.errors import BadInput, MissingExtra
from deputize.specialists.base import ClosedScores, RawPrediction, choose_each
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.torch_runtime import torch_module
from deputize.specialists.tuned_model import load_tuned_model, release_tuned_model

if TYPE_CHECKING:
    import torch


HEADS_FILE = "heads.safetensors"


def padded(base: LanguageModel, rows: Sequence[Sequence[int]]) -> tuple[Any, Any, Any]:
    """Left-padded ids, mask and positions, each [B, T], on the model's device."""
    torch = torch_module()
    longest = max(len(r) for r in rows)
    ids_BT = torch.full((len(rows), longest), base.pad, dtype=torch.long)
    mask_BT = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        ids_BT[i, longest - len(row) :] = torch.tensor(row)
        mask_BT[i, longest - len(row) :] = 1
    positions_BT = (mask_BT.cumsum(1) - 1).clamp(min=0)
    return ids_BT.to(base.device), mask_BT.to(base.device), positions_BT.to(base.device)


def last_hidden(base: LanguageModel, rows: Sequence[Sequence[int]]) -> torch.Tensor:
    """The hidden state of each row's last token, [B, H], float32."""
    ids_BT, mask_BT, positions_BT = padded(base, rows)
    out = base.decoder(input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False)
    return out.last_hidden_state[:, -1].float()


def batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices in batches of like length, none with more than `tokens` padded tokens (but at least one text)."""
    order = sorted(range(len(lengths)), key=lambda i: (lengths[i], i))
    out: list[list[int]] = []
    for i in order:
        if out and (len(out[-1]) + 1) * lengths[i] <= tokens:
            out[-1].append(i)
        else:
            out.append([i])
    return out


def first_weights(base: LanguageModel, choices: Sequence[str]) -> torch.Tensor:
    """[C, H]: for each choice the mean output embedding of its tokens, centred: a head that starts from the words."""
    torch = torch_module()
    table_VH = base.lm.get_output_embeddings().weight.detach()
    rows = [
        table_VH[base.ids(" " + text.replace("_", " ")) or [base.newline]].float().mean(0) for text in choices
    ]
    weights_CH = torch.stack(rows)
    weights_CH = weights_CH - weights_CH.mean(0)
    return weights_CH / weights_CH.norm(dim=1, keepdim=True).clamp(min=1e-6) / base.width**0.5


class HeadPredictor:
    """Predicts closed answers in one forward pass."""

    kind = "head"

    def __init__(
        self,
        base: LanguageModel,
        adapter: str,
        heads: list[tuple[Any, Any]],
        answers: ClosedAnswers,
        max_tokens: int,
    ) -> None:
        self.base, self.adapter, self.answers, self.max_tokens = base, adapter, answers, max_tokens
        self.heads = heads
        """Per question weights [C, H] and bias [C], float32."""

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order."""
        return choose_each(self.answers, self.scores(texts)) if texts else []

    def scores(self, texts: Sequence[str], tokens: int = 4096) -> ClosedScores:
        """Log-probabilities of the choices of each question."""
        torch = torch_module()
        self.base.use(self.adapter)
        rows = self.base.prompt_ids(texts, self.max_tokens)
        out = [np.zeros((len(rows), bias_C.shape[0]), np.float32) for _, bias_C in self.heads]
        with torch.inference_mode():
            for batch in batches([len(r) for r in rows], tokens):
                with self.base.threads["read"].work(sum(len(rows[i]) for i in batch)):
                    hidden_BH = last_hidden(self.base, [rows[i] for i in batch])
                for log_p_NC, (weights_CH, bias_C) in zip(out, self.heads, strict=True):
                    log_p_BC = torch.log_softmax(hidden_BH @ weights_CH.T + bias_C, dim=-1)
                    log_p_NC[batch] = log_p_BC.cpu().numpy()
        return ClosedScores(out, [len(row) for row in rows])

    def save(self, folder: Path) -> None:
        """Writes the heads into a folder."""
        from safetensors.torch import save_file

        parts = {
            f"{name}_{i}": tensor.contiguous()
            for i, pair in enumerate(self.heads)
            for name, tensor in zip(("weight", "bias"), pair, strict=True)
        }
        save_file(parts, folder / HEADS_FILE)

    @property
    def engine(self) -> str:
        return self.base.engine

    @property
    def depends_on_batch(self) -> bool:
        return self.base.depends_on_batch

    def release(self) -> None:
        """Frees the adapter, or the whole tuned model."""
        release_tuned_model(self.base, self.adapter)


def load_head(stored: StoredSpecialist) -> HeadPredictor:
    """The predictor of a stored specialist of kind "head".

    Raises:
        BadInput: its answers are not closed.
        MissingExtra: safetensors is not installed.
    """
    answers = closed(stored.settings.schema)
    if answers is None:
        raise BadInput(f"{stored.folder}: a specialist with a head needs closed answers")
    base, adapter = load_tuned_model(stored)
    return HeadPredictor(
        base, adapter, read_heads(stored.folder, base.device), answers, stored.settings.max_tokens
    )


def read_heads(folder: Path, device: str) -> list[tuple[Any, Any]]:
    """Weights [C, H] and bias [C] per question, as `HeadPredictor.save` wrote them.

    Raises:
        MissingExtra: safetensors is not installed.
    """
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtra.package("safetensors", "train") from error
    parts = load_file(folder / HEADS_FILE, device=device)
    return [(parts[f"weight_{i}"], parts[f"bias_{i}"]) for i in range(len(parts) // 2)]
