"""Text that enough different data subjects share: only such text may appear in clear (k-anonymity of lines and names).

A line, a label or a name that one person's calls alone carry is about that person, even where no detector finds
anything in it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T", bound=Hashable)


class Subjects(NamedTuple):
    """The data subjects of some texts."""

    names: Sequence[str]
    """One for each text (`Example.subject`)."""
    least: int
    """The number of subjects from which on a thing is shared; with 1 everything is."""

    def shared(self, things: Iterable[Iterable[T]]) -> set[T]:
        """The things that at least `least` subjects share.

        Args:
            things: the things in each text, in the order of `names`.
        """
        out: set[T] = set()
        holders: dict[T, set[str]] = {}
        for name, held in zip(self.names, things, strict=True):
            for thing in held:
                if thing in out:
                    continue
                who = holders.setdefault(thing, set())
                who.add(name)
                if len(who) >= self.least:  # more subjects make no difference
                    out.add(thing)
                    del holders[thing]
        return out
