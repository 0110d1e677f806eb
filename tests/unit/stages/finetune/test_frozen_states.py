"""States are computed once for each distinct prompt, as many as there is time for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.stages.finetune import frozen_states
from deputize.stages.finetune.frozen_states import CHUNK, FrozenStates

FOREVER = Deadline.after(None)


class Lengths:
    """The state of a text is its length."""

    depends_on_batch, engine = False, "lengths"

    def __init__(self, path: str = "m") -> None:
        self.path = Path(path)
        self.asked: list[int] = []

    def rows(self, texts: Sequence[str], most: int) -> list[list[int]]:
        return [[len(text)] * min(len(text), most) for text in texts]

    def states(self, rows: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        self.asked += [row[0] for row in rows]
        return np.array([[row[0], -row[0]] for row in rows], np.float32)

    def n_tokens(self, text: str) -> int:
        return len(text)


def test_equal_prompts_are_read_once_in_whatever_order_and_for_whatever_method() -> None:
    kept, model = FrozenStates(), Lengths()
    first = kept.of(model, ["aa", "b", "aa"], 9, FOREVER, silent)
    assert first.states_NS.tolist() == [[2, -2], [1, -1], [2, -2]] and first.n_tokens == 3
    again = kept.of(model, ["b", "cccc", "aa"], 9, FOREVER, silent)
    assert again.states_NS[:, 0].tolist() == [1, 4, 2] and again.n_tokens == 4
    assert model.asked == [2, 1, 4]
    other = Lengths("other")
    kept.of(other, ["aa"], 9, FOREVER, silent)
    assert other.asked == [2], "another model has states of its own"


def test_it_stops_after_a_chunk_where_time_is_over_but_reads_the_first() -> None:
    now = [0.0]
    model, deadline = Lengths(), Deadline(10.0, lambda: now[0])
    texts = [f"{i:05}" for i in range(3 * CHUNK)]

    def tick(what: str, done: int, total: int | None = None) -> None:
        now[0] += 6.0

    assert len(FrozenStates().of(model, texts, 9, deadline, tick).states_NS) == 2 * CHUNK
    now[0] = 99.0
    assert len(FrozenStates().of(model, texts, 9, deadline, tick).states_NS) == CHUNK
    assert FrozenStates().of(model, [], 9, deadline, tick).states_NS.shape[0] == 0


def test_beyond_the_memory_for_them_states_are_computed_again() -> None:
    kept, model = FrozenStates(), Lengths()
    frozen_states.MAX_BYTES, before = 8, frozen_states.MAX_BYTES
    try:
        kept.of(model, ["a"], 9, FOREVER, silent)
        kept.of(model, ["bb"], 9, FOREVER, silent)
        found = kept.of(model, ["a", "bb"], 9, FOREVER, silent)
    finally:
        frozen_states.MAX_BYTES = before
    assert found.states_NS[:, 0].tolist() == [1, 2] and model.asked == [1, 2, 2]
