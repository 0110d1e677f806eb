"""What enough different data subjects hold: only such text may stand in clear, whatever else is known of it.

A line, a label or a name that one person's calls alone carry is about that person, even where no detector finds anything in it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T", bound=Hashable)


class Subjects(NamedTuple):
    """Whose data some texts are."""

    names: Sequence[str]
    """One for each text (`Example.subject`)."""
    least: int
    """From how many on a thing is nobody's in particular; 1: whatever it is."""

    def shared(self, things: Iterable[Iterable[T]]) -> set[T]:
        """What is held by at least `least` subjects.

        Args:
            things: what each text holds, in the order of `names`.
        """
        out: set[T] = set()
        holders: dict[T, set[str]] = {}
        for name, held in zip(self.names, things, strict=True):
            for thing in held:
                if thing in out:
                    continue
                who = holders.setdefault(thing, set())
                who.add(name)
                if len(who) >= self.least:  # no more of them are kept in mind than count
                    out.add(thing)
                    del holders[thing]
        return out
