"""What a reader hands back for one text, and how a choice per question becomes an answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from deputize.core.records import Answer
from deputize.engines.local.confidence import Sureness
from deputize.engines.local.forms import Closed


class Reading(NamedTuple):
    """An answer with how sure the reader was; answer None: nothing that keeps the contract."""

    answer: Answer | None
    sureness: Sureness
    n_prompt_tokens: int = 0
    n_output_tokens: int = 0


class Reader(Protocol):
    """Reads answers off texts, in a batch."""

    def read(self, texts: Sequence[str], *, prose: bool = True) -> list[Reading]: ...


def choose(form: Closed, log_ps: Sequence[npt.NDArray[np.float32]], n_prompt_tokens: int = 0) -> Reading:
    """The most likely choice of each question ([C] log-probabilities each) as one answer."""
    best = [int(np.argmax(lp)) for lp in log_ps]
    chosen, margins = [], []
    for lp, at, counts in zip(log_ps, best, form.asked(best), strict=True):
        if counts:
            rest = np.delete(lp, at)
            chosen.append(float(lp[at]))
            margins.append(float(lp[at] - rest.max(initial=-60.0)))
    return Reading(form.answer(best), Sureness.of(chosen, margins), n_prompt_tokens)
