"""Characters of a script become others of it."""

from __future__ import annotations

import random
import unicodedata

import pytest

from deputize.privacy.scripts import character_like, letters_like, locale_of


@pytest.mark.parametrize("char", ["Ж", "ж", "ع", "ह", "林", "カ", "김", "٤", "४", "7", "Q"])
def test_another_character_of_the_same_script(char: str) -> None:
    made = character_like(char, random.Random(1))
    first = unicodedata.name(char).split()[0]
    assert unicodedata.name(made).split()[0].removesuffix("-") == first.removesuffix("-") or "CJK" in first
    assert made.isdigit() == char.isdigit() and made.isupper() == char.isupper()


def test_what_is_no_letter_stays() -> None:
    assert character_like("-", random.Random(1)) == "-" and letters_like("q") == ""


def test_the_locale_of_a_word() -> None:
    assert [locale_of(w) for w in ("林文博", "हरीश", "ليلى", "Lee")] == ["zh_CN", "hi_IN", "ar_AA", ""]
