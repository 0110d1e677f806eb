"""Detectors of names that are believed only where another model does not rule a name out.

spaCy's English model takes German nouns and most Arabic words for people, and is twenty times slower than the tagger. The rules take
capitalised words around "de" or "of" for a name, which is a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deputize.privacy.detectors.base import UNSURE_SCORE, Detector, Span, WrappingDetector

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
    """A detector whose guesses that something is a person (scores up to UNSURE_SCORE) count only at possible places."""

    def __init__(self, inner: Detector, possible: Possible) -> None:
        super().__init__(inner)
        self._possible = possible

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        out = self._inner.detect(texts)
        guessed = [i for i, spans in enumerate(out) if any(map(_is_guess, spans))]
        for i, places in zip(guessed, self._possible([texts[i] for i in guessed]), strict=True):
            out[i] = [s for s in out[i] if not _is_guess(s) or _overlaps(s, places)]
        return out


def _is_guess(span: Span) -> bool:
    return span.type == "PERSON" and span.score <= UNSURE_SCORE


def _overlaps(span: Span, places: Sequence[Span]) -> bool:
    return any(span.start < p.end and p.start < span.end for p in places)
