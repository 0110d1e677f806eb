"""What a detector of personal data is, and how the findings of several are joined.

Knows nothing of calls: texts in, spans out. A new detector is any object with a `name` and a `detect` method; name it
under `[privacy] detectors` (see plugins), or hand it to `run(detectors=...)` or `scan(detectors=...)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, Protocol

import msgspec

Level = Literal["standard", "strict", "paraphrase", "paranoid"]

DIRECT: frozenset[str] = frozenset(
    {
        "PERSON",
        "EMAIL_ADDRESS",
        "PHONE_NUMBER",
        "US_SSN",
        "CREDIT_CARD",
        "IBAN_CODE",
        "IP_ADDRESS",
        "MAC_ADDRESS",
        "API_KEY",
        "PASSWORD",
        "USERNAME",
        "MEDICAL_RECORD",
        "STREET_ADDRESS",
        "BANK_ACCOUNT",
        "POLICY_NUMBER",
        "DATE_OF_BIRTH",
        "PASSPORT",
        "DRIVER_LICENSE",
        "NATIONAL_ID",
        "CASE_NUMBER",
        "LICENSE_NUMBER",
        "CRYPTO",
    }
)
"""Types that point at one person, or open a door; replaced at every level."""

INDIRECT: frozenset[str] = frozenset(
    {"DATE_TIME", "ORGANIZATION", "LOCATION", "MEDICATION", "HEALTH_CONDITION", "JOB_TITLE"}
)
"""Types that narrow down who it is and that tasks often need; replaced from level "strict" on."""

SECRET: frozenset[str] = frozenset({"API_KEY", "PASSWORD"})
"""Types that may not stay even in a prompt template."""

FUZZY: frozenset[str] = frozenset({"PERSON", "LOCATION", "ORGANIZATION", "USERNAME", "JOB_TITLE"})
"""Types found by their look; known words of the task (labels, enumerations, template text) overrule them."""

PUBLIC: frozenset[str] = (
    FUZZY
    | INDIRECT
    | {"AMOUNT", "EMAIL_ADDRESS", "PHONE_NUMBER", "STREET_ADDRESS", "IP_ADDRESS", "CASE_NUMBER"}
)
"""Types that an application may say of itself: in its own template they are no person's."""


def is_replaced(kind: str, level: Level) -> bool:
    """Whether a type is replaced at a level. A type nobody knows, of a user's own tagger or plug-in, counts as direct."""
    return level != "standard" or kind not in INDIRECT


class Span(msgspec.Struct, frozen=True):
    """A stretch of text[start:end] that a detector holds for personal data; `score` in (0, 1]."""

    type: str
    start: int
    end: int
    score: float
    detector: str


class Detector(Protocol):
    """Finds personal data in texts."""

    @property
    def name(self) -> str: ...

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text, in any order; overlaps are allowed."""
        ...


def whole(text: str) -> str:
    """The text with "?" for each half of a surrogate pair, place for place: tokenizers refuse such halves."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def union(found: Iterable[Sequence[Span]]) -> list[Span]:
    """The spans of several detectors over one text without overlaps, in order.

    Of spans that overlap the one with the higher score stays, of equals the longer one; what a dropped span covers
    beyond it stays covered under the dropped span's type, so that nothing found is lost.
    """
    ranked = sorted(
        (s for spans in found for s in spans if s.end > s.start),
        key=lambda s: (-s.score, s.start - s.end, s.start),
    )
    kept: list[Span] = []
    for span in ranked:
        for start, end in _uncovered(span, kept):
            whole = (start, end) == (span.start, span.end)
            if whole or end - start > 2:
                kept.append(span if whole else Span(span.type, start, end, span.score, span.detector))
    return sorted(kept, key=lambda s: s.start)


def _uncovered(span: Span, kept: Sequence[Span]) -> list[tuple[int, int]]:
    pieces = [(span.start, span.end)]
    for other in kept:
        pieces = [
            piece
            for start, end in pieces
            for piece in ((start, min(end, other.start)), (max(start, other.end), end))
            if piece[1] > piece[0]
        ]
        if not pieces:
            break
    return pieces


def detect_all(detectors: Sequence[Detector], texts: Sequence[str]) -> list[list[Span]]:
    """The union of all detectors' findings in each text."""
    per_detector = [d.detect(texts) for d in detectors]
    return [union(found[i] for found in per_detector) for i in range(len(texts))]
