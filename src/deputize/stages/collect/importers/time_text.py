"""Times and durations as logs write them: ISO 8601, mail headers, lines of web servers, databases, clocks."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_LONG_FRACTION = re.compile(r"(?<=[.,]\d{6})\d+")
_FORMS = (
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d/%b/%Y:%H:%M:%S %z",  # web servers
)
_UNITS = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "sec": 1e3, "seconds": 1e3}
_WITH_UNIT = re.compile(r"([0-9]+(?:\.[0-9]+)?) ?([a-zµμ]+)")
_CLOCK = re.compile(r"(\d{1,4}):(\d\d):(\d\d(?:[.,]\d+)?)")
_ISO = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?")


def time_of_text(value: str) -> float | None:
    """Unix seconds; UTC where no zone is given. None where the text is no time, or its day could be its month."""
    text = value.strip()
    if text[:3].isalpha() and "," in text[:5]:
        try:
            return _utc(parsedate_to_datetime(text))
        except (TypeError, ValueError):
            return None
    if not text[:1].isdigit() or not any(sign in text for sign in "-/:"):
        return None
    # BigQuery and Go write up to nine digits
    text = _LONG_FRACTION.sub("", text.removesuffix(" UTC").removesuffix(" GMT").strip())
    try:
        return _utc(datetime.fromisoformat(text))
    except ValueError:
        pass
    for form in _FORMS:
        try:
            moment = datetime.strptime(text, form)
        except ValueError:
            continue
        if form.startswith("%m") and moment.day <= 12 and moment.day != moment.month:
            return None
        return _utc(moment)
    return None


def _utc(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def milliseconds_of_text(value: str) -> float | None:
    """Milliseconds of "800 ms", "0.8s", "0:00:00.800" or "PT0.8S"; None where the text is no duration with a unit."""
    text = value.strip()
    if (found := _WITH_UNIT.fullmatch(text)) is not None and found[2] in _UNITS:
        return float(found[1]) * _UNITS[found[2]]
    if (found := _CLOCK.fullmatch(text)) is not None:
        return (int(found[1]) * 3600 + int(found[2]) * 60 + float(found[3].replace(",", "."))) * 1000
    if (found := _ISO.fullmatch(text)) is not None and any(found.groups()):
        return (int(found[1] or 0) * 3600 + int(found[2] or 0) * 60 + float(found[3] or 0)) * 1000
    return None
