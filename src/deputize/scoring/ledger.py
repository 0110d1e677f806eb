"""The ledger of tests: what was certified on which groups at which level, so that a second test on the same groups is paid for.

Each look at groups that were looked at before gets a share of what is left of delta; all looks together cost at most
delta (a union bound). Pure: looks in, levels out. The home keeps the file.

References:
    Foster and Stine, "Alpha-investing", 2008, for the idea of a level that is spent; here by the plain union bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import blake2b

import msgspec

from deputize.core.records import Record

SPENT_SHARE = 0.8
"""Of what is left of delta, the share that one look spends: .8, .16, .032, ... of delta."""


class Look(Record):
    """One test of one task on calibration groups."""

    run_id: str
    task_id: str
    keys: list[str]
    """Template keys of the task: the same calls under another task id are still the same evidence."""
    groups: list[str]
    """Digests of the groups whose labels were seen."""
    delta: float
    """The level that the test was done at."""
    at: float
    """When, in seconds since the epoch."""


class Ledger(Record):
    """All looks of a home, oldest first."""

    looks: list[Look] = msgspec.field(default_factory=list)
    version: int = 1


def group_digests(groups: Iterable[str]) -> list[str]:
    """Short digests of group names, sorted: enough to know a group again, not to name it."""
    return sorted({blake2b(g.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() for g in groups})


def earlier_looks(ledger: Ledger, run_id: str, keys: Sequence[str], groups: Sequence[str]) -> list[Look]:
    """Looks of other runs at some of these groups, for a task that shares a template key with this one.

    A run that is resumed looks again at what it has seen: that is one look.
    """
    mine, seen = set(keys), set(groups)
    return [
        look
        for look in ledger.looks
        if look.run_id != run_id and mine & set(look.keys) and seen & set(look.groups)
    ]


def level(n_earlier: int, delta: float) -> float:
    """The level of the next look after `n_earlier` at the same groups."""
    return delta * SPENT_SHARE * (1 - SPENT_SHARE) ** n_earlier


def left_after(n_looks: int, delta: float) -> float:
    """Part of delta that is left after so many looks."""
    return delta * (1 - SPENT_SHARE) ** n_looks
