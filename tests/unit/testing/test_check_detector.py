"""The contract suite of detectors: it passes one that keeps its promises, and fails each kind of broken one."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from deputize.privacy.detectors.base import Span
from deputize.testing import check_detector

TEXT, VALUE = "badge BX1234 lost", "BX1234"
BADGE = re.compile(r"\bBX\d{4}\b")


class Badges:
    """Keeps every promise; the broken ones below each break one."""

    name = "badges"

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [self.spans(text) for text in texts]

    def spans(self, text: str) -> list[Span]:
        return [Span("BADGE", m.start(), m.end(), 0.9, self.name) for m in BADGE.finditer(text)]


class WithoutName(Badges):
    name = ""


class Blind(Badges):
    def spans(self, text: str) -> list[Span]:
        return []


class Suspicious(Badges):
    def spans(self, text: str) -> list[Span]:
        words = [Span("WORD", m.start(), m.end(), 0.5, self.name) for m in re.finditer("order", text)]
        return super().spans(text) + words


class OutsideOfItsText(Badges):
    def spans(self, text: str) -> list[Span]:
        return [*super().spans(text), Span("BADGE", 0, len(text) + 1, 0.9, self.name)]


class Empty(Badges):
    def spans(self, text: str) -> list[Span]:
        return [*super().spans(text), Span("BADGE", 0, 0, 0.9, self.name)] if text.strip() else []


class TooSure(Badges):
    def spans(self, text: str) -> list[Span]:
        return [Span(s.type, s.start, s.end, 1.5, s.detector) for s in super().spans(text)]


class Untyped(Badges):
    def spans(self, text: str) -> list[Span]:
        return [Span("", s.start, s.end, s.score, s.detector) for s in super().spans(text)]


class UnderAnotherName(Badges):
    def spans(self, text: str) -> list[Span]:
        return [Span(s.type, s.start, s.end, s.score, "other") for s in super().spans(text)]


class Forgetful(Badges):
    """Skips empty texts, and so returns too few lists."""

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [self.spans(text) for text in texts if text]


class OutOfOrder(Badges):
    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [self.spans(text) for text in sorted(texts)]


class OncePerText(Badges):
    """Remembers what it has seen, and finds it only the first time."""

    def __init__(self) -> None:
        self.seen = set[str]()

    def spans(self, text: str) -> list[Span]:
        found = [] if text in self.seen else super().spans(text)
        self.seen.add(text)
        return found


class SameListAgain(Badges):
    """Clears what it returned before in each call."""

    def __init__(self) -> None:
        self.returned = list[list[Span]]()

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        for spans in self.returned:
            spans.clear()
        self.returned = super().detect(texts)
        return list(self.returned)


class FirstTextOnly(Badges):
    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [self.spans(text) if n == 0 else [] for n, text in enumerate(texts)]


class ChangesItsInput(Badges):
    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        found = super().detect(texts)
        if isinstance(texts, list):
            texts.clear()
        return found


class CountsBytes(Badges):
    def spans(self, text: str) -> list[Span]:
        def at(index: int) -> int:
            return min(len(text), len(text[:index].encode("utf-8", "surrogatepass")))

        return [Span(s.type, at(s.start), at(s.end), s.score, s.detector) for s in super().spans(text)]


class RefusesSurrogates(Badges):
    def spans(self, text: str) -> list[Span]:
        text.encode("utf-8")
        return super().spans(text)


class ShortSighted(Badges):
    def spans(self, text: str) -> list[Span]:
        return super().spans(text[:500])


class Tuples(Badges):
    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [[(s.type, s.start, s.end) for s in self.spans(text)] for text in texts]  # type: ignore[misc]


class FirstPlaceOnly(Badges):
    def spans(self, text: str) -> list[Span]:
        return super().spans(text)[:1]


def test_a_detector_that_keeps_its_promises_passes() -> None:
    check_detector(Badges(), TEXT, VALUE)


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (WithoutName, "has a name"),
        (Blind, "is found in"),
        (Suspicious, "in plain words"),
        (OutsideOfItsText, "lies in its text"),
        (Empty, "is not empty"),
        (TooSure, "score"),
        (Untyped, "has a type"),
        (UnderAnotherName, "names its detector"),
        (Forgetful, "one list of spans per text"),
        (OutOfOrder, "lies in its text"),
        (OncePerText, "each call"),
        (SameListAgain, "do not change later"),
        (FirstTextOnly, "other texts of a batch"),
        (ChangesItsInput, "list of texts is not changed"),
        (CountsBytes, "count characters"),
        (ShortSighted, "deep inside a long text"),
        (Tuples, "are spans"),
        (FirstPlaceOnly, "at each of its places"),
    ],
)
def test_a_broken_detector_fails_with_the_promise_that_it_breaks(broken: type[Badges], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        check_detector(broken(), TEXT, VALUE)


def test_a_detector_that_cannot_read_any_text_fails() -> None:
    with pytest.raises(UnicodeEncodeError):
        check_detector(RefusesSurrogates(), TEXT, VALUE)
