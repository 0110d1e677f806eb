"""Headers as lists."""

from __future__ import annotations

from deputize.http.headers import header, header_safe


def test_the_first_value_of_a_header_counts() -> None:
    headers = [("a", "1"), ("b", "2"), ("b", "3")]
    assert header(headers, "b") == "2" and header(headers, "c", "none") == "none"


def test_text_is_made_fit_for_a_header() -> None:
    assert header_safe("a\r\nb: ü") == "a??b: ?"
    assert header_safe("abc", limit=2) == "ab"
