"""Kept outputs of the lower layers give what a whole pass gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.specialists.language_model import LanguageModel
from deputize.stages.finetune.encode import EncodedExample
from deputize.stages.finetune.hidden_states import HiddenStates


@pytest.mark.parametrize(("first_layer", "cache_gb"), [(1, 1.0), (1, 0.0), (0, 1.0)])
def test_kept_or_not_the_states_are_the_same(
    first_layer: int, cache_gb: float, tiny: tuple[Path, str]
) -> None:
    import torch

    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    texts = ["the order LH-12345", "please refund it today, it has not arrived", "yes"]
    train = [EncodedExample(base.ids(t), 1, 1.0, [], []) for t in texts]
    states = HiddenStates(base, train, first_layer, cache_gb)
    kept = states._lower is not None
    assert kept == (first_layer > 0 and cache_gb > 0)
    with torch.no_grad():
        for indices in ([0, 1], [2, 0], [1, 2]):
            whole = states.of_rows([train[i] for i in indices])
            parts = states.of_train(indices)
            for b, i in enumerate(indices):  # what stands on the left is padding
                n = len(train[i])
                torch.testing.assert_close(parts[b, -n:], whole[b, -n:], rtol=1e-3, atol=1e-3)
    assert not kept or set(states._lower or {}) == {0, 1, 2}
    states.clear()
    assert states._lower is None
