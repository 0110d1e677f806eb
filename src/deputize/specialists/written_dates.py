"""Dates in a text, written in the form that an argument's description asks for. English names of months; day and month
as numbers only in ISO form."""

from __future__ import annotations

import re
from datetime import date
from typing import Final, NamedTuple

_MONTHS: Final = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905
_NAME: Final = r"(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?"
_MONTH_FIRST: Final = re.compile(
    rf"\b{_NAME}\s+(\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?:of\s+)?(\d{{4}})\b", re.IGNORECASE
)
_DAY_FIRST: Final = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?{_NAME},?\s+(\d{{4}})\b", re.IGNORECASE
)
_ISO: Final = re.compile(r"\b(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})\b")
FORMS: Final = {
    "YYYY-MM-DD": "%Y-%m-%d",
    "MM/DD/YYYY": "%m/%d/%Y",
    "DD/MM/YYYY": "%d/%m/%Y",
    "DD-MM-YYYY": "%d-%m-%Y",
    "MM-DD-YYYY": "%m-%d-%Y",
    "YYYY/MM/DD": "%Y/%m/%d",
    "YYYYMMDD": "%Y%m%d",
}
"""As descriptions write a form -> as strftime does."""


class WrittenDate(NamedTuple):
    """A date in the form asked for, and the characters that it stands in."""

    text: str
    begin: int
    finish: int


def dates_as_asked(text: str, description: str) -> list[WrittenDate]:
    """The whole dates of a text in the forms that a description names; [] where it names none."""
    asked = description.upper()
    forms = [form for name, form in FORMS.items() if name in asked]
    return [WrittenDate(day.strftime(form), a, b) for form in forms for day, a, b in _dates(text)]


def _dates(text: str) -> list[tuple[date, int, int]]:
    found = [(m, m[3], _month(m[1]), m[2]) for m in _MONTH_FIRST.finditer(text)]
    found += [(m, m[3], _month(m[2]), m[1]) for m in _DAY_FIRST.finditer(text)]
    found += [(m, m[1], int(m[2]), m[3]) for m in _ISO.finditer(text)]
    out = []
    for match, year, month, day in sorted(found, key=lambda one: one[0].start()):
        try:
            out.append((date(int(year), month, int(day)), match.start(), match.end()))
        except ValueError:
            continue
    return out


def _month(name: str) -> int:
    return _MONTHS.index(name[:3].lower()) + 1
