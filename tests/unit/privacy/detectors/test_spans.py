"""Spans merged, joined and trimmed."""

from __future__ import annotations

import time
from collections.abc import Sequence

from deputize.privacy.detectors.base import Span
from deputize.privacy.detectors.spans import detect_all, join_adjacent, merge_spans, trim_span


def span(start: int, end: int, kind: str = "A", score: float = 0.5) -> Span:
    return Span(kind, start, end, score, "x")


def test_the_higher_score_wins_and_its_rival_keeps_the_remainder() -> None:
    merged = merge_spans([[span(0, 10, "A", 0.5)], [span(5, 8, "B", 0.9)]])
    assert merged == [span(0, 5, "A", 0.5), span(5, 8, "B", 0.9)], "a remainder of two characters is dropped"
    assert merge_spans([[span(0, 5)], [span(0, 8)]]) == [span(0, 8)], "of equal scores the longer one stays"
    assert merge_spans([[span(3, 3)]]) == []


def test_parts_of_one_value_are_joined_under_the_type_with_most_characters() -> None:
    text = "60.24.26.60 and more"
    parts = [span(0, 2, "A", 0.4), span(3, 8, "B", 0.8), span(9, 11, "A", 0.6), span(12, 15, "C")]
    (one, other) = join_adjacent(parts, text)
    assert (one.type, one.start, one.end) == ("B", 0, 11) and other == parts[3]
    assert one.score == round((2 * 0.4 + 5 * 0.8 + 2 * 0.6) / 9, 4)


def test_white_space_at_the_ends_is_trimmed() -> None:
    assert trim_span("  ab  ", "A", 0, 6, 1.5, "x") == [Span("A", 2, 4, 1.0, "x")]
    assert trim_span("   ", "A", 0, 3, 0.5, "x") == []


def test_all_detectors_read_all_texts() -> None:
    class Finds:
        def __init__(self, word: str) -> None:
            self.name = word

        def detect(self, texts: Sequence[str]) -> list[list[Span]]:
            return [
                [span(t.index(self.name), t.index(self.name) + 1)] if self.name in t else [] for t in texts
            ]

    assert detect_all([Finds("a"), Finds("b")], ["ab", "b", ""]) == [
        [span(0, 1), span(1, 2)],
        [span(0, 1)],
        [],
    ]


def test_a_line_with_thousands_of_findings_takes_no_time() -> None:
    many = [span(10 * i, 10 * i + 8) for i in range(30_000)]
    began = time.process_time()
    assert merge_spans([many, [span(3, 299_990, "B", 0.9)]])[:2] == [span(0, 3), span(3, 299_990, "B", 0.9)]
    assert merge_spans([many]) == many
    assert time.process_time() - began < 3
