"""Numbers in words."""

from __future__ import annotations

import random

import pytest

from deputize.privacy.spelled_numbers import SPELLED_NUMBER, other_digit_words


@pytest.mark.parametrize(
    "text",
    ["four four seven seven zero zero nine", "vier vier sieben sieben null null neun", "cuatro siete siete cero cero nueve uno", "double four double seven oh oh nine", "一三九六三三三八七"],
)  # fmt: skip
def test_found_and_written_in_the_same_language(text: str) -> None:
    match = SPELLED_NUMBER.search(f"call {text} now")
    assert match and match.group() == text
    made = other_digit_words(text, random.Random(3))
    assert made != text and SPELLED_NUMBER.search(made)


def test_a_few_digits_are_no_number() -> None:
    assert not SPELLED_NUMBER.search("one or two of three") and not SPELLED_NUMBER.search("一二三")
