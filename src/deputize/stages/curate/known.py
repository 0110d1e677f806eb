"""What a site's own words are: its prompt template, the labels and enumerations of its answers.

Such words are the application's, not a person's; they stay as they are, or a specialist would learn a wrong form.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from deputize.core.contracts import closed_labels, parse_json_object, text_of, tool_calls_of
from deputize.core.records import Call
from deputize.stages.curate.dates import YEARLESS, find_dates
from deputize.stages.curate.scanning import Scanner
from deputize.stages.curate.texts import message_strings

MIN_GROUPS = 8
SYSTEM_SHARE, OTHER_SHARE = 0.05, 0.20
"""A line of a system prompt (of another message) is template when this share of a site's groups has it."""
MIN_ORIGINS = 3
MAX_ENUM_VALUES, MIN_ENUM_GROUPS = 40, 5

_PERSONAL_KEY = re.compile(
    r"name|mail|phone|mobile|address|street|city|zip|user|login|account|holder|patient|passenger|ssn|dob|birth|contact|recipient|sender|owner",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Known:
    """The words of one site."""

    template: str = ""
    """The constant lines of its prompts, case folded, each between newlines."""
    lines: frozenset[int] = frozenset()
    """Numbers of those lines in the scanner."""
    words: frozenset[str] = frozenset()
    """Labels, enumeration values, tool and field names, case folded."""
    has_date: bool = False
    """Whether the template fixes a date, so that other dates may not move against it."""
    patterns: dict[str, bool] = field(default_factory=dict, compare=False)
    """Values asked for already."""

    def holds(self, value: str) -> bool:
        """Whether a value is one of the site's own words or stands in its template."""
        folded = value.casefold().strip()
        known = self.patterns.get(folded)
        if known is None:
            known = folded in self.words or bool(
                folded in self.template and re.search(rf"(?<!\w){re.escape(folded)}(?!\w)", self.template)
            )
            self.patterns[folded] = known
        return known


def known_words(calls: Sequence[Call], scanner: Scanner) -> Known:
    """The words of the site that made these calls; their texts have been added to the scanner."""
    lines = _template_lines(calls, scanner)
    texts = [scanner.line(n) for n in sorted(lines)]
    words = set(_schema_words(calls)) | set(_answer_words(calls))
    return Known(
        template="\n" + "\n".join(texts).casefold() + "\n", lines=frozenset(lines),
        words=frozenset(w.casefold() for w in words), has_date=any(find_dates(t) for t in texts),
    )  # fmt: skip


def _template_lines(calls: Sequence[Call], scanner: Scanner) -> set[int]:
    groups_with: dict[bool, Counter[int]] = {True: Counter(), False: Counter()}
    origins_with: dict[int, set[str]] = defaultdict(set)
    by_group: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        by_group[call.group or call.episode or call.id].append(call)
    n_origins = len({c.origin for c in calls if c.origin})
    for group in by_group.values():
        seen: dict[bool, set[str]] = {True: set(), False: set()}
        for call in group:
            for message in call.messages:
                is_system = message.get("role") in ("system", "developer")
                seen[is_system].update(message_strings(message))
        for is_system, texts in seen.items():
            here = {n for text in texts for n in scanner.lines(text)}
            groups_with[is_system].update(here)
            if n_origins >= MIN_ORIGINS:
                origins = {c.origin for c in group if c.origin}
                for n in here:
                    if len(origins_with[n]) < MIN_ORIGINS:
                        origins_with[n] |= origins
    n_groups = len(by_group)
    out: set[int] = set()
    for is_system, share in ((True, SYSTEM_SHARE), (False, OTHER_SHARE)):
        least = max(MIN_GROUPS, share * n_groups)
        if is_system and n_groups < MIN_GROUPS and len(calls) > 1:
            least = n_groups  # a log of few episodes: what all of them have
        out |= {n for n, count in groups_with[is_system].items() if count >= least}
    if n_origins >= MIN_ORIGINS:
        out = {n for n in out if len(origins_with[n]) >= MIN_ORIGINS}
    return out


def _schema_words(calls: Sequence[Call]) -> Iterator[str]:
    """Names and enumeration values of the tools and the response formats."""
    seen: set[int] = set()
    shapes: set[str] = set()
    for call in calls:
        for schema in (call.tools, call.response_format):
            if schema and id(schema) not in seen:
                seen.add(id(schema))
                shape = repr(schema)
                if shape not in shapes:
                    shapes.add(shape)
                    yield from _walk_schema(schema)


def _walk_schema(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("enum", "const", "name", "required"):
                yield from (v for v in (inner if isinstance(inner, list) else [inner]) if isinstance(v, str))
            if key == "properties" and isinstance(inner, dict):
                yield from inner
            yield from _walk_schema(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk_schema(inner)


def _answer_words(calls: Sequence[Call]) -> Iterator[str]:
    """Closed labels, and values of reply fields and tool arguments that come from a small set."""
    plain: list[str] = []
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    counts: Counter[str] = Counter()
    for call in calls:
        group = call.group or call.episode or call.id
        made = tool_calls_of(call.response) or []
        for one in made:
            yield str(one["name"])
            _note(one["arguments"], f"{one['name']}.", group, values, counts)
        if made:
            continue
        text = text_of(call.response)
        parsed = parse_json_object(text)
        if parsed is None:
            plain.append(text)
        else:
            _note(parsed, "", group, values, counts)
    yield from closed_labels(plain) or ()
    for path, groups_of in values.items():
        if len(groups_of) <= MAX_ENUM_VALUES and counts[path] >= 5 * len(groups_of):
            yield from (value for value, groups in groups_of.items() if len(groups) >= MIN_ENUM_GROUPS)


def _note(
    value: Any, path: str, group: str, values: dict[str, dict[str, set[str]]], counts: Counter[str]
) -> None:
    if isinstance(value, dict):
        for key, inner in value.items():
            if not _PERSONAL_KEY.search(str(key)):
                _note(inner, f"{path}{key}.", group, values, counts)
    elif isinstance(value, list):
        for inner in value:
            _note(inner, path, group, values, counts)
    elif isinstance(value, str) and 0 < len(value) <= 80 and len(values[path]) <= MAX_ENUM_VALUES:
        values[path][value].add(group)
        counts[path] += 1


def dates_are_copied(calls: Collection[Call], days: Callable[[str], frozenset[date]]) -> bool:
    """Whether nearly every date in the replies stands in their prompts, so that all of them can move together.

    Args:
        calls: the calls of one site.
        days: the days a text names, a date without a year as one of dates.YEARLESS.
    """
    n_dates = n_copied = 0
    for call in calls:
        said = {d.replace(year=YEARLESS) for text in message_strings(call.response) for d in days(text)}
        if said:
            read = {
                d.replace(year=YEARLESS)
                for m in call.messages
                for text in message_strings(m)
                for d in days(text)
            }
            n_dates += len(said)
            n_copied += len(said & read)
    return n_copied >= 0.95 * n_dates
