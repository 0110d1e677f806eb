"""The network as numpy runs it: long inputs, empty lines, and words that come again."""

from __future__ import annotations

import numpy as np
import pytest

from deputize.privacy.tagger.default import numpy_network
from deputize.privacy.tagger.default.default_tagger import load_default_tagger
from deputize.privacy.tagger.default.numpy_network import NumpyNetwork


@pytest.fixture(scope="module")
def network() -> NumpyNetwork:
    return load_default_tagger()._network._network


def test_empty_lines_and_batches_change_nothing(
    network: NumpyNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = ["", "ask Mia Torres", "   ", "one", "Mia Torres left the room in a hurry", ""]
    whole = network.scores(lines)
    assert [len(words) for words, _ in whole] == [0, 3, 0, 1, 8, 0] and whole[0][1].shape == (0, 8)
    monkeypatch.setattr(numpy_network, "BATCH_WORDS", 4)
    for (words, found), (_, again) in zip(whole, network.scores(lines), strict=True):
        assert len(words) == len(found) and np.allclose(found, again, atol=1e-5)


def test_the_cache_of_words_is_bounded(network: NumpyNetwork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numpy_network, "MAX_CACHED", 50)
    before = network.scores(["Mia Torres left"])[0][1]
    for number in range(40):
        network.scores([f"word{number}x other{number}y"])
    assert len(network._rows) <= 60
    assert np.allclose(network.scores(["Mia Torres left"])[0][1], before, atol=1e-5)


def test_probabilities_of_a_line_that_is_long(network: NumpyNetwork) -> None:
    ((words, found),) = network.scores(["a b " * 10_000])
    assert (
        len(words) == len(found) == 20_000
        and np.isfinite(found).all()
        and found.min() >= 0
        and found.max() <= 1
    )
