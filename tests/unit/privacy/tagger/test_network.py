"""The encoder: padded rows, probabilities over windows, and files that are read back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deputize.privacy.tagger import network

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("transformers", reason="transformers is not installed")


def test_rows_are_padded_between_start_and_end() -> None:
    ids, mask = network.pad([[7], [8, 9]], network.SpecialTokens(1, 2, 0, 3), torch)
    assert ids.tolist() == [[1, 7, 2, 0], [1, 8, 9, 2]] and mask.tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_probabilities_have_the_shape_of_each_text(tiny_base: Path) -> None:
    tokenizer = network.read_tokenizer(tiny_base)
    special = network.special_ids(tokenizer)
    model = network.build(tiny_base, 3).eval()
    texts = ["please call back", "", "call " * 50]
    for window in (16, 512):
        found = network.probabilities(model, tokenizer, special, texts, window=window, overlap=4)
        for text, (probabilities, words, offsets) in zip(texts, found, strict=True):
            assert probabilities.shape == (len(offsets), 3) and len(words) == len(offsets)
            assert np.allclose(probabilities.sum(axis=1), 1.0, atol=1e-3)
            assert all(text[start:end].strip() for start, end in offsets)


def test_what_is_saved_is_read_back(tiny_base: Path, tmp_path: Path) -> None:
    model = network.build(tiny_base, 3)
    network.save(model, tiny_base, tmp_path)
    again = network.build(tmp_path, 3, weights=network.WEIGHTS)
    for one, other in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.allclose(one, other, atol=1e-2)
