"""Finds dates in text and moves them by whole days, keeping the way they are written."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from datetime import date, timedelta
from typing import NamedTuple

from deputize.privacy.month_names import find_named_dates

_MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_NUMBER = {m.lower(): i for i, m in enumerate(_MONTHS, 1)} | {
    m[:3].lower(): i for i, m in enumerate(_MONTHS, 1)
}
_NUMBER["sept"] = 9
_NAME = "|".join([*_MONTHS, *(m[:3] for m in _MONTHS if m != "May"), "Sept"])
YEARLESS = 2024
"""The year of dates without a year; a leap year, so that February 29 exists."""

_DATE = re.compile(
    rf"""(?<![\w/.-])(?:
      (?P<y>\d{{4}})(?P<s1>[-/.])(?P<m>\d{{1,2}})(?P=s1)(?P<d>\d{{1,2}})(?=$|[^\d/.-]|[.-](?!\d))
    | (?P<a>\d{{1,2}})(?P<s2>[-/.])(?P<b>\d{{1,2}})(?P=s2)(?P<y2>\d{{4}}|\d{{2}})(?![\w/-]|\.\d)
    | (?P<mon>(?i:{_NAME}))\.?\s+(?P<d3>\d{{1,2}})(?P<o3>st|nd|rd|th)?(?:(?P<c3>,?\s+)(?P<y3>\d{{4}}))?(?![\w:]|[,.]\d)
    | (?P<d4>\d{{1,2}})(?P<o4>st|nd|rd|th)?\s+(?:of\s+)?(?P<mon4>(?i:{_NAME}))\b(?:(?P<c4>,?\s+)(?P<y4>\d{{4}}\b|['’]\d{{2}}\b|\d{{2}}(?=$|[;)\]"'\n]|[.,](?!\d))))?
    )""",
    re.VERBOSE,
)


class DateMention(NamedTuple):
    """A date in a text: its position, its day, and a function that writes another day in the same form."""

    start: int
    end: int
    day: date
    write: Callable[[date], str]
    has_year: bool


def find_dates(text: str) -> list[DateMention]:
    """All dates of a text in the common written forms; of two numbers the first is the month where that is possible."""
    out: list[DateMention] = []
    for match in _DATE.finditer(text):
        found = _parse(match)
        if found is not None:
            out.append(found)
    taken = [(d.start, d.end) for d in out]
    for named in find_named_dates(text, YEARLESS):
        if not any(named.start < end and start < named.end for start, end in taken):
            out.append(DateMention(*named))
    return sorted(out, key=lambda d: d.start)


def shift_dates(text: str, n_days: int, only: Collection[date] | None = None) -> str:
    """The text with every date (or only those in `only`) moved by `n_days`, each in its own written form."""
    parts: list[str] = []
    at = 0
    for found in find_dates(text):
        if only is not None and found.day not in only:
            continue
        try:
            moved = found.day + timedelta(days=n_days)
        except OverflowError:
            continue
        parts += [text[at : found.start], found.write(moved)]
        at = found.end
    return "".join([*parts, text[at:]]) if parts else text


def _parse(match: re.Match[str]) -> DateMention | None:
    g = match.groupdict()
    text = match.group()
    try:
        if g["y"]:
            day = date(int(g["y"]), int(g["m"]), int(g["d"]))
            sep, wm, wd = g["s1"], len(g["m"]), len(g["d"])
            return DateMention(
                match.start(),
                match.end(),
                day,
                lambda x: f"{x.year:04d}{sep}{x.month:0{wm}d}{sep}{x.day:0{wd}d}",
                True,
            )
        if g["y2"]:
            return _numeric(match, g)
        name = g["mon"] or g["mon4"]
        number = int(g["d3"] or g["d4"])
        year = g["y3"] or g["y4"]
        day = date(_full_year(year) if year else YEARLESS, _NUMBER[name.lower()], number)
    except ValueError:
        return None
    ordinal = g["o3"] or g["o4"]

    def write(new: date) -> str:
        out = re.sub(re.escape(name), _month_like(name, new.month), text, count=1)
        out = re.sub(
            r"(?<!\d)\d{1,2}(?!\d)(?:st|nd|rd|th)?",
            f"{new.day}{_ordinal(new.day) if ordinal else ''}",
            out,
            count=1,
        )
        if not year:
            return out
        made = f"{new.year:04d}" if len(year) == 4 else f"{year[:-2]}{new.year % 100:02d}"
        return out[: -len(year)] + made

    return DateMention(match.start(), match.end(), day, write, bool(year))


def _numeric(match: re.Match[str], g: dict[str, str]) -> DateMention:
    a, b, sep, wide = int(g["a"]), int(g["b"]), g["s2"], len(g["y2"]) == 4
    month_first = a <= 12 and sep != "."
    month, number = (a, b) if month_first else (b, a)
    day = date(_full_year(g["y2"]), month, number)
    wa, wb = len(g["a"]), len(g["b"])

    def write(new: date) -> str:
        x, y = (new.month, new.day) if month_first else (new.day, new.month)
        return f"{x:0{wa}d}{sep}{y:0{wb}d}{sep}{new.year if wide else f'{new.year % 100:02d}'}"

    return DateMention(match.start(), match.end(), day, write, True)


def _full_year(written: str) -> int:
    """The year of two or four digits, with or without an apostrophe; 00 to 49 are in this century."""
    year = int(written.lstrip("'’"))
    return year if len(written) == 4 else 2000 + year if year < 50 else 1900 + year


_PARTIAL_DATE = re.compile(
    rf"""(?P<name>(?i:{_NAME}))(?P<gap>\.?,?\s+)(?P<y1>\d{{4}}) | (?P<m2>\d{{1,2}})(?P<s2>[/.])(?P<y2>\d{{4}})
    | (?P<y3>\d{{4}})(?P<s3>[-/.])(?P<m3>\d{{1,2}}) | (?P<y4>\d{{4}})(?P<m4>\d{{2}})(?P<d4>\d{{2}})""",
    re.VERBOSE,
)


def shift_partial_date(text: str, n_days: int) -> str | None:
    """A date without separators (19870412) or without a day ("October 1983", 10/1983, 1983-10) moved by about `n_days`,
    in the same form and by at least a month where there is no day; None where the text is not such a date."""
    match = _PARTIAL_DATE.fullmatch(text.strip())
    if match is None:
        return None
    g = match.groupdict()
    try:
        if g["y4"]:
            moved = date(int(g["y4"]), int(g["m4"]), int(g["d4"])) + timedelta(days=n_days)
            return f"{moved.year:04d}{moved.month:02d}{moved.day:02d}"
        year = int(g["y1"] or g["y2"] or g["y3"])
        month = _NUMBER[g["name"].lower()] if g["name"] else int(g["m2"] or g["m3"])
        months = round(n_days / 30.44) or (1 if n_days > 0 else -1)
        count = date(year, month, 1).year * 12 + month - 1 + months
        year, month = count // 12, count % 12 + 1
        date(year, month, 1)
    except (ValueError, OverflowError):
        return None
    if g["name"]:
        return f"{_month_like(g['name'], month)}{g['gap']}{year:04d}"
    if g["y2"]:
        return f"{month:0{len(g['m2'])}d}{g['s2']}{year:04d}"
    return f"{year:04d}{g['s3']}{month:0{len(g['m3'])}d}"


def _month_like(written: str, month: int) -> str:
    full = _MONTHS[month - 1]
    name = full if len(written) > 4 or written.lower() in ("may", "june", "july") else full[:3]
    return name.upper() if written.isupper() else name.lower() if written.islower() else name


def _ordinal(number: int) -> str:
    return "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
