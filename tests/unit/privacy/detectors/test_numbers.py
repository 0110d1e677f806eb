"""Numeric details: amounts, no years, dates, times or parts of ids."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.numbers import NumberDetector, numbers_of


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("paid 1,234.50 for 120 units at 3.75", {"1,234.50", "120", "3.75"}),
        ("in 2024 on 2024-05-15 at 12:30", set()),
        ("id A-1234 and 12/345", set()),
        ("7 of 42", set()),
    ],
)
def test_which_numbers_count(text: str, numbers: set[str]) -> None:
    assert numbers_of(text) == numbers
    (spans,) = NumberDetector().detect([text])
    assert {text[s.start : s.end] for s in spans} == numbers and all(s.type == "AMOUNT" for s in spans)
