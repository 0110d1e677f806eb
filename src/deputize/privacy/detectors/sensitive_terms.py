"""What an application holds for sensitive beside personal data: its own terms, patterns and fields; numeric details.

Named by the user, since nobody else can know: a code name, a ward, a diagnosis. At level "paraphrase" numbers are
replaced too. Both go through the map of the episode, so that what an answer copies is still copied.

References:
    Belcak et al. 2025, arXiv 2506.02153, section 6, step S2: paraphrase named entities and numeric details without losing
    the information that the task needs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

from deputize.core.contracts import parse_json_object, text_of, tool_calls_of
from deputize.core.errors import BadInput
from deputize.core.records import Call
from deputize.privacy.call_texts import message_strings, rewrite_text
from deputize.privacy.dates import find_dates
from deputize.privacy.detectors.base import Span

FIELD, PATTERN = "field:", "re:"
MAX_LABEL_CHARS = 80
_NUMBER = re.compile(
    r"(?<![\w.,/-])(?<!\d:)(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{3,12}(?:\.\d+)?|\d{1,2}\.\d{2,})(?![\w:/-]|[.,]\d)"
)
_YEAR = re.compile(r"(?:19|20)\d\d")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|.)")


class SensitiveDetector:
    """Finds the terms (whole words, in any case), patterns (`re:...`) and values of fields (`field:NAME`) that a user named.

    A field's value is what follows `NAME:` or `NAME =` on a line, or stands under that key in JSON.
    """

    name = "sensitive"

    def __init__(self, named: Iterable[str]) -> None:
        """Raises BadInput for an empty entry or a pattern that is none, or that fits the empty text."""
        terms, fields, self._patterns = list[str](), list[str](), list[re.Pattern[str]]()
        for entry in named:
            kind = FIELD if entry.startswith(FIELD) else PATTERN if entry.startswith(PATTERN) else ""
            text = entry[len(kind) :].strip()
            if not text:
                raise BadInput(f"[privacy] sensitive: {entry!r} names nothing.")
            if kind == PATTERN:
                self._patterns.append(_compiled(entry, text))
            else:
                (fields if kind else terms).append(re.escape(text).replace(r"\ ", r"\s+"))
        if terms:
            joined = "|".join(sorted(terms, key=len, reverse=True))
            self._patterns.append(re.compile(rf"(?<!\w)(?:{joined})(?!\w)", re.IGNORECASE))
        names = "|".join(fields)
        self._head = re.compile(rf'(?<!\w)"?(?:{names})"?\s*[:=]\s*(?=\S)', re.IGNORECASE) if fields else None

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [[Span("SENSITIVE", *place, 1.0, self.name) for place in self._places(text)] for text in texts]

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        for pattern in self._patterns:
            yield from (m.span() for m in pattern.finditer(text) if m.end() > m.start())
        for head in self._head.finditer(text) if self._head else ():
            yield from _values_at(text, head.end())


def _compiled(entry: str, text: str) -> re.Pattern[str]:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise BadInput(f"[privacy] sensitive: {entry!r} is no regular expression: {error}.") from None
    if pattern.match(""):
        raise BadInput(f"[privacy] sensitive: {entry!r} fits the empty text, so it would fit everywhere.")
    return pattern


def _values_at(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Places of a field's value: a JSON string, the strings of a list, a bare JSON value, or the rest of the line."""
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
    """The parts of a JSON string between its escapes: they read the same once it is decoded."""
    for escape in _ESCAPE.finditer(text, start, end):
        if escape.start() > start:
            yield start, escape.start()
        start = escape.end()
    if end > start:
        yield start, end


class NumberDetector:
    """Finds numbers that tell something: three digits or more, or decimals; no years, dates, times or parts of ids."""

    name = "numbers"

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        return [[Span("AMOUNT", *place, 0.1, self.name) for place in number_places(text)] for text in texts]


def number_places(text: str) -> list[tuple[int, int]]:
    """Where the numbers of a text are, as NumberDetector means them."""
    found = [m.span(1) for m in _NUMBER.finditer(text) if not _YEAR.fullmatch(m.group(1))]
    if not found:
        return []
    dates = [(d.start, d.end) for d in find_dates(text)]
    return [(a, b) for a, b in found if not any(a < end and start < b for start, end in dates)]


@lru_cache(maxsize=4096)
def numbers_of(text: str) -> frozenset[str]:
    """The numbers of a text, as they are written."""
    return frozenset(text[a:b] for a, b in number_places(text))


def needed(call: Call, labels: Collection[str]) -> tuple[set[str], set[str]]:
    """(labels, copies): what the answer says that is one of the task's own words, and what it copies out of the prompt.

    Args:
        call: a call.
        labels: the words of its site, case folded.
    """
    said = set(_leaves(call))
    prompt = "\n".join(_prompt(call))
    own = {value for value in said if value.casefold().strip() in labels}
    return own, {value for value in said - own if len(value) > 2 and stands_in(value, prompt)}


def keeps_what_is_needed(call: Call, clean: Callable[[str], str], labels: Collection[str]) -> bool:
    """Whether a rewritten call still says what its task needs: labels are as they were, copies are still copies."""
    own, copies = needed(call, labels)
    if any(clean(value) != value for value in own):
        return False
    prompt = "\n".join(rewrite_text(text, clean) for text in _prompt(call)) if copies else ""
    return all(stands_in(clean(value), prompt) for value in copies)


def stands_in(value: str, text: str) -> bool:
    """Whether a value stands in a text as a whole, not as a part of a longer word or number."""
    at = text.find(value)
    while at >= 0:
        end = at + len(value)
        if not (value[0].isalnum() and text[at - 1 : at].isalnum()) and not (
            value[-1].isalnum() and text[end : end + 1].isalnum()
        ):
            return True
        at = text.find(value, at + 1)
    return False


def _prompt(call: Call) -> list[str]:
    return [text for message in call.messages for text in message_strings(message)]


def _leaves(call: Call) -> Iterator[str]:
    """The values of an answer: of its tool arguments or JSON fields, or the whole of a short text."""
    made = tool_calls_of(call.response)
    text = text_of(call.response)
    value: Any = [one["arguments"] for one in made] if made else parse_json_object(text)
    if value is None:
        if 0 < len(text.strip()) <= MAX_LABEL_CHARS:
            yield text.strip()
        return
    stack = [value]
    while stack:
        inner = stack.pop()
        if isinstance(inner, dict):
            stack.extend(inner.values())
        elif isinstance(inner, list):
            stack.extend(inner)
        elif isinstance(inner, str) and inner.strip():
            yield inner.strip()
        elif isinstance(inner, int | float) and not isinstance(inner, bool):
            yield json.dumps(inner)
