"""Dates with the names of months in many languages, and those of East Asia: found and written again. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

_MONTHS = (
    "januar februar märz april mai juni juli august september oktober november dezember",
    "jänner feber maerz april mai juni juli august september oktober november dezember",
    "janvier février mars avril mai juin juillet août septembre octobre novembre décembre",
    "enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre",
    "janeiro fevereiro março abril maio junho julho agosto setembro outubro novembro dezembro",
    "stycznia lutego marca kwietnia maja czerwca lipca sierpnia września października listopada grudnia",
    "ocak şubat mart nisan mayıs haziran temmuz ağustos eylül ekim kasım aralık",
    "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
    "januari februari maart april mei juni juli augustus september oktober november december",
    "января февраля марта апреля мая июня июля августа сентября октября ноября декабря",
    "يناير فبراير مارس أبريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
    "जनवरी फ़रवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर अक्टूबर नवंबर दिसंबर",
    "जनवरी फरवरी मार्च अप्रैल मई जून जुलाई अगस्त सितम्बर अक्तूबर नवम्बर दिसम्बर",
)
_TABLES = [line.split() for line in _MONTHS]
_NAMES = "|".join(sorted({name for table in _TABLES for name in table}, key=lambda n: (-len(n), n)))
_ERAS = {"明治": 1867, "大正": 1911, "昭和": 1925, "平成": 1988, "令和": 2018}

NAMED_DATE = (
    rf"\d{{1,2}}(?:\.|º|°|er)?[ \u00a0](?:de[ ]|di[ ]|of[ ])?(?i:{_NAMES})(?![^\W\d_])(?:\.?,?[ \u00a0](?:de[ ]|del[ ])?\d{{4}}(?!\d))?"
    rf"|(?:\d{{4}}|(?:{'|'.join(_ERAS)})(?:\d{{1,2}}|元))\s?[年년]\s?\d{{1,2}}\s?[月월]\s?\d{{1,2}}\s?[日일号號]?"
)
"""A pattern of such dates."""

_DATE = re.compile(
    rf"""(?<![\w/.-])(?P<d>\d{{1,2}})(?:\.|º|°|er)?[ \u00a0](?:de[ ]|di[ ]|of[ ])?(?P<mon>(?i:{_NAMES}))(?![^\W\d_])(?:\.?,?[ \u00a0](?:de[ ]|del[ ])?(?P<y>\d{{4}})(?!\d))?
    | (?:(?P<era>{"|".join(_ERAS)})(?P<ey>\d{{1,2}}|元)|(?<!\d)(?P<y2>\d{{4}}))\s?[年년]\s?(?P<m2>\d{{1,2}})\s?[月월]\s?(?P<d2>\d{{1,2}})(?!\d)""".replace(
        "[ ]", r"[ ]"
    ),
    re.VERBOSE,
)
_SIGNS = (
    "年",
    "년",
    *sorted({name[:3] for table in _TABLES for name in table} - {"mai", "may"}),
    "mai ",
    "mayo",
    "mayı",
)


class NamedDate(NamedTuple):
    """A date in a text: its place, its day, and a function that writes another day in the same form."""

    start: int
    end: int
    day: date
    write: Callable[[date], str]
    has_year: bool


def find_named_dates(text: str, yearless: int) -> list[NamedDate]:
    """The dates of a text with the name of a month, or in the forms of East Asia; `yearless` is the year of those
    without one."""
    folded = text.lower()
    if not any(sign in folded for sign in _SIGNS):
        return []
    return [found for match in _DATE.finditer(text) if (found := _parse(match, yearless))]


def _parse(match: re.Match[str], yearless: int) -> NamedDate | None:
    try:
        if match["mon"]:
            return _with_name(match, yearless)
        era = _ERAS.get(match["era"] or "", 0)
        written = match["ey"] or match["y2"]
        day = date(era + (1 if written == "元" else int(written)), int(match["m2"]), int(match["d2"]))
    except ValueError:
        return None
    year = "ey" if era else "y2"

    def write(new: date) -> str:
        return _with(match, {year: str(max(1, new.year - era)), "m2": str(new.month), "d2": str(new.day)})

    return NamedDate(*match.span(), day, write, True)


def _with_name(match: re.Match[str], yearless: int) -> NamedDate:
    name = match["mon"]
    table = next(table for table in _TABLES if name.casefold() in table)
    month = table.index(name.casefold()) + 1
    day = date(int(match["y"]) if match["y"] else yearless, month, int(match["d"]))

    def write(new: date) -> str:
        made = table[new.month - 1]
        made = made.upper() if name.isupper() else made.capitalize() if name.istitle() else made
        parts = {"d": str(new.day), "mon": made}
        return _with(match, parts | ({"y": f"{new.year:04d}"} if match["y"] else {}))

    return NamedDate(*match.span(), day, write, bool(match["y"]))


def _with(match: re.Match[str], parts: dict[str, str]) -> str:
    """The match with some of its groups written again."""
    text, base = match.group(), match.start()
    for group in sorted(parts, key=lambda g: -match.start(g)):
        text = text[: match.start(group) - base] + parts[group] + text[match.end(group) - base :]
    return text
