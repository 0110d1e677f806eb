"""k-anonymity and l-diversity of a dataset: how many people and answers share each combination of metadata.

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
"""Metadata that somebody could know about a person from another source; `hour` is a quarter of the day, UTC."""
SMALL = 5
"""A combination of fewer people than this could identify one of them."""


class MetadataRow(NamedTuple):
    """An example as the measures see it."""

    metadata: tuple[Hashable, ...]
    person: Hashable
    sensitive: Hashable


class KAnonymity(NamedTuple):
    """The measures over all combinations of values that occur in some columns."""

    columns: tuple[str, ...]
    n_combinations: int
    k_people: int
    """The fewest different people of one combination; 0 without rows."""
    k_rows: int
    """The fewest rows of one combination; what k-anonymity counts where a person has one row."""
    l: int  # noqa: E741 - the measure's name
    """The fewest different answers of one combination: at 1, knowing the metadata is knowing the answer."""
    share_small: float
    """Share of rows in combinations of fewer than SMALL people."""


class _Combination:
    """The people, answers and rows of one combination."""

    def __init__(self) -> None:
        self.people: set[Hashable] = set()
        self.answers: set[Hashable] = set()
        self.n_rows = 0


class Combinations:
    """The combinations of metadata that occur; rows are added one by one and not kept."""

    def __init__(self, columns: Sequence[str] = COLUMNS) -> None:
        self.columns = tuple(columns)
        self._combinations: dict[tuple[Hashable, ...], _Combination] = defaultdict(_Combination)

    def add(self, row: MetadataRow) -> None:
        """Adds a row."""
        combination = self._combinations[row.metadata]
        combination.people.add(row.person)
        combination.answers.add(row.sensitive)
        combination.n_rows += 1

    def measure(self, chosen: Sequence[str]) -> KAnonymity:
        """The measures over the `chosen` ones of the columns."""
        at = [self.columns.index(name) for name in chosen]
        joined: dict[tuple[Hashable, ...], _Combination] = defaultdict(_Combination)
        for key, combination in self._combinations.items():
            merged = joined[tuple(key[i] for i in at)]
            merged.people |= combination.people
            merged.answers |= combination.answers
            merged.n_rows += combination.n_rows
        total = sum(c.n_rows for c in joined.values())
        small = sum(c.n_rows for c in joined.values() if len(c.people) < SMALL)
        return KAnonymity(
            columns=tuple(chosen),
            n_combinations=len(joined),
            k_people=min((len(c.people) for c in joined.values()), default=0),
            k_rows=min((c.n_rows for c in joined.values()), default=0),
            l=min((len(c.answers) for c in joined.values()), default=0),
            share_small=small / total if total else 0.0,
        )

    def table(self) -> list[KAnonymity]:
        """The measures of every column that varies, and of all of them together as the last."""
        varying = [
            name for i, name in enumerate(self.columns) if len({key[i] for key in self._combinations}) > 1
        ]
        alone = [self.measure([name]) for name in varying] if len(varying) > 1 else []
        return [*alone, self.measure(varying)]


def metadata_row(example: Example) -> MetadataRow:
    """The row of an example, with the metadata of COLUMNS. Where the log does not say who asked, an episode counts as a
    person."""
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
