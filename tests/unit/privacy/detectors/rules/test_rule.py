"""Parts that rules share: keys with their values, and capitalised words."""

from __future__ import annotations

import re
import time

import pytest

from deputize.privacy.detectors.rules.rule import CAPITALISED_WORD, FULL_NAME, has_digit, is_user_name, keyed


@pytest.mark.parametrize(
    "text",
    [
        "code: X1",
        '"code": "X1"',
        "DB_CODE = X1",
        "code is X1",
        "code\n  X1",
        "myCode=X1",
        '{\\"code\\": \\"X1\\"}',
    ],
)
def test_a_key_in_any_form_leads_to_its_value(text: str) -> None:
    match = keyed("code", "X[0-9]").search(text)
    assert match is not None and match["v"] == "X1"


def test_a_key_inside_a_word_does_not() -> None:
    assert keyed("code", "X[0-9]").search("barcode: X1") is None


def test_names_are_capitalised_words_in_a_row() -> None:
    for name in ("Ann Lee", "Zoë O'Neil", "J. van Berg", "Jean-Luc Dupont"):
        assert re.fullmatch(FULL_NAME, name), name
    assert not re.fullmatch(FULL_NAME, "ann lee") and re.fullmatch(CAPITALISED_WORD, "A.")


def test_a_long_word_that_fails_fails_at_once() -> None:
    start = time.monotonic()
    assert re.fullmatch(FULL_NAME, "Aa" * 20_000 + "!") is None
    assert time.monotonic() - start < 2


def test_values_that_are_no_names() -> None:
    assert is_user_name("annlee") and not is_user_name("string") and not is_user_name("ab")
    assert has_digit("a1") and not has_digit("a")
