"""The vocabulary of a site, which is not replaced: its prompt template, and the labels and enumerations of its answers.

Such words are the application's, not a person's. With surrogates for them a specialist would be trained on wrong
answers.
"""

from __future__ import annotations

import re
from array import array
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from deputize.privacy.date_shift import find_dates
from deputize.privacy.scan.episode_lines import EpisodeLines
from deputize.privacy.scan.site_statistics import SiteStatistics

MIN_GROUPS = 8
SYSTEM_SHARE, OTHER_SHARE = 0.05, 0.20
"""A line of a system prompt (of another message) is template where this share of a site's groups has it."""
MIN_ORIGINS = 3


@dataclass(frozen=True)
class SiteVocabulary:
    """The words of one site that belong to the application."""

    template: str = ""
    """The constant lines of its prompts, case folded, each between newlines."""
    lines: frozenset[int] = frozenset()
    """Numbers of these lines in the line index."""
    words: frozenset[str] = frozenset()
    """Labels, enumeration values, tool and field names, case folded."""
    answers: frozenset[str] = frozenset()
    """Those of the words that the answers of many episodes hold."""
    schema_lines: frozenset[int] = frozenset()
    """Numbers of the lines of its tools and response formats in the line index."""
    has_date: bool = False
    """True where the template contains a date, so that other dates may not move relative to it."""
    cache: dict[str, bool] = field(default_factory=dict, compare=False)
    """Cache: value, case folded -> whether the template contains it as whole words."""

    def contains(self, value: str) -> bool:
        """True where a value is one of the site's words or part of its template."""
        return value.casefold().strip() in self.words or self._is_in_template(value)

    def is_everywhere(self, value: str) -> bool:
        """True where a value is a part of the template, or an answer of many episodes; a schema alone does not
        count."""
        return value.casefold().strip() in self.answers or self._is_in_template(value)

    def _is_in_template(self, value: str) -> bool:
        folded = value.casefold().strip()
        if folded not in self.template:
            return False
        known = self.cache.get(folded)
        if known is None:
            known = bool(re.search(rf"(?<!\w){re.escape(folded)}(?!\w)", self.template))
            self.cache[folded] = known
        return known

    def is_template_line(self, line: str) -> bool:
        """True where a line belongs to the template."""
        return f"\n{line.casefold()}\n" in self.template


def template_lines(episodes: Iterable[EpisodeLines], n_calls: int, n_lines: int) -> frozenset[int]:
    """The numbers of the lines that make up a site's prompt templates.

    Args:
        episodes: of the site.
        n_calls: calls of the site.
        n_lines: distinct lines of the whole log.
    """
    by_group: dict[str, list[EpisodeLines]] = defaultdict(list)
    for one in episodes:
        by_group[one.group].append(one)
    n_groups = len(by_group)
    out: set[int] = set()
    for place, share in ((EpisodeLines.SYSTEM, SYSTEM_SHARE), (EpisodeLines.PROMPT, OTHER_SHARE)):
        min_groups = max(MIN_GROUPS, share * n_groups)
        if place == EpisodeLines.SYSTEM and n_groups < MIN_GROUPS and n_calls > 1:
            min_groups = n_groups  # a log of few episodes: the lines that all of them have
        n_groups_with = array("I", bytes(4 * n_lines))
        for group in by_group.values():
            for n in set().union(*(one.lines(place) for one in group)):
                n_groups_with[n] += 1
        out |= {n for n, count in enumerate(n_groups_with) if count and count >= min_groups}
    n_origins = len({origin for group in by_group.values() for one in group for origin in one.origins})
    return frozenset(out if n_origins < MIN_ORIGINS else _from_many_origins(out, by_group))


def _from_many_origins(lines: set[int], by_group: Mapping[str, list[EpisodeLines]]) -> set[int]:
    """The lines that at least MIN_ORIGINS origins have."""
    origins_with: dict[int, set[str]] = {n: set() for n in lines}
    for group in by_group.values():
        origins = {origin for one in group for origin in one.origins}
        for n in lines.intersection(
            *[set().union(*(one.lines(EpisodeLines.SYSTEM, EpisodeLines.PROMPT) for one in group))]
        ):
            if len(origins_with[n]) < MIN_ORIGINS:
                origins_with[n] |= origins
    return {n for n in lines if len(origins_with[n]) >= MIN_ORIGINS}


def site_vocabulary(
    statistics: SiteStatistics, lines: frozenset[int], text_of_line: Mapping[int, str]
) -> SiteVocabulary:
    """The vocabulary of a site: the words of its statistics, and the lines of its template with their text."""
    texts = [text_of_line[n] for n in sorted(lines)]
    return SiteVocabulary(
        template="\n" + "\n".join(texts).casefold() + "\n",
        lines=lines,
        words=frozenset(w.casefold() for w in statistics.words()),
        answers=frozenset(w.casefold() for w in statistics.answers()),
        schema_lines=frozenset(statistics.schema_lines),
        has_date=any(find_dates(t) for t in texts),
    )
