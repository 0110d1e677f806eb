"""A log after its first pass: findings by line, lines by episode, counts by site. Whole texts are not kept.

A log may be larger than memory, so it is read several times, call by call; what a later pass needs of other calls than
the current one is here.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from functools import lru_cache
from sys import intern

from deputize.core.records import Call
from deputize.privacy.call_texts import call_strings, message_strings, schema_strings
from deputize.privacy.date_shift import find_dates
from deputize.privacy.scan.episode_lines import EpisodeLines
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.site_statistics import SiteStatistics


def episode_of(call: Call) -> str:
    """The episode of a call; a call without one is an episode of its own."""
    return call.episode or call.id


class ScannedLog:
    """The calls that were added, by line, episode and site."""

    def __init__(self, line_index: LineIndex, site_of: Mapping[str, str]) -> None:
        """
        Args:
            line_index: takes the texts and scans them.
            site_of: call id -> site.
        """
        self.line_index = line_index
        self.site_of = site_of
        self.sites: dict[str, SiteStatistics] = defaultdict(SiteStatistics)
        self.episodes: dict[str, list[EpisodeLines]] = defaultdict(list)
        """By episode, one item for each of its sites and groups."""
        self.n_calls_of: dict[str, int] = defaultdict(int)
        """Calls of each episode."""
        self.tenant_of: dict[str, str] = {}
        """Episode -> the tenant of its calls."""

    def add(self, call: Call) -> None:
        """Adds the texts of a call."""
        site, episode = self.site_of[call.id], episode_of(call)
        self.sites[site].add(call, _days)
        while schemas := self.sites[site].new_schemas:
            for text in schema_strings(schemas.pop()):
                self.sites[site].schema_lines.update(self.line_index.add(text))
        self.n_calls_of[episode] += 1
        self.tenant_of[episode] = intern(call.tenant)
        lines = self._lines_of(episode, site, call.group or call.episode or call.id)
        lines.add_origin(call.origin)
        for message in call.messages:
            is_system = message.get("role") in ("system", "developer")
            place = EpisodeLines.SYSTEM if is_system else EpisodeLines.PROMPT
            for text in message_strings(message):
                lines.add(place, self.line_index.add(text))
        for text in message_strings(call.response):
            lines.add(EpisodeLines.REPLY, self.line_index.add(text))

    def episodes_at(self, site: str) -> Iterator[EpisodeLines]:
        """The lines of each episode at one site."""
        return (one for episode in self.episodes.values() for one in episode if one.site == site)

    def origins(self) -> set[str]:
        """Everybody who asked, as far as the log says it."""
        return {origin for episode in self.episodes.values() for one in episode for origin in one.origins}

    def _lines_of(self, episode: str, site: str, group: str) -> EpisodeLines:
        for lines in self.episodes[episode]:
            if lines.site == site and lines.group == group:
                return lines
        self.episodes[episode].append(lines := EpisodeLines(site, group))
        return lines


def texts_of_lines(calls: Iterable[Call], numbers: Iterable[int], line_index: LineIndex) -> dict[int, str]:
    """The text of some lines by their numbers; reads the calls until all of them were found."""
    missing = set(numbers)
    found: dict[int, str] = {}
    for call in calls if missing else ():
        for _, text in call_strings(call):
            if missing.isdisjoint(line_index.lines(text)):
                continue
            for number, line in line_index.numbered_lines(text):
                if number in missing:
                    found[number] = line
                    missing.discard(number)
        if not missing:
            break
    return found


@lru_cache(maxsize=4096)
def _days(text: str) -> frozenset[date]:
    return frozenset(d.day for d in find_dates(text))
