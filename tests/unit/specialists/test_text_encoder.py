"""Texts as mean-pooled vectors of a small encoder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from deputize.core.errors import BadInput
from deputize.specialists.text_encoder import TextEncoder, is_encoder


def test_encoders_are_told_from_models_that_generate(
    tiny_base: Path, tiny: tuple[Path, str], tmp_path: Path
) -> None:
    assert is_encoder(tiny_base) and not is_encoder(tiny[0] / tiny[1]) and not is_encoder(tmp_path)
    for name, expected in (("ModernBertForMaskedLM", True), ("BertModel", True), ("LlamaForCausalLM", False)):
        (tmp_path / "config.json").write_text(json.dumps({"architectures": [name]}))
        assert is_encoder(tmp_path) is expected


def test_a_vector_is_the_same_alone_and_in_a_batch(tiny_base: Path) -> None:
    encoder = TextEncoder(tiny_base, "cpu")
    rows = encoder.rows(["refund my order today", "a", "please call me back about my refund"], 64)
    together = encoder.states(rows)
    assert together.shape == (3, encoder.width) and np.isfinite(together).all()
    alone = np.concatenate([encoder.states([row]) for row in rows])
    assert np.allclose(together, alone, atol=1e-5)
    assert not np.allclose(together[0], together[1])


def test_a_long_text_loses_its_middle_and_keeps_its_special_tokens(tiny_base: Path) -> None:
    encoder = TextEncoder(tiny_base, "cpu")
    (short,), (long,) = encoder.rows(["order"], 16), encoder.rows(["order " + "help " * 50 + "refund"], 16)
    assert len(long) == 16 and long[0] == short[0] and long[-1] == short[-1] and long[1] == short[1]
    assert encoder.n_tokens("order " + "help " * 50) == 51
    assert len(encoder.rows(["help " * 900], 10_000)[0]) == 320, "no more than the encoder has places for"


def test_what_is_saved_is_loaded(tiny_base: Path, tmp_path: Path) -> None:
    encoder = TextEncoder(tiny_base, "cpu")
    encoder.save(tmp_path)
    again = TextEncoder(tmp_path, "cpu")
    rows = encoder.rows(["refund my order"], 64)
    assert again.rows(["refund my order"], 64) == rows
    assert np.allclose(again.states(rows), encoder.states(rows))


def test_a_folder_without_an_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be loaded as a text encoder"):
        TextEncoder(tmp_path, "cpu")
