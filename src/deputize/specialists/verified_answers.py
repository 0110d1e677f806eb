"""A verifier pass: an answer is written, and the untuned base model is asked whether it is right; P(yes) goes into its
confidence.

The untuned model, since the tuned one has learned to write answers and nothing else.

References:
    Kadavath et al., "Language models (mostly) know what they know", arXiv 2207.05221 (P(true)).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deputize.specialists.answer_row import log_sum
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.decoder import DecoderPredictor, load_member_decoder
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.llama_stack import linear
from deputize.specialists.model_rows import LlamaRows, LoadedAdapter, ModelRows, TransformersRows
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.torch_runtime import torch_module

YES, NO = ("Yes", "yes", " Yes", " yes"), ("No", "no", " No", " no")
MORE_TOKENS = 256
"""Beyond those of the prompt, for the answer and the question."""


class VerifiedPredictor:
    """Predicts what a decoder writes, as sure as the base model is that it is right."""

    kind = "verifier"

    def __init__(self, decoder: DecoderPredictor) -> None:
        """
        Args:
            decoder: what writes.
        """
        self.decoder = decoder

    @property
    def engine(self) -> str:
        """That of the decoder, and that there is a verifier."""
        return f"{self.decoder.engine}, verified"

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order; each by itself, so that company changes nothing."""
        return [self._predict(text) for text in texts]

    def _predict(self, text: str) -> RawPrediction:
        (found,) = self.decoder.predict_drawn(text, [None])
        slots = None if found.answer is None else self.decoder.schema.segments(found.answer)
        if slots is None:
            return found
        lines = [f"{slot.name}: {written}" for slot, written in slots if slot.role != "free"]
        log_yes = log_p_yes(self.decoder.base, question(text, lines), self.decoder.max_tokens + MORE_TOKENS)
        raw, odds = found.raw_confidence, log_yes - math.log(max(1e-9, -math.expm1(min(log_yes, -1e-9))))
        return found._replace(raw_confidence=RawConfidence(raw.log_p + log_yes, raw.min_margin, odds))

    def without_free_slots(self) -> VerifiedPredictor:
        """The same predictor with slots left empty that are not compared."""
        return VerifiedPredictor(self.decoder.without_free_slots())

    def save(self, folder: object) -> None:
        """Writes nothing: the decoder in its folder is all there is."""

    def release(self) -> None:
        """Frees what the decoder holds in shared models."""
        self.decoder.release()


def question(text: str, lines: Sequence[str]) -> str:
    """The question that the base model is asked about an answer."""
    answer = "\n".join(lines)
    return f"{text}\n\nProposed answer:\n{answer}\n\nIs the proposed answer right? Reply Yes or No."


def log_p_yes(base: LanguageModel, asked: str, most: int) -> float:
    """The logarithm of the probability of yes among yes and no, by the untuned model."""
    (prompt,) = base.prompt_ids([asked], most)
    rows: ModelRows = LlamaRows(base.stack) if base.can_stack else TransformersRows(base)
    torch = torch_module()
    sides = [sorted({base.ids(word)[0] for word in words}) for words in (YES, NO)]
    with torch.inference_mode(), base.without_adapters(), base.threads["read"].work(len(prompt)):
        (hidden_H,) = rows.add([prompt], [LoadedAdapter(None)], [[]])
        head = base.lm.get_output_embeddings().weight
        yes, no = (float(log_sum(linear(hidden_H[None], head[ids])[0].float())) for ids in sides)
    return -math.log1p(math.exp(min(60.0, no - yes)))


def load_verifier(stored: StoredSpecialist) -> VerifiedPredictor:
    """The predictor of a stored specialist of kind "verifier". Raises as `load_member_decoder`."""
    return VerifiedPredictor(load_member_decoder(stored))
