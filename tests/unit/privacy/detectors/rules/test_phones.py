"""Phone numbers by form, context and country."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.rules.phones import find_phones


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Para dudas, llame al 615 08 27 34.", "615 08 27 34"),
        ("dzwonić 22 617 40 93", "22 617 40 93"),
        ("Sorun olursa 0532 264 81 70 arayın", "0532 264 81 70"),
        ("电话 13704415926", "13704415926"),
        ("तो 9812046375 पर फ़ोन करें", "9812046375"),
        ("هاتف 0541907263", "0541907263"),
        ("Bei Fragen: 0160 4427 8915", "0160 4427 8915"),
        ("my number starts +44 7700", "+44 7700"),
        ("https://wa.me/447700900123?text=x", "447700900123"),
        ("whatsapp.com/send?phone=%2B447700900123", "447700900123"),
    ],
)
def test_found(text: str, number: str) -> None:
    assert number in [text[start:end] for start, end, _ in find_phones(text)]


@pytest.mark.parametrize(
    "text", ["order 5550188", "order number 7714-2231", "on 2024-05-15", "+12 000 more", "1,250,000 rows"]
)
def test_left(text: str) -> None:
    assert not find_phones(text)
