"""Words as pieces of a vocabulary, and the vectors of these."""

from __future__ import annotations

import numpy as np
import pytest

from deputize.privacy.tagger.default.encoder_pieces import packed_pieces
from deputize.privacy.tagger.default.pieces import PieceVectors

WORDS = ["▁Mia", "▁Tor", "res", "▁To", "rres", "東", "京", "東京", "ハン", "ス", "▁Peter", "▁é"]
SCORES = np.array([-3, -4, -4, -3, -9, -5, -5, -6, -5, -5, -4, -6], dtype=np.float32)


@pytest.fixture(scope="module")
def vectors() -> PieceVectors:
    rows = np.eye(len(WORDS), dtype=np.float32)
    return PieceVectors(packed_pieces(WORDS, SCORES, rows))


def named(vectors: PieceVectors, key: str) -> list[str]:
    return [WORDS[row - 1] if row else "" for row in vectors.rows(key).all]


def test_the_likeliest_pieces_are_taken(vectors: PieceVectors) -> None:
    assert named(vectors, "Torres") == ["▁Tor", "res"]  # -8; "▁To" and "rres" are -12
    assert named(vectors, "Mia") == ["▁Mia"]
    assert vectors.rows("Torres").first == 2 and vectors.rows("Torres").last == 3


def test_capitals_and_forms_of_letters_make_no_other_word(vectors: PieceVectors) -> None:
    assert named(vectors, "PETER") == ["▁Peter"]
    assert named(vectors, "e\u0301") == ["▁é"]
    assert named(vectors, "Ｍｉａ") == ["▁Mia"]


def test_a_word_of_katakana_begins_without_a_blank(vectors: PieceVectors) -> None:
    assert named(vectors, "ハンス") == ["ハン", "ス"]


def test_a_character_is_read_with_its_neighbours(vectors: PieceVectors) -> None:
    first, second = vectors.rows("\n東京"), vectors.rows("東京都")
    assert (first.first, first.last, first.all) == (6, 8, (6,))
    assert (second.first, second.last, second.all) == (8, 7, (7,))


def test_what_is_no_piece_is_nothing(vectors: PieceVectors) -> None:
    assert vectors.rows("§§").all == (0,) and not vectors.features(["§§", "x木y"]).any()
    assert named(vectors, "Mia§") == ["▁Mia"]


def test_features_are_the_first_piece_the_last_and_the_mean(vectors: PieceVectors) -> None:
    found = vectors.features(["Torres", "Mia"])
    n = len(WORDS)
    assert found.shape == (2, 3 * n) == (2, vectors.width)
    first, last, mean = found[0, :n], found[0, n : 2 * n], found[0, 2 * n :]
    assert first.argmax() == 1 and last.argmax() == 2
    assert np.allclose(mean, (first + last) / 2, atol=1e-3) and first.max() == pytest.approx(1, abs=1e-2)


def test_a_word_of_many_letters_is_read_to_its_limit(vectors: PieceVectors) -> None:
    assert vectors.rows("Mia" + "z" * 100_000).all == vectors.rows("Mia" + "z" * 40).all
