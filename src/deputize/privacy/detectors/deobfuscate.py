"""Removes what hides a value from patterns: invisible characters, letters of other scripts that look Latin, odd spaces."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from deputize.privacy.detectors.base import Detector, Span

INVISIBLE = frozenset("\u200b\u200c\u200d\u2060\ufeff\u00ad\u200e\u200f\u180e")
_LOOKALIKE = dict(
    zip(
        "аеорсухіјѕԁһӏАВЕКМНОРСТУХІЈЅαοντυρικΑΒΕΖΗΙΚΜΝΟΡΤΥΧ",
        "aeopcyxijsdhlABEKMHOPCTYXIJSaovtupikABEZHIKMNOPTYX",
        strict=True,
    )
)
_WORD = re.compile(r"[^\W\d_]+")
_LATIN = re.compile(r"[A-Za-z]")


def deobfuscate(text: str) -> tuple[str, list[int]] | None:
    """(the text as it looks, for each of its characters and its end the index in the original); None where nothing changes.

    Letters are folded only in words that mix scripts, so that text in Greek or Cyrillic is not changed.
    """
    if text.isascii():
        return None
    chars: list[str] = []
    indices: list[int] = []
    for index, char in enumerate(text):
        if char in INVISIBLE:
            continue
        folded = unicodedata.normalize("NFKC", char) if char.isspace() or char > "\uff00" else char
        chars.append(folded if len(folded) == 1 else char)
        indices.append(index)
    plain = "".join(chars)
    plain = _WORD.sub(_fold_mixed, plain)
    # a mail address is treated as one word: every letter of its domain may be of another script
    plain = re.sub(
        r"\S+@\S+",
        lambda m: "".join(_LOOKALIKE.get(c, c) for c in m.group()) if _LATIN.search(m.group()) else m.group(),
        plain,
    )
    indices.append(len(text))
    return None if plain == text else (plain, indices)


def _fold_mixed(match: re.Match[str]) -> str:
    word = match.group()
    if word.isascii() or not _LATIN.search(word):
        return word
    return "".join(_LOOKALIKE.get(c, c) for c in word)


class DeobfuscatingDetector:
    """Shows deobfuscated texts to a detector, and returns its spans with the positions in the original."""

    def __init__(self, inner: Detector) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def skips_lines_without_names(self) -> bool:
        return bool(getattr(self._inner, "skips_lines_without_names", False))

    @property
    def skips_covered_lines(self) -> bool:
        return bool(getattr(self._inner, "skips_covered_lines", False))

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        seen = [deobfuscate(text) for text in texts]
        found = self._inner.detect([s[0] if s else text for s, text in zip(seen, texts, strict=True)])
        return [
            spans
            if s is None
            else [Span(x.type, s[1][x.start], s[1][x.end - 1] + 1, x.score, x.detector) for x in spans]
            for s, spans in zip(seen, found, strict=True)
        ]
