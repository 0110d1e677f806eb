"""Self-consistency: an answer is written once greedily and several times by chance; the one that most of them agree on
is given.

All are written together after one reading of the prompt. The draws follow from the prompt, so a request gets the same
answer each time.

References:
    Wang et al., "Self-consistency improves chain of thought reasoning in language models", arXiv 2203.11171 (the vote;
    here without chains).
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Sequence

from deputize.core.records import Answer
from deputize.specialists.answer_row import drawn_place
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.decoder import DecoderPredictor, load_member_decoder
from deputize.specialists.registry import StoredSpecialist

N_SAMPLES = 8
"""Answers by chance, beside the greedy one."""


class RandomChoice:
    """Chooses by chance, as likely as the model says (temperature 1); the same for the same seed."""

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def __call__(self, scores: Sequence[float]) -> int:
        """The place of one of some log-probabilities, which need not be normalised."""
        return drawn_place(scores, self._random)


class SampledPredictor:
    """Predicts the answer that most samples agree on."""

    kind = "self_consistency"

    def __init__(self, decoder: DecoderPredictor, n_samples: int = N_SAMPLES) -> None:
        """
        Args:
            decoder: what writes.
            n_samples: answers by chance.
        """
        self.decoder, self.n_samples = decoder, n_samples

    @property
    def engine(self) -> str:
        """That of the decoder, and the number of samples."""
        return f"{self.decoder.engine}, {self.n_samples} samples"

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order; each by itself, so that company changes nothing."""
        return [self._predict(text) for text in texts]

    def _predict(self, text: str) -> RawPrediction:
        draws = [RandomChoice(f"{n}\n{text}") for n in range(self.n_samples)]
        return agreed(self.decoder.predict_drawn(text, [None, *draws]), self.decoder.schema)

    def without_free_slots(self) -> SampledPredictor:
        """The same predictor with slots left empty that are not compared."""
        return SampledPredictor(self.decoder.without_free_slots(), self.n_samples)

    def save(self, folder: object) -> None:
        """Writes nothing: the decoder in its folder is all there is."""

    def release(self) -> None:
        """Frees what the decoder holds in shared models."""
        self.decoder.release()


def agreed(written: Sequence[RawPrediction], schema: AnswerSchema) -> RawPrediction:
    """The answer that most of some predictions give; of equally many the one that comes first.

    Its log-probability is that of its first prediction and of the share that agrees; how far more agree than not is in
    its mean margin.

    Args:
        written: at least one, the greedy one first; one without an answer agrees with none.
        schema: of the answers; text that is not compared does not count.
    """
    keys = [None if p.answer is None else _compared(p.answer, schema) for p in written]
    votes = Counter(key for key in keys if key is not None)
    if not votes:
        return written[0]
    key, n = votes.most_common(1)[0]  # of equals the first that was counted
    first = written[keys.index(key)]
    odds = math.log((n + 0.5) / (len(written) - n + 0.5))
    raw = first.raw_confidence
    return first._replace(
        raw_confidence=RawConfidence(raw.log_p + math.log(n / len(written)), raw.min_margin, odds),
        n_output_tokens=sum(p.n_output_tokens for p in written),
    )


def _compared(answer: Answer, schema: AnswerSchema) -> str:
    slots = schema.segments(answer)
    if slots is None:
        return json.dumps(answer, sort_keys=True, default=repr)
    return "\n".join(text for slot, text in slots if slot.role != "free")


def load_self_consistency(stored: StoredSpecialist) -> SampledPredictor:
    """The predictor of a stored specialist of kind "self_consistency". Raises as `load_member_decoder`."""
    return SampledPredictor(load_member_decoder(stored))
