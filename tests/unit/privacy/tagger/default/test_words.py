"""Words of a line in any script, and features that need no vocabulary."""

from __future__ import annotations

import pytest

from deputize.privacy.tagger.default.words import (
    AFFIX_ROWS,
    N_BOUNDARIES,
    PART_ROWS,
    SHAPE_ROWS,
    WORD_ROWS,
    boundaries_of,
    feature_key,
    features_of,
    words_of,
)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Mia's order #42", ["Mia", "'", "s", "order", "#", "42"]),
        ("snake_case", ["snake", "_", "case"]),
        ("मेरा नाम", ["मेरा", "नाम"]),  # vowel signs are parts of words
        ("كَتَبَ علي", ["كَتَبَ", "علي"]),
        ("ジョン・スミスさん", ["ジョン", "・", "スミス", "さ", "ん"]),
        ("王小明来了", ["王", "小", "明", "来", "了"]),
        ("김철수님", ["김", "철", "수", "님"]),
        ("", []),
        ("  \t ", []),
    ],
)
def test_words(line: str, words: list[str]) -> None:
    assert [line[a:b] for a, b in words_of(line)] == words


def test_boundaries_tell_blanks_and_the_ends_of_a_line() -> None:
    line = "a, b c"
    assert boundaries_of(line, words_of(line)) == [3, 0, 1, 5]
    assert boundaries_of("x", [(0, 1)]) == [7]
    assert N_BOUNDARIES == 8


def test_a_single_character_is_known_by_its_neighbours() -> None:
    assert feature_key("王小明", 1, 2) == "王小明"
    assert feature_key("王", 0, 1) == "\n王\n"
    assert feature_key("Mia ran", 4, 7) == "ran"
    here, there = features_of("王小明"), features_of("李小明")
    assert (
        here.word == there.word
        and here.affixes[0] != there.affixes[0]
        and here.affixes[1] == there.affixes[1]
    )


def test_case_changes_the_shape_and_nothing_else() -> None:
    low, high = features_of("torres"), features_of("Torres")
    assert low.word == high.word and low.parts == high.parts and low.shapes != high.shapes


def test_rows_are_the_same_in_every_process_and_lie_in_their_tables() -> None:
    found = features_of("Torres")
    assert found.word == 58236
    assert all(0 < row < WORD_ROWS for row in [found.word])
    assert all(0 < row < AFFIX_ROWS for row in found.affixes) and len(found.affixes) == 8
    assert all(0 < row < PART_ROWS for row in found.parts)
    assert all(0 < row < SHAPE_ROWS for row in found.shapes)
    assert features_of("x" * 5000).parts == features_of("x" * 32).parts
    assert features_of("\ud800").word > 0  # half a surrogate pair
