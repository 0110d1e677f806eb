"""Dates in the form that a description asks for."""

from __future__ import annotations

import pytest

from deputize.specialists.written_dates import dates_as_asked


@pytest.mark.parametrize(
    ("text", "description", "expected"),
    [
        ("on March 5th, 2023 please", "The date, in the format YYYY-MM-DD.", ["2023-03-05"]),
        ("the 5th of March 2023", "MM/DD/YYYY", ["03/05/2023"]),
        ("from 2023-4-1 to Apr 3, 2023", "yyyy-mm-dd", ["2023-04-01", "2023-04-03"]),
        ("on March 5th", "YYYY-MM-DD", []),
        ("on February 30, 2023", "YYYY-MM-DD", []),
        ("on March 5th, 2023", "The date.", []),
    ],
)
def test_whole_dates_are_written_as_asked(text: str, description: str, expected: list[str]) -> None:
    found = dates_as_asked(text, description)
    assert [day.text for day in found] == expected
    assert all(text[day.begin : day.finish].strip() for day in found)
