"""Dates with names of months in many languages are read, and written in their own form."""

from __future__ import annotations

from datetime import date

import pytest

from deputize.privacy.date_shift import find_dates, shift_dates


@pytest.mark.parametrize(
    ("text", "day", "moved"),
    [
        ("geb. 4. März 1963", date(1963, 3, 4), "geb. 11. März 1963"),
        ("el 4 de junio de 1963", date(1963, 6, 4), "el 11 de junio de 1963"),
        ("née le 1er août 1989", date(1989, 8, 1), "née le 8er août 1989"),
        ("10 czerwca 1964 r.", date(1964, 6, 10), "17 czerwca 1964 r."),
        ("28 Ekim 1977", date(1977, 10, 28), "4 Kasım 1977"),
        ("5 أكتوبر 1973", date(1973, 10, 5), "12 أكتوبر 1973"),
        ("15 मार्च 1975", date(1975, 3, 15), "22 मार्च 1975"),
        ("1960年12月24日", date(1960, 12, 24), "1960年12月31日"),
        ("昭和36年1月23日", date(1961, 1, 23), "昭和36年1月30日"),
    ],
)
def test_dates_of_many_languages(text: str, day: date, moved: str) -> None:
    assert [d.day for d in find_dates(text)] == [day]
    assert shift_dates(text, 7) == moved


def test_no_date() -> None:
    assert find_dates("32 de junio de 1963") == [] and find_dates("die 12 Märzenbecher") == []
