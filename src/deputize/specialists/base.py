"""What a reader hands back for one text, and how a choice per question becomes an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from deputize.core.records import Answer
from deputize.specialists.answer_schema import ClosedAnswers
from deputize.specialists.confidence import RawConfidence


class RawPrediction(NamedTuple):
    """An answer with how sure the reader was; answer None: nothing that keeps the contract."""

    answer: Answer | None
    sureness: RawConfidence
    n_prompt_tokens: int = 0
    n_output_tokens: int = 0


class TextPredictor(Protocol):
    """Reads answers off texts, in a batch."""

    def read(self, texts: Sequence[str], *, prose: bool = True) -> list[RawPrediction]: ...


def choose(
    form: ClosedAnswers, log_ps: Sequence[npt.NDArray[np.float32]], n_prompt_tokens: int = 0
) -> RawPrediction:
    """The most likely choice of each question ([C] log-probabilities each) as one answer."""
    best = [int(np.argmax(lp)) for lp in log_ps]
    chosen, margins = [], []
    for lp, at, counts in zip(log_ps, best, form.asked(best), strict=True):
        if counts:
            rest = np.delete(lp, at)
            chosen.append(float(lp[at]))
            margins.append(float(lp[at] - rest.max(initial=-60.0)))
    return RawPrediction(form.answer(best), RawConfidence.of(chosen, margins), n_prompt_tokens)
