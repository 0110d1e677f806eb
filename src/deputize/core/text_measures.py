"""Measures of how close two texts are, for replies where another wording is not another answer.

A person chooses a measure and a level for a task (`deputize tasks measure`); two texts then agree when they are at least
that close. Every measure is symmetric, from 0 (nothing in common) to 1 (the same).
"""

from __future__ import annotations

import re
from collections import Counter
from string import punctuation
from typing import Final, Literal, get_args

import msgspec

MeasureName = Literal["items", "words", "characters"]
MEASURES: Final[tuple[MeasureName, ...]] = get_args(MeasureName)

_SPACE: Final = re.compile(r"\s+")
_TUPLE: Final = re.compile(r"\(([^()]*)\)")
_BULLET: Final = re.compile(r"^(?:[-*•]|\d+[.)])\s+")
_IDEOGRAPHS: Final = re.compile(r"([぀-ヿ㐀-鿿豈-﫿가-힯])")
"""Letters of scripts that write no spaces between words: each is a word."""
_QUOTES: Final = "\"'`“”‘’"


class TextMeasure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How texts are compared, and from which value on two of them agree."""

    name: MeasureName
    """items: F1 of the lines or tuples, in any order; words: F1 of the words, in any order; characters: share of the
    characters that stand in both in the same order."""
    level: float
    """In (0, 1]: texts that are at least so close agree."""

    def in_words(self) -> str:
        """The measure and its level as a reader may quote them."""
        return f"{_IN_WORDS[self.name]} of {self.level:g}"


_IN_WORDS: Final[dict[MeasureName, str]] = {
    "items": "an F1 of lines or tuples",
    "words": "an F1 of words",
    "characters": "a similarity of characters",
}


def are_close(a: str, b: str, measure: TextMeasure) -> bool:
    """True where two texts agree by a measure. The same text always does."""
    return a == b or similarity(a, b, measure.name) >= measure.level


def similarity(a: str, b: str, name: MeasureName) -> float:
    """How close two texts are, from 0 to 1."""
    if name == "items":
        return _f1(_items(a), _items(b))
    if name == "words":
        return _f1(_words(a), _words(b))
    from rapidfuzz.distance import Indel

    return Indel.normalized_similarity(_folded(a), _folded(b))


def _f1(a: Counter[str], b: Counter[str]) -> float:
    """F1 of two multisets: twice what both have, of what either has. Two empty ones are the same."""
    n = a.total() + b.total()
    return 2 * (a & b).total() / n if n else 1.0


def _items(text: str) -> Counter[str]:
    """The tuples of a text where it has some, else its lines without bullets; white space folded, quotes left aside."""
    found = _TUPLE.findall(text)
    if not found:
        found = [_BULLET.sub("", line.strip()) for line in text.splitlines()]
    items = (",".join(part.strip().strip(_QUOTES) for part in _folded(one).split(",")) for one in found)
    return Counter(item for item in items if item.strip(","))


def _words(text: str) -> Counter[str]:
    """The words of a text in lower-case letters, without the punctuation around them."""
    spaced = _IDEOGRAPHS.sub(r" \1 ", text.casefold())
    words = (word.strip(punctuation + _QUOTES) for word in spaced.split())
    return Counter(word for word in words if word)


def _folded(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
