"""Frozen states of the distinct prompts of a run, each computed once, whichever task or method asks for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from deputize.core.deadline import Deadline
from deputize.core.progress import Progress, silent
from deputize.specialists.pooled_states import StatesModel
from deputize.stages.finetune.encode import MAX_TOKENS

CHUNK = 128
"""Texts after which the clock is looked at."""
MAX_BYTES = 1_000_000_000
"""Most memory for what is kept; further texts are computed whenever they are asked for."""


class ReadStates(NamedTuple):
    """States of the first texts asked for."""

    states_NS: npt.NDArray[np.float32]
    n_tokens: int
    """Of the texts that had to be computed."""


class FrozenStates:
    """States kept by model and text."""

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], npt.NDArray[np.float32]] = {}
        self._n_bytes = 0

    def of(
        self,
        model: StatesModel,
        texts: Sequence[str],
        max_tokens: int,
        deadline: Deadline,
        progress: Progress,
        label: str = "",
    ) -> ReadStates:
        """States of the first texts: of all, or of as many as there is time for.

        Args:
            model: what computes them.
            texts: pruned prompts; put first what has to be read in any case.
            max_tokens: longest prompt.
            deadline: nothing is begun after it, except the first chunk.
            progress: called after each chunk.
            label: what they are read for, for progress.
        """
        name, found, n_tokens = str(model.path), list[npt.NDArray[np.float32]](), 0
        for start in range(0, len(texts), CHUNK):
            if start and deadline.passed:
                break
            part = texts[start : start + CHUNK]
            missing = list(dict.fromkeys(text for text in part if (name, text) not in self._kept))
            rows = model.rows(missing, max_tokens)
            states = list(model.states(rows)) if rows else []
            fresh = dict(zip(missing, states, strict=True))
            n_tokens += sum(map(len, rows))
            found += [self._kept[name, text] if text not in fresh else fresh[text] for text in part]
            self._keep(name, fresh)
            progress(label, len(found), len(texts))
        return ReadStates(np.array(found), n_tokens)

    def _keep(self, name: str, fresh: dict[str, npt.NDArray[np.float32]]) -> None:
        size = sum(state.nbytes for state in fresh.values())
        if self._n_bytes + size <= MAX_BYTES:
            self._kept |= {(name, text): state for text, state in fresh.items()}
            self._n_bytes += size


class KeptStates:
    """The states of one model, as far as they are kept; what is missing is computed."""

    def __init__(self, model: StatesModel, states: FrozenStates) -> None:
        self.model, self.states = model, states

    def of(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """States of all texts, [N, S]."""
        return self.states.of(self.model, texts, MAX_TOKENS, Deadline.after(None), silent).states_NS
