"""Terms, patterns and fields that the user of an application names as sensitive: a code name, a ward, a diagnosis."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from deputize.core.errors import BadInput
from deputize.privacy.detectors.base import Span

FIELD, PATTERN = "field:", "re:"
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")


class SensitiveDetector:
    """Finds terms (whole words, in any case), patterns (`re:...`) and values of fields (`field:NAME`).

    A field's value follows `NAME:` or `NAME =` on a line, or is the value of that key in JSON.
    """

    name = "sensitive"

    def __init__(self, entries: Iterable[str]) -> None:
        """Raises BadInput for an empty entry, an invalid pattern, and a pattern that matches the empty text."""
        terms, fields, self._patterns = list[str](), list[str](), list[re.Pattern[str]]()
        for entry in entries:
            kind = FIELD if entry.startswith(FIELD) else PATTERN if entry.startswith(PATTERN) else ""
            text = entry[len(kind) :].strip()
            if not text:
                raise BadInput(f"[privacy] sensitive: {entry!r} is empty.")
            if kind == PATTERN:
                self._patterns.append(_compiled(entry, text))
            else:
                (fields if kind else terms).append(re.escape(text).replace(r"\ ", r"\s+"))
        if terms:
            joined = "|".join(sorted(terms, key=len, reverse=True))
            self._patterns.append(re.compile(rf"(?<!\w)(?:{joined})(?!\w)", re.IGNORECASE))
        names = "|".join(fields)
        self._field_start = (
            re.compile(rf'(?<!\w)"?(?:{names})"?\s*[:=]\s*(?=\S)', re.IGNORECASE) if fields else None
        )

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [
            [Span("SENSITIVE", *interval, 1.0, self.name) for interval in self._intervals(text)]
            for text in texts
        ]

    def _intervals(self, text: str) -> Iterator[tuple[int, int]]:
        for pattern in self._patterns:
            yield from (m.span() for m in pattern.finditer(text) if m.end() > m.start())
        for start in self._field_start.finditer(text) if self._field_start else ():
            yield from _values_at(text, start.end())


def _compiled(entry: str, text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise BadInput(f"[privacy] sensitive: {entry!r} is not a regular expression: {error}.") from None
    if pattern.match(""):
        raise BadInput(
            f"[privacy] sensitive: {entry!r} matches the empty text, so it would match everywhere."
        )
    return pattern


def _values_at(text: str, at: int) -> Iterator[tuple[int, int]]:
    """[start, end) of a field's value that begins at `at`: a JSON string, the strings of a list, a bare JSON value, or
    the rest of the line."""
    if text[at] == "[":
        end = text.find("]", at)
        end = len(text) if end < 0 else end
        for match in _STRING.finditer(text, at, end):
            yield from _unescaped(text, *match.span(1))
    elif quoted := _STRING.match(text, at):
        yield from _unescaped(text, *quoted.span(1))
    else:
        end = (
            min((i for mark in ",}" if (i := text.find(mark, at)) >= 0), default=len(text))
            if "{" in text[:at]
            else len(text)
        )
        value = text[at:end].rstrip()
        if value and value not in ("null", "true", "false", "{"):
            yield at, at + len(value)


def _unescaped(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The parts of a JSON string between its escapes, which are the same after decoding."""
    for escape in _ESCAPE.finditer(text, start, end):
        if escape.start() > start:
            yield start, escape.start()
        start = escape.end()
    if end > start:
        yield start, end
