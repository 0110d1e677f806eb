"""How many people share one combination of metadata: k-anonymity and l-diversity of a data set, for its card.

Written here, not taken from pycanon, whose newest version pins NumPy and SciPy to exact versions below ours and which
counts rows where one person has many; a test compares the row counts with pycanon's.

References:
    Sweeney 2002, "k-anonymity: a model for protecting privacy"; Machanavajjhala et al. 2007, "l-diversity".
"""

from __future__ import annotations

import hashlib
import time
from collections import defaultdict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import msgspec

from deputize.core.records import Example

COLUMNS = ("tenant", "agent", "site", "model", "hour")
"""Metadata that somebody could know of a person from elsewhere; `hour` is a quarter of the day, UTC."""
SMALL = 5
"""A combination of fewer people than this could point at one of them."""


class MetadataRow(NamedTuple):
    """What counts of one example."""

    metadata: tuple[Hashable, ...]
    person: Hashable
    sensitive: Hashable


class KAnonymity(NamedTuple):
    """What holds for every combination of values of some columns that occurs."""

    columns: tuple[str, ...]
    n_combinations: int
    k_people: int
    """The fewest different people behind one combination; 0 without rows."""
    k_rows: int
    """The fewest rows behind one combination; what k-anonymity counts where a person has one row."""
    l: int  # noqa: E741 - the measure's name
    """The fewest different answers behind one combination: at 1, knowing the metadata is knowing the answer."""
    share_small: float
    """Share of rows in combinations of fewer than SMALL people."""


class _Behind:
    """Who and what is behind one combination."""

    def __init__(self) -> None:
        self.people: set[Hashable] = set()
        self.answers: set[Hashable] = set()
        self.n_rows = 0


class Combinations:
    """The combinations of metadata that occur; rows are added one by one and not kept."""

    def __init__(self, columns: Sequence[str] = COLUMNS) -> None:
        self.columns = tuple(columns)
        self._behind: dict[tuple[Hashable, ...], _Behind] = defaultdict(_Behind)

    def add(self, row: MetadataRow) -> None:
        """One more row."""
        behind = self._behind[row.metadata]
        behind.people.add(row.person)
        behind.answers.add(row.sensitive)
        behind.n_rows += 1

    def measure(self, chosen: Sequence[str]) -> KAnonymity:
        """The measures over the `chosen` ones of the columns."""
        at = [self.columns.index(name) for name in chosen]
        joined: dict[tuple[Hashable, ...], _Behind] = defaultdict(_Behind)
        for key, behind in self._behind.items():
            one = joined[tuple(key[i] for i in at)]
            one.people |= behind.people
            one.answers |= behind.answers
            one.n_rows += behind.n_rows
        total = sum(b.n_rows for b in joined.values())
        small = sum(b.n_rows for b in joined.values() if len(b.people) < SMALL)
        return KAnonymity(
            columns=tuple(chosen),
            n_combinations=len(joined),
            k_people=min((len(b.people) for b in joined.values()), default=0),
            k_rows=min((b.n_rows for b in joined.values()), default=0),
            l=min((len(b.answers) for b in joined.values()), default=0),
            share_small=small / total if total else 0.0,
        )

    def table(self) -> list[KAnonymity]:
        """The measures of every column that varies, and of all of them together as the last."""
        varying = [name for i, name in enumerate(self.columns) if len({key[i] for key in self._behind}) > 1]
        alone = [self.measure([name]) for name in varying] if len(varying) > 1 else []
        return [*alone, self.measure(varying)]


def row_of(example: Example) -> MetadataRow:
    """An example as COLUMNS see it. Where nobody knows who asked, an episode stands for a person."""
    hour = "unknown"
    if example.timestamp is not None:
        start = time.gmtime(example.timestamp).tm_hour // 6 * 6
        hour = f"{start:02d}-{start + 6:02d}"
    answer = hashlib.blake2b(msgspec.json.encode(example.response), digest_size=8).digest()
    return MetadataRow(
        (example.tenant, example.request.agent, example.site, example.model, hour),
        example.origin or example.episode or example.call_id,
        answer,
    )
