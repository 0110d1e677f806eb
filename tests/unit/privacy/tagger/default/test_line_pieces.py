"""Lines as pieces of a vocabulary, and the words that these belong to."""

from __future__ import annotations

import numpy as np
import pytest

from deputize.privacy.tagger.default.encoder_pieces import packed_pieces
from deputize.privacy.tagger.default.line_pieces import LineSplitter, form_of
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.words import words_of

PIECES = ["▁Mia", "▁Tor", "res", "Mia", "東京", "の", "東", "京", "(", ",", "▁12"]


@pytest.fixture(scope="module")
def splitter() -> LineSplitter:
    scores = np.array([-3, -4, -4, -3, -6, -3, -5, -5, -2, -2, -4], dtype=np.float32)
    return LineSplitter(PieceVectors(packed_pieces(PIECES, scores, np.eye(len(PIECES), dtype=np.float32))))


def split(splitter: LineSplitter, line: str) -> list[tuple[str, list[str]]]:
    words = words_of(line)
    found = splitter.split(line, words)
    assert len(found.rows) == len(found.forms) == len(found.words)
    return [
        (PIECES[row - 1] if row else "", [line[slice(*word)] for word in words[a:b]])
        for row, (a, b) in zip(found.rows, found.words, strict=True)
    ]


def test_a_word_after_a_blank_and_one_after_a_mark_have_other_pieces(splitter: LineSplitter) -> None:
    assert split(splitter, "Mia (Mia, 12") == [
        ("▁Mia", ["Mia"]),
        ("", ["("]),
        ("(", ["("]),
        ("Mia", ["Mia"]),
        (",", [","]),
        ("▁12", ["12"]),
    ]


def test_pieces_of_one_word_belong_to_it_and_one_piece_may_have_several_characters(
    splitter: LineSplitter,
) -> None:
    assert split(splitter, "TORRES 東京の") == [
        ("▁Tor", ["TORRES"]),
        ("res", ["TORRES"]),
        ("東京", ["東", "京"]),
        ("の", ["の"]),
    ]


def test_a_long_run_without_blanks_is_split_in_parts(splitter: LineSplitter) -> None:
    found = split(splitter, "東京" * 200)
    assert [piece for piece, _ in found] == ["東京"] * 200
    assert sum(len(words) for _, words in found) == 400


def test_forms_of_words() -> None:
    assert [form_of(w) for w in ("mia", "Mia", "M", "MIA", "McMia", "12", "東", "-")] == [
        1,
        2,
        2,
        3,
        4,
        5,
        0,
        0,
    ]
