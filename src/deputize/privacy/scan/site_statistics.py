"""What the first pass over a log counts at each site: labels and enumerations, and how often dates and numbers are
copied."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from hashlib import blake2b
from typing import Any

import msgspec

from deputize.core.contracts import closed_labels, parse_json_object, short_reply, text_of, tool_calls_of
from deputize.core.records import Call
from deputize.privacy.call_texts import message_strings
from deputize.privacy.date_shift import YEARLESS
from deputize.privacy.detectors.numbers import numbers_of

MAX_ENUM_VALUES, MIN_ENUM_GROUPS = 40, 5
"""A field is an enumeration where it has at most so many values; a value counts where so many groups have it."""

_PERSONAL_KEY = re.compile(
    r"name|mail|phone|mobile|address|street|city|zip|user|login|account|holder|patient|passenger|ssn|dob|birth|contact|recipient|sender|owner",
    re.IGNORECASE,
)


class SiteStatistics:
    """Counts over the calls of one site, and the words of its schemas and replies; no texts are kept."""

    def __init__(self) -> None:
        self.n_calls = self.n_dates = self.n_copied_dates = self.n_numbers = self.n_copied_numbers = 0
        self._words: set[str] = set()
        self._schemas: set[bytes] = set()
        self.new_schemas: list[Any] = []
        """Tools and response formats that nobody has scanned yet."""
        self.schema_lines: set[int] = set()
        """Numbers of their lines in the line index."""
        self._short_replies: Counter[str] = Counter()
        self._values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._counts: Counter[str] = Counter()

    def add(self, call: Call, days: Callable[[str], frozenset[date]]) -> None:
        """Adds a call.

        Args:
            call: the call.
            days: returns the days that a text names; a date without a year is in the year dates.YEARLESS.
        """
        self.n_calls += 1
        self._add_schemas(call)
        self._add_reply(call)
        reply_days = {d.replace(year=YEARLESS) for text in message_strings(call.response) for d in days(text)}
        if reply_days:
            prompt_days = {
                d.replace(year=YEARLESS)
                for m in call.messages
                for text in message_strings(m)
                for d in days(text)
            }
            self.n_dates += len(reply_days)
            self.n_copied_dates += len(reply_days & prompt_days)
        numbers = {n for text in message_strings(call.response) for n in numbers_of(text)}
        if numbers:
            prompt_numbers = {
                n for m in call.messages for text in message_strings(m) for n in numbers_of(text)
            }
            self.n_numbers += len(numbers)
            self.n_copied_numbers += len(numbers & prompt_numbers)

    @property
    def dates_are_copied(self) -> bool:
        """True where nearly every date in the replies is in their prompts too, so that all of them can move
        together."""
        return self.n_copied_dates >= 0.95 * self.n_dates

    @property
    def numbers_are_copied(self) -> bool:
        """True where nearly every number in the replies is in their prompts too, written alike."""
        return self.n_copied_numbers >= 0.95 * self.n_numbers

    def words(self) -> set[str]:
        """Names and enumeration values of tools and response formats, closed labels, and values of reply fields and
        tool arguments that come from a small set."""
        return self._words | self.answers()

    def answers(self) -> set[str]:
        """Closed labels, and values of reply fields and tool arguments that come from a small set."""
        found = set(closed_labels(self._short_replies.elements()) or ())
        for path, groups_of in self._values.items():
            if len(groups_of) <= MAX_ENUM_VALUES and self._counts[path] >= 5 * len(groups_of):
                found |= {value for value, groups in groups_of.items() if len(groups) >= MIN_ENUM_GROUPS}
        return found

    def _add_schemas(self, call: Call) -> None:
        for schema in (call.tools, call.response_format):
            if schema:
                digest = blake2b(msgspec.json.encode(schema), digest_size=16).digest()
                if digest not in self._schemas:
                    self._schemas.add(digest)
                    self.new_schemas.append(schema)
                    self._words.update(_schema_words(schema))

    def _add_reply(self, call: Call) -> None:
        group = call.group or call.episode or call.id
        tool_calls = tool_calls_of(call.response) or []
        for one in tool_calls:
            self._words.add(str(one["name"]))
            self._add_values(one["arguments"], f"{one['name']}.", group)
        if tool_calls:
            return
        text = text_of(call.response)
        parsed = parse_json_object(text)
        if parsed is None:
            self._short_replies[short_reply(text)] += 1
        else:
            self._add_values(parsed, "", group)

    def _add_values(self, value: Any, path: str, group: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if not _PERSONAL_KEY.search(str(key)):
                    self._add_values(inner, f"{path}{key}.", group)
        elif isinstance(value, list):
            for inner in value:
                self._add_values(inner, path, group)
        elif isinstance(value, str) and 0 < len(value) <= 80 and len(self._values[path]) <= MAX_ENUM_VALUES:
            groups = self._values[path][value]
            if len(groups) < MIN_ENUM_GROUPS:
                groups.add(group)
            self._counts[path] += 1


def _schema_words(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("enum", "const", "name", "required"):
                yield from (v for v in (inner if isinstance(inner, list) else [inner]) if isinstance(v, str))
            if key == "properties" and isinstance(inner, dict):
                yield from inner
            yield from _schema_words(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _schema_words(inner)
