"""A slow detector of names behind a quick one."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.confirmed import ConfirmedDetector, ConfirmedGuesses


class Capitals:
    """Takes every capitalised word for a name; remembers what it was shown."""

    name = "capitals"
    skips_lines_without_names = True

    def __init__(self) -> None:
        self.shown: list[str] = []

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        self.shown += texts
        return [_words(text, str.istitle) for text in texts]


def _words(text: str, wanted: object) -> list[Span]:
    out, at = [], 0
    for word in text.split(" "):
        if callable(wanted) and wanted(word):
            out.append(Span("PERSON", at, at + len(word), 0.6, "capitals"))
        at += len(word) + 1
    return out


def test_findings_count_only_where_they_are_possible() -> None:
    inner = Capitals()
    detector = ConfirmedDetector(inner, lambda texts: [_words(t, lambda w: w == "Mia") for t in texts])
    (first, second) = detector.detect(["Die Rechnung an Mia", "Die Rechnung"])
    assert [(s.start, s.end) for s in first] == [(16, 19)] and second == []
    assert inner.shown == ["Die Rechnung an Mia"]
    assert detector.name == "capitals" and detector.skips_lines_without_names


def test_only_guesses_need_a_confirmation() -> None:
    asked: list[str] = []

    class Rules:
        name = "rules"

        def detect(self, texts: Sequence[str]) -> list[list[Span]]:
            return [
                [
                    Span("PERSON", 0, 3, 0.45, "rules"),
                    Span("PERSON", 4, 7, 0.9, "rules"),
                    Span("EMAIL_ADDRESS", 8, 9, 0.3, "rules"),
                ]
                if text
                else []
                for text in texts
            ]

    def possible(texts: Sequence[str]) -> list[list[Span]]:
        asked.extend(texts)
        return [[Span("PERSON", 2, 5, 0.1, "t")] if text.startswith("Mia") else [] for text in texts]

    found = ConfirmedGuesses(Rules(), possible).detect(["Mia Zoe x", "Los Ann x", ""])
    assert [[s.start for s in row] for row in found] == [[2, 4, 8], [4, 8], []]
    assert asked == ["Mia Zoe x", "Los Ann x"]


def test_plain_words_of_a_middling_score_are_a_guess_and_handles_are_not() -> None:
    texts = ["Dow Jones", "東京大学", "david_myers", "LindaNguyen", "Mia"]

    class Rules:
        name = "rules"

        def detect(self, texts: Sequence[str]) -> list[list[Span]]:
            return [[Span("PERSON", 0, len(text), 0.6, "rules")] for text in texts]

    found = ConfirmedGuesses(Rules(), lambda shown: [[] for _ in shown]).detect(texts)
    assert [text for text, row in zip(texts, found, strict=True) if row] == texts[2:]


def test_a_guess_goes_no_further_than_what_is_possible() -> None:
    text = "Colonel Clay Tice Junior"

    class Rules:
        name = "rules"

        def detect(self, texts: Sequence[str]) -> list[list[Span]]:
            return [[Span("PERSON", 0, len(text), 0.45, "rules")] for _ in texts]

    def possible(texts: Sequence[str]) -> list[list[Span]]:
        return [[Span("PERSON", 8, 12, 0.2, "t"), Span("PERSON", 13, 17, 0.2, "t")] for _ in texts]

    (found,) = ConfirmedGuesses(Rules(), possible).detect([text])
    assert [text[s.start : s.end] for s in found] == ["Clay Tice"]


def test_words_of_devanagari_are_plain_words() -> None:
    class Rules:
        name = "rules"

        def detect(self, texts: Sequence[str]) -> list[list[Span]]:
            return [[Span("PERSON", 0, len(text), 0.65, "rules")] for text in texts]

    assert ConfirmedGuesses(Rules(), lambda shown: [[] for _ in shown]).detect(["पहुंच लागत"]) == [[]]
