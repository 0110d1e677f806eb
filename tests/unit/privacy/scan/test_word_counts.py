"""Words are counted alike whether they are here as they stand or packed."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from deputize.privacy.scan import word_counts
from deputize.privacy.scan.word_counts import WordCounts


def test_counts_are_those_of_a_counter_however_often_they_were_packed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(word_counts, "MOST_RECENT", 50)
    dice, found = random.Random(3), WordCounts()
    lower, title = Counter[str](), Counter[str]()
    for _ in range(5000):
        word = "".join(dice.choices("abcdefgh", k=dice.randint(1, 3)))
        written = dice.choice((word, word.title(), word.upper() + "X"))
        found.add(written)
        lower[word] += written == word
        title[word] += written != word and written == word.title()
    assert len(lower) > 300
    assert {word: found.of(word) for word in lower} == {word: (lower[word], title[word]) for word in lower}
    assert found.of("none") == (0, 0)
