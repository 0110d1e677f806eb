"""Deals groups to train, validation, calibration and test: each group on one side, in time order where times are known."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

from deputize.core.records import Split

SIDES: tuple[Split, ...] = ("train", "validation", "calibration", "test")
MIN_STRATUM = 12
_FILL_ORDER: tuple[Split, ...] = ("train", "test", "calibration", "validation")
"""Which sides come first when there are fewer groups than sides."""


class SplitFacts(Protocol):
    """What is known of a call here: a Call, or its Note."""

    @property
    def id(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def timestamp(self) -> float | None: ...


def joined_groups(calls: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """call id -> group, where groups that share an episode are one: steps of a run contain each other.

    Args:
        calls: (id, group, episode or "") of each.
    """
    joined: dict[str, str] = {}
    first_of: dict[str, str] = {}
    group_of: dict[str, str] = {}

    def root(group: str) -> str:
        while joined.setdefault(group, group) != group:
            joined[group] = group = joined[joined[group]]
        return group

    for id, group, episode in calls:
        group_of[id] = group
        if episode:
            joined[root(group)] = root(first_of.setdefault(episode, group))
    return {id: root(group) for id, group in group_of.items()}


def split_groups(
    calls: Sequence[SplitFacts],
    group_of: dict[str, str],
    shares: tuple[float, float, float, float],
    seed: int,
) -> dict[str, Split]:
    """group -> side.

    Groups are dealt apart for each set of agents that they hold, so that a rare agent is on every side too; kinds with
    fewer than MIN_STRATUM groups are dealt together. With times on all calls the oldest groups train and the newest
    test; else a seeded hash decides.
    """
    members: dict[str, list[SplitFacts]] = defaultdict(list)
    for call in calls:
        members[group_of[call.id]].append(call)
    timed = all(c.timestamp is not None for c in calls)
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for group, inside in members.items():
        strata[tuple(sorted({c.agent for c in inside}))].append(group)
    small = [key for key, groups in strata.items() if len(groups) < MIN_STRATUM]
    if len(small) > 1:
        strata[("",)] = [group for key in small for group in strata.pop(key)]
    out: dict[str, Split] = {}
    for _, groups in sorted(strata.items()):
        ordered = sorted(groups, key=lambda g: _rank(g, seed))
        if timed:
            ordered.sort(key=lambda g: min(c.timestamp or 0.0 for c in members[g]))
        out |= _deal(ordered, shares)
    return out


def _rank(group: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\0{group}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _deal(ordered: Sequence[str], shares: tuple[float, float, float, float]) -> dict[str, Split]:
    counts = _counts(len(ordered), shares)
    out: dict[str, Split] = {}
    at = 0
    for side in SIDES:
        for group in ordered[at : at + counts[side]]:
            out[group] = side
        at += counts[side]
    return out


def _counts(n_groups: int, shares: tuple[float, float, float, float]) -> dict[Split, int]:
    """Groups per side by largest remainder; every side with a share gets one as soon as there are enough groups."""
    if n_groups <= len(SIDES):
        return {side: int(side in _FILL_ORDER[:n_groups]) for side in SIDES}
    total = sum(shares)
    wanted = {side: n_groups * share / total for side, share in zip(SIDES, shares, strict=True)}
    counts = {side: int(x) for side, x in wanted.items()}
    for side in sorted(SIDES, key=lambda s: counts[s] - wanted[s])[: n_groups - sum(counts.values())]:
        counts[side] += 1
    for side in _FILL_ORDER:
        if counts[side] == 0 and wanted[side] > 0:
            richest = max(SIDES, key=lambda s: counts[s])
            if counts[richest] > 1:
                counts[richest] -= 1
                counts[side] = 1
    return counts
