"""What a site's own words are: its prompt template, the labels and enumerations of its answers.

Such words are the application's, not a person's; they stay as they are, or a specialist would learn a wrong form.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from hashlib import blake2b
from typing import Any

import msgspec

from deputize.core.contracts import closed_labels, parse_json_object, short_reply, text_of, tool_calls_of
from deputize.core.records import Call
from deputize.privacy.call_texts import message_strings
from deputize.privacy.dates import YEARLESS, find_dates
from deputize.privacy.detectors.sensitive_terms import numbers_of

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
class SiteVocabulary:
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
    """Parts of the template that were asked for already."""

    def holds(self, value: str) -> bool:
        """Whether a value is one of the site's own words or stands in its template."""
        folded = value.casefold().strip()
        if folded in self.words:
            return True
        if folded not in self.template:
            return False
        known = self.patterns.get(folded)
        if known is None:
            known = bool(re.search(rf"(?<!\w){re.escape(folded)}(?!\w)", self.template))
            self.patterns[folded] = known
        return known


class EpisodeLines:
    """The distinct lines that the calls of one episode (of one group) showed at one site, and who asked."""

    __slots__ = ("_lines", "_n_sorted", "group", "origins", "site")
    SYSTEM, PROMPT, REPLY = 0, 1, 2
    """Where a line stood: in a system prompt, in another message of the request, in the reply."""

    def __init__(self, site: str, group: str) -> None:
        self.site, self.group = site, group
        self.origins: tuple[str, ...] = ()
        self._lines = array("I")
        self._n_sorted = 0

    def add(self, place: int, lines: Iterable[int]) -> None:
        """Takes note of lines at a place; what is known already costs little."""
        self._lines.extend([4 * n + place for n in lines])
        if len(self._lines) > 2 * self._n_sorted + 64:
            self._tidy()

    def lines(self, *places: int) -> set[int]:
        """The numbers of the lines that stood at any of these places."""
        return {one >> 2 for one in self._lines if one & 3 in places}

    def _tidy(self) -> None:
        self._lines = array("I", sorted(set(self._lines)))
        self._n_sorted = len(self._lines)


class SiteStatistics:
    """What is remembered of the calls of one site while they pass by: words and counts, no texts."""

    def __init__(self) -> None:
        self.n_calls = self.n_dates = self.n_copied = self.n_numbers = self.n_copied_numbers = 0
        self._words: set[str] = set()
        self._schemas: set[bytes] = set()
        self._plain: Counter[str] = Counter()
        self._values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        self._counts: Counter[str] = Counter()

    def add(self, call: Call, days: Callable[[str], frozenset[date]]) -> None:
        """Takes note of a call.

        Args:
            call: the call.
            days: the days a text names, a date without a year as one of dates.YEARLESS.
        """
        self.n_calls += 1
        self._add_schemas(call)
        self._add_reply(call)
        said = {d.replace(year=YEARLESS) for text in message_strings(call.response) for d in days(text)}
        if said:
            read = {
                d.replace(year=YEARLESS)
                for m in call.messages
                for text in message_strings(m)
                for d in days(text)
            }
            self.n_dates += len(said)
            self.n_copied += len(said & read)
        numbers = {n for text in message_strings(call.response) for n in numbers_of(text)}
        if numbers:
            known = {n for m in call.messages for text in message_strings(m) for n in numbers_of(text)}
            self.n_numbers += len(numbers)
            self.n_copied_numbers += len(numbers & known)

    @property
    def dates_are_copied(self) -> bool:
        """Whether nearly every date in the replies stands in their prompts, so that all of them can move together."""
        return self.n_copied >= 0.95 * self.n_dates

    @property
    def numbers_are_copied(self) -> bool:
        """Whether nearly every number in the replies stands in their prompts, written alike."""
        return self.n_copied_numbers >= 0.95 * self.n_numbers

    def words(self) -> set[str]:
        """Names and enumeration values of tools and response formats; closed labels, and values of reply fields and
        tool arguments that come from a small set."""
        found = self._words | set(closed_labels(self._plain.elements()) or ())
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
                    self._words.update(_walk_schema(schema))

    def _add_reply(self, call: Call) -> None:
        group = call.group or call.episode or call.id
        made = tool_calls_of(call.response) or []
        for one in made:
            self._words.add(str(one["name"]))
            self._note(one["arguments"], f"{one['name']}.", group)
        if made:
            return
        text = text_of(call.response)
        parsed = parse_json_object(text)
        if parsed is None:
            self._plain[short_reply(text)] += 1
        else:
            self._note(parsed, "", group)

    def _note(self, value: Any, path: str, group: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                if not _PERSONAL_KEY.search(str(key)):
                    self._note(inner, f"{path}{key}.", group)
        elif isinstance(value, list):
            for inner in value:
                self._note(inner, path, group)
        elif isinstance(value, str) and 0 < len(value) <= 80 and len(self._values[path]) <= MAX_ENUM_VALUES:
            groups = self._values[path][value]
            if len(groups) < MIN_ENUM_GROUPS:
                groups.add(group)
            self._counts[path] += 1


def template_lines(traces: Iterable[EpisodeLines], n_calls: int, n_lines: int) -> frozenset[int]:
    """The numbers of the lines that make up a site's prompt templates.

    Args:
        traces: of the site.
        n_calls: calls of the site.
        n_lines: distinct lines of the whole log.
    """
    by_group: dict[str, list[EpisodeLines]] = defaultdict(list)
    for trace in traces:
        by_group[trace.group].append(trace)
    n_groups = len(by_group)
    out: set[int] = set()
    for place, share in ((EpisodeLines.SYSTEM, SYSTEM_SHARE), (EpisodeLines.PROMPT, OTHER_SHARE)):
        least = max(MIN_GROUPS, share * n_groups)
        if place == EpisodeLines.SYSTEM and n_groups < MIN_GROUPS and n_calls > 1:
            least = n_groups  # a log of few episodes: what all of them have
        n_groups_with = array("I", bytes(4 * n_lines))
        for group in by_group.values():
            for n in set().union(*(trace.lines(place) for trace in group)):
                n_groups_with[n] += 1
        out |= {n for n, count in enumerate(n_groups_with) if count and count >= least}
    n_origins = len({origin for group in by_group.values() for trace in group for origin in trace.origins})
    return frozenset(out if n_origins < MIN_ORIGINS else _of_many(out, by_group))


def _of_many(lines: set[int], by_group: Mapping[str, list[EpisodeLines]]) -> set[int]:
    """Those of the lines that came from at least MIN_ORIGINS origins."""
    origins_with: dict[int, set[str]] = {n: set() for n in lines}
    for group in by_group.values():
        origins = {origin for trace in group for origin in trace.origins}
        for n in lines.intersection(
            *[set().union(*(t.lines(EpisodeLines.SYSTEM, EpisodeLines.PROMPT) for t in group))]
        ):
            if len(origins_with[n]) < MIN_ORIGINS:
                origins_with[n] |= origins
    return {n for n in lines if len(origins_with[n]) >= MIN_ORIGINS}


def known_words(
    notes: SiteStatistics, lines: frozenset[int], text_of_line: Mapping[int, str]
) -> SiteVocabulary:
    """The words of a site: those of its notes, and the lines of its template with their text."""
    texts = [text_of_line[n] for n in sorted(lines)]
    return SiteVocabulary(
        template="\n" + "\n".join(texts).casefold() + "\n",
        lines=lines,
        words=frozenset(w.casefold() for w in notes.words()),
        has_date=any(find_dates(t) for t in texts),
    )


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
