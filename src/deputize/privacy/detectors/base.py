"""The protocol of a detector of personal data, and the spans that it returns.

A detector knows nothing of calls: it takes texts and returns spans. Any object with a `name` and a `detect` method is
one. Name it under `[privacy] detectors` (see `registry`) or put it into a `DetectorSet`;
`deputize.testing.check_detector` checks that it keeps the promises below.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec

UNSURE_SCORE = 0.45
"""Score at or below which a name is only a guess: it is dropped where the log uses its words as everyday words."""


class Span(msgspec.Struct, frozen=True):
    """Personal data that a detector found at text[start:end]; `score` in (0, 1]."""

    type: str
    start: int
    end: int
    score: float
    detector: str


class Detector(Protocol):
    """Finds personal data in texts.

    Two optional attributes, both False where they are missing, spare a slow detector work in a `DetectorEnsemble`:
    `skips_covered_lines`: lines that other detectors have wholly covered need not be shown to it;
    `skips_lines_without_names`: lines without a capitalised word that nobody has covered need not be shown to it.
    """

    @property
    def name(self) -> str: ...

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text, in any order; overlaps are allowed."""
        ...


class WrappingDetector:
    """A detector that asks another one, under that one's name and with its optional attributes."""

    def __init__(self, inner: Detector) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        return self._inner.name

    @property
    def skips_covered_lines(self) -> bool:
        return bool(getattr(self._inner, "skips_covered_lines", False))

    @property
    def skips_lines_without_names(self) -> bool:
        return bool(getattr(self._inner, "skips_lines_without_names", False))
