"""The lines of one episode at one site, by number: what the first pass over a log remembers of its texts."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from sys import intern


class EpisodeLines:
    """The distinct lines in the calls of one episode (of one group) at one site, and the origins of these calls."""

    __slots__ = ("_lines", "_n_sorted", "group", "origins", "site")
    SYSTEM, PROMPT, REPLY = 0, 1, 2
    """Places of a line: in a system prompt, in another message of the request, in the reply."""

    def __init__(self, site: str, group: str) -> None:
        self.site, self.group = site, group
        self.origins: tuple[str, ...] = ()
        self._lines = array("I")
        self._n_sorted = 0

    def add(self, place: int, lines: Iterable[int]) -> None:
        """Adds the numbers of lines at a place."""
        self._lines.extend([4 * n + place for n in lines])
        if len(self._lines) > 2 * self._n_sorted + 64:
            self._sort()

    def add_origin(self, origin: str) -> None:
        """Adds who asked, where the log says it."""
        if origin and origin not in self.origins:
            self.origins = (*self.origins, intern(origin))

    def lines(self, *places: int) -> set[int]:
        """The numbers of the lines at any of these places."""
        return {one >> 2 for one in self._lines if one & 3 in places}

    def all_lines(self) -> set[int]:
        """The numbers of all lines."""
        return {one >> 2 for one in self._lines}

    def _sort(self) -> None:
        self._lines = array("I", sorted(set(self._lines)))
        self._n_sorted = len(self._lines)
