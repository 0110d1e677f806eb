"""Numeric details as personal data: amounts and counts that a text states, replaced at level "paraphrase".

References:
    Belcak et al. 2025, arXiv 2506.02153, section 6, step S2: paraphrase named entities and numeric details without
    losing the information that the task needs.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from deputize.privacy.date_shift import find_dates
from deputize.privacy.detectors.base import Span

_NUMBER = re.compile(
    r"(?<![\w.,/-])(?<!\d:)(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{3,12}(?:\.\d+)?|\d{1,2}\.\d{2,})(?![\w:/-]|[.,]\d)"
)
_YEAR = re.compile(r"(?:19|20)\d\d")


class NumberDetector:
    """Finds numbers of three digits or more, or with decimals; not years, dates, times or parts of ids."""

    name = "numbers"

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [
            [Span("AMOUNT", *interval, 0.1, self.name) for interval in number_intervals(text)]
            for text in texts
        ]


def number_intervals(text: str) -> list[tuple[int, int]]:
    """[start, end) of each number that NumberDetector finds in a text."""
    found = [m.span(1) for m in _NUMBER.finditer(text) if not _YEAR.fullmatch(m.group(1))]
    if not found:
        return []
    dates = [(d.start, d.end) for d in find_dates(text)]
    return [(a, b) for a, b in found if not any(a < end and start < b for start, end in dates)]


@lru_cache(maxsize=4096)
def numbers_of(text: str) -> frozenset[str]:
    """The numbers that NumberDetector finds in a text, as written."""
    return frozenset(text[a:b] for a, b in number_intervals(text))
