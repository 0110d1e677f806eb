"""Function words: in every text, and none that turns a sentence into its contrary."""

from __future__ import annotations

import pytest

from deputize.core.function_words import FUNCTION_WORDS, NEUTRAL_WORDS


@pytest.mark.parametrize("word", ["the", "for", "und", "les", "de"])
def test_most_function_words_are_neutral(word: str) -> None:
    assert word in FUNCTION_WORDS and word in NEUTRAL_WORDS


@pytest.mark.parametrize("word", ["not", "only", "if", "should", "nicht", "nur", "pas", "sin", "non", "не"])
def test_words_that_change_the_sense_are_not(word: str) -> None:
    assert word in FUNCTION_WORDS and word not in NEUTRAL_WORDS


def test_words_with_a_content_are_no_function_words() -> None:
    assert FUNCTION_WORDS.isdisjoint({"answer", "reject", "lamp", "antworte", "never", "instead"})
