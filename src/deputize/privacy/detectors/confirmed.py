"""Detectors of names that are believed only where another model does not rule a name out.

spaCy's English model takes German nouns and most Arabic words for people, and is twenty times slower than the tagger.
The rules take capitalised words around "de" or "of" for a name, which is a guess.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from deputize.privacy.detectors.base import UNSURE_SCORE, Detector, Span, WrappingDetector
from deputize.privacy.scripts import MARKS, WORD

GUESS_SCORE = 0.65
"""Up to here a rule's person of plain words is a guess: capitalised words of which one is on a list of names ("Dow
Jones"), or words before a title. Rules for handles, labels and introductions score higher, or find no plain words."""
_PLAIN_WORDS = re.compile(
    rf"{WORD}(?:[ .'’-]+{WORD})+\.?|[^\W\d_a-zA-Z\u00c0-\u024f](?:[^\W\d_a-zA-Z\u00c0-\u024f]|[{MARKS}])*"
)

Possible = Callable[[Sequence[str]], list[list[Span]]]
"""For each text, the places that are not ruled out."""


class ConfirmedDetector(WrappingDetector):
    """A slow detector that is shown only texts with a possible place, and whose findings count only there."""

    def __init__(self, inner: Detector, possible: Possible) -> None:
        super().__init__(inner)
        self._possible = possible

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        places = self._possible(texts)
        shown = [i for i, found in enumerate(places) if found]
        out: list[list[Span]] = [[] for _ in texts]
        for i, spans in zip(shown, self._inner.detect([texts[i] for i in shown]), strict=True):
            out[i] = [s for s in spans if _overlaps(s, places[i])]
        return out


class ConfirmedGuesses(WrappingDetector):
    """A detector whose guesses that something is a person count only at possible places, and no further than these.

    A guess has a score up to UNSURE_SCORE, or up to GUESS_SCORE where it is two words or more, or of a script that is
    not Latin.
    """

    def __init__(self, inner: Detector, possible: Possible) -> None:
        super().__init__(inner)
        self._possible = possible

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        out = self._inner.detect(texts)
        guessed = [i for i, spans in enumerate(out) if any(_is_guess(s, texts[i]) for s in spans)]
        for i, places in zip(guessed, self._possible([texts[i] for i in guessed]), strict=True):
            out[i] = [
                one for s in out[i] for one in (_confirmed(s, places) if _is_guess(s, texts[i]) else [s])
            ]
        return out


def _is_guess(span: Span, text: str) -> bool:
    return span.type == "PERSON" and (
        span.score <= UNSURE_SCORE
        or (span.score <= GUESS_SCORE and _PLAIN_WORDS.fullmatch(text, span.start, span.end) is not None)
    )


def _confirmed(guess: Span, places: Sequence[Span]) -> list[Span]:
    """A guess from the first possible place in it to the last: a rank before a name is no part of it. [] where there
    is none."""
    inside = [p for p in places if guess.start < p.end and p.start < guess.end]
    if not inside:
        return []
    start = max(guess.start, min(p.start for p in inside))
    end = min(guess.end, max(p.end for p in inside))
    return [Span(guess.type, start, end, guess.score, guess.detector)]


def _overlaps(span: Span, places: Sequence[Span]) -> bool:
    return any(span.start < p.end and p.start < span.end for p in places)
