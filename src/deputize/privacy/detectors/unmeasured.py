"""Words that may identify a person, in lines of languages in which nobody has measured what the other detectors
find."""

from __future__ import annotations

import re
from collections.abc import Sequence

from deputize.privacy.detectors.base import Span
from deputize.privacy.entity_types import UNMEASURED
from deputize.privacy.languages import MEASURED, language_of

SCORE = 0.05
"""Below every other: where another detector knows what a word is, that counts."""
_LINE = re.compile(r"[^\n]+")
_WORD = re.compile(r"\w+(?:['’.@+-]\w+)*")


class UnmeasuredDetector:
    """Finds words with a capital letter, a digit or an @, and every word of a script without case, in such lines.

    Most of them are no names. Which are kept is decided when the whole log is known: those that many people use
    (see replace.finding_filter).
    """

    name = "unmeasured"

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [[span for line in _LINE.finditer(text) for span in self._in(line)] for text in texts]

    def _in(self, line: re.Match[str]) -> list[Span]:
        language, start = language_of(line.group()), line.start()
        if not language or language in MEASURED:
            return []
        return [
            Span(UNMEASURED, start + match.start(), start + match.end(), SCORE, self.name)
            for match in _WORD.finditer(line.group())
            if _may_identify(match.group())
        ]


def _may_identify(word: str) -> bool:
    if len(word) == 1 and word.isascii():
        return False
    if any(c.isdigit() or c == "@" for c in word):
        return True
    return any(c.isupper() or (c.isalpha() and c.lower() == c.upper()) for c in word)
