"""Dates with names of months in many languages are read, and written in their own form."""

from __future__ import annotations

from datetime import date

import pytest

from deputize.privacy.date_shift import find_dates, shift_dates


@pytest.mark.parametrize(
    ("text", "day", "moved"),
    [
        ("geb. 2. April 1957", date(1957, 4, 2), "geb. 9. April 1957"),
        ("el 6 de mayo de 1971", date(1971, 5, 6), "el 13 de mayo de 1971"),
        ("née le 1er juin 1994", date(1994, 6, 1), "née le 8er juin 1994"),
        ("9 lipca 1958 r.", date(1958, 7, 9), "16 lipca 1958 r."),
        ("26 Eylül 1966", date(1966, 9, 26), "3 Ekim 1966"),
        ("3 نوفمبر 1986", date(1986, 11, 3), "10 نوفمبر 1986"),
        ("8 जनवरी 1983", date(1983, 1, 8), "15 जनवरी 1983"),
        ("1949年8月17日", date(1949, 8, 17), "1949年8月24日"),
        ("昭和42年5月11日", date(1967, 5, 11), "昭和42年5月18日"),
    ],
)
def test_dates_of_many_languages(text: str, day: date, moved: str) -> None:
    assert [d.day for d in find_dates(text)] == [day]
    assert shift_dates(text, 7) == moved


def test_no_date() -> None:
    assert find_dates("32 de mayo de 1971") == [] and find_dates("die 12 Märzenbecher") == []
