"""Phone numbers by form, context and country."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules.phones import find_phones


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Si nadie abre, llamen al 667 12 43 92.", "667 12 43 92"),
        ("dzwonić 22 843 58 60", "22 843 58 60"),
        ("Kimse açmazsa 0545 110 12 45 arayın", "0545 110 12 45"),
        ("电话 13963338704", "13963338704"),
        ("तो 9937703049 पर फ़ोन करें", "9937703049"),
        ("هاتف 0556328584", "0556328584"),
        ("Falls niemand öffnet: 0151 6359 6439", "0151 6359 6439"),
        ("my number starts +44 7700", "+44 7700"),
    ],
)
def test_found(text: str, number: str) -> None:
    assert number in [text[start:end] for start, end, _ in find_phones(text)]


@pytest.mark.parametrize(
    "text", ["order 5550188", "order number 7714-2231", "on 2024-05-15", "+12 000 more", "1,250,000 rows"]
)
def test_left(text: str) -> None:
    assert not find_phones(text)
