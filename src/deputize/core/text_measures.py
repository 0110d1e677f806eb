"""Measures of how close two texts are, for replies where another wording is not another answer.

A person chooses a measure and a level for a task (`deputize tasks measure`); two texts then agree when they are at
least that close. Every measure is symmetric, from 0 (nothing in common) to 1 (the same).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Final, Literal, get_args

import msgspec

MeasureName = Literal["items", "words", "characters", "judge"]
MEASURES: Final[tuple[MeasureName, ...]] = get_args(MeasureName)

_SPACE: Final = re.compile(r"\s+")
_TUPLE: Final = re.compile(r"\(([^()]*)\)")
_BETWEEN_TUPLES: Final = re.compile(r"[\s\[\],;]+")
_BULLET: Final = re.compile(r"^[-*•]\s+")
_NUMBER: Final = re.compile(r"^(\d{1,4})[.)]\s+")
_IDEOGRAPHS: Final = re.compile("([\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff])")
"""Letters of scripts that write no spaces between words: each is a word."""
_AROUND_WORDS: Final = re.compile(
    r"^[.,;:?!¡¿…'\"“”„‘’«»()\[\]{}*_`。，、；：？！「」『』（）]+(?=\w)|(?<=\w)[.,;:?!…'\"“”„‘’«»()\[\]{}*_`。，、；：？！「」『』（）]+$"
)
"""Punctuation next to a letter or digit; what stands alone, and any other sign, may be an operator."""
MAX_CHARS = 20_000
"""Comparing longer texts would take a gateway longer than it may: they agree only where they are the same."""
_QUOTES: Final = "\"'`“”‘’"


class TextMeasure(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How texts are compared, and from which value on two of them agree."""

    name: MeasureName
    """items: F1 of the lines or tuples, in any order; words: F1 of the words, in any order; characters: share of the
    characters that stand in both in the same order; judge: an LLM finds neither worse, which nothing here computes."""
    level: float
    """In (0, 1]: texts that are at least so close agree."""

    def in_words(self) -> str:
        """The measure and its level as a reader may quote them."""
        if self.name == "judge":
            return _IN_WORDS[self.name]
        return f"{_IN_WORDS[self.name]} of {self.level:g}"


_IN_WORDS: Final[dict[MeasureName, str]] = {
    "items": "an F1 of lines or tuples",
    "words": "an F1 of words",
    "characters": "a similarity of characters",
    "judge": "a verdict of the judge",
}


def are_close(a: str, b: str, measure: TextMeasure) -> bool:
    """True where two texts agree by a measure. The same text always does; of very long ones nothing else."""
    if a == b:
        return True
    return max(len(a), len(b)) <= MAX_CHARS and similarity(a, b, measure.name) >= measure.level


def similarity(a: str, b: str, name: MeasureName) -> float:
    """How close two texts are, from 0 to 1."""
    a, b = unicodedata.normalize("NFC", a), unicodedata.normalize("NFC", b)
    if name == "judge":  # two texts that are not the same are for the judge to compare
        return float(a == b)
    if name == "items":
        return _f1(_items(a), _items(b))
    if name == "words":
        return _f1(_words(a), _words(b))
    from rapidfuzz.distance import Indel

    return Indel.normalized_similarity(_folded(a), _folded(b))


def _f1(a: Counter[str], b: Counter[str]) -> float:
    """F1 of two multisets: twice what both have, of what either has. Of nothing in either it is 0: it shows nothing."""
    n = a.total() + b.total()
    return 2 * (a & b).total() / n if n else 0.0


def _items(text: str) -> Counter[str]:
    """The tuples of a text that consists of tuples, else its lines; white space folded, quotes left aside."""
    tuples = _TUPLE.findall(text)
    if tuples and not _BETWEEN_TUPLES.sub("", _TUPLE.sub("", text)):
        lines = tuples
    else:
        lines = _without_bullets([line.strip() for line in text.splitlines() if line.strip()])
    return Counter(",".join(part.strip().strip(_QUOTES) for part in _folded(one).split(",")) for one in lines)


def _without_bullets(lines: list[str]) -> list[str]:
    """Lines without their bullets, and without their numbers where these count from 1: others may be dates or
    answers."""
    numbers = [_NUMBER.match(line) for line in lines]
    if all(found is not None and int(found[1]) == at for at, found in enumerate(numbers, 1)):
        return [_NUMBER.sub("", line) for line in lines]
    return [_BULLET.sub("", line) for line in lines]


def _words(text: str) -> Counter[str]:
    """The words of a text in lower-case letters, without the punctuation around them; signs and operators are words."""
    spaced = _IDEOGRAPHS.sub(r" \1 ", text.casefold())
    words = (_AROUND_WORDS.sub("", word) for word in spaced.split())
    return Counter(word for word in words if word)


def _folded(text: str) -> str:
    return _SPACE.sub(" ", text).strip()
