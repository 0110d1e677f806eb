"""Latin names in other scripts."""

from __future__ import annotations

import random

import pytest

from deputize.privacy.tagger.default.transliteration import arabic, chinese, cyrillic, katakana, plain_latin


def test_names_come_out_in_the_letters_of_the_script() -> None:
    rng = random.Random(1)
    for name in ("Robert", "Müller", "Łukasz", "Schäfer", "Xavier", "Joaquín"):
        assert all("\u30a1" <= c <= "\u30fc" for c in katakana(name, rng))
        assert all("\u4e00" <= c <= "\u9fff" for c in chinese(name, rng))
        assert all("\u0621" <= c <= "\u064a" for c in arabic(name, rng))
        assert all("\u0400" <= c <= "\u04ff" for c in cyrillic(name, rng).lower())
        assert len(katakana(name, rng)) >= 2 and len(chinese(name, rng)) >= 2


@pytest.mark.parametrize(
    ("name", "plain"), [("Łukasz", "lukasz"), ("Groß", "gross"), ("O'Brien", "obrien"), ("علي", "")]
)
def test_plain_latin(name: str, plain: str) -> None:
    assert plain_latin(name) == plain


def test_a_known_name() -> None:
    assert cyrillic("Robert", random.Random(0)) == "Роберт"
    assert katakana("Tanaka", random.Random(3)).replace("ー", "") == "タナカ"
