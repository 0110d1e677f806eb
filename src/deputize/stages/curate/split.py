"""Assigns groups to train, validation, calibration and test: a group is in one split, in order of time where times
are known."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Protocol

from deputize.core.records import Split
from deputize.scoring.feasibility import expected_units
from deputize.scoring.split_sizes import (
    Shares,
    least_calibration,
    most_calibration,
    needed_calibration,
    shares_with,
)

SPLITS: tuple[Split, ...] = ("train", "validation", "calibration", "test")
MIN_STRATUM = 12
"""Kinds of groups with fewer groups than this are assigned together."""
FEW_PEOPLE, FEW_SHARE = 60, 0.2
"""People are few where there are fewer than this, or fewer than this share of the groups."""
MIN_GROUPS, MIN_CALLS_TO_SPLIT = 4, 40
"""A log of fewer groups than splits is split by prompt instead, where it has at least this many calls."""
_FILL_ORDER: tuple[Split, ...] = ("train", "test", "calibration", "validation")
"""Which splits get a group first where there are fewer groups than splits."""
RARE_SITE = 0.02
"""Share of the calls below which a site has no say in the shares."""


class SplitFacts(Protocol):
    """The fields of a call that the split depends on; a Call or a CallSummary."""

    @property
    def id(self) -> str: ...
    @property
    def agent(self) -> str: ...
    @property
    def timestamp(self) -> float | None: ...


class SiteFacts(Protocol):
    """The fields of a call that the sizes of splits depend on."""

    @property
    def id(self) -> str: ...
    @property
    def site(self) -> str: ...


class PersonFacts(Protocol):
    """The fields of a call that say who asked."""

    @property
    def id(self) -> str: ...
    @property
    def origin(self) -> str: ...


class GroupFacts(Protocol):
    """The fields of a call that its group depends on."""

    @property
    def id(self) -> str: ...
    @property
    def group(self) -> str: ...
    @property
    def episode(self) -> str: ...
    @property
    def prompt(self) -> bytes: ...


def joined_groups(calls: Iterable[tuple[str, str, str]]) -> dict[str, str]:
    """call id -> group, where groups that share an episode are joined: the steps of an episode contain each other.

    Args:
        calls: (id, group, episode or "") of each.
    """
    parent: dict[str, str] = {}
    first_of: dict[str, str] = {}
    group_of: dict[str, str] = {}

    def root(group: str) -> str:
        while parent.setdefault(group, group) != group:
            parent[group] = group = parent[parent[group]]
        return group

    for id, group, episode in calls:
        group_of[id] = group
        if episode:
            parent[root(group)] = root(first_of.setdefault(episode, group))
    return {id: root(group) for id, group in group_of.items()}


def count_people(calls: Sequence[PersonFacts]) -> int:
    """People who asked; 0 where the log does not say it of most calls."""
    origins = [call.origin for call in calls if call.origin]
    return len(set(origins)) if 2 * len(origins) > len(calls) else 0


def join_by_person(
    calls: Sequence[PersonFacts], group_of: Mapping[str, str], n_needed: float
) -> dict[str, str] | None:
    """call id -> group, where the groups of one person are one; None where groups stay what they are.

    Calls of one person resemble each other. Where few people (fewer than FEW_PEOPLE, or than FEW_SHARE of the groups)
    are behind the groups, groups of other people would be taken for as good as these: a claim about people who are not
    in the log needs people as its units. It is made where there are enough of them. Where there are not, no split could
    carry a claim about others; groups stay, and the claim is about these people alone and says how many they are.

    Args:
        calls: all calls.
        group_of: call id -> group.
        n_needed: units that a claim about new people needs in the whole log; somebody with few calls is one with some
            probability only, as the draw is by calls.
    """
    n_people, n_groups = count_people(calls), len(set(group_of.values()))
    if not are_few(n_people, n_groups):
        return None
    sizes = Counter(call.origin for call in calls if call.origin)
    if expected_units(list(sizes.values()), max(sizes.values())) < n_needed:
        return None
    return joined_groups((call.id, group_of[call.id], call.origin) for call in calls)


def are_few(n_people: int, n_groups: int) -> bool:
    """True where the same people stand behind many groups."""
    return 0 < n_people < n_groups and (n_people < FEW_PEOPLE or n_people < FEW_SHARE * n_groups)


def group_calls(calls: Sequence[GroupFacts]) -> tuple[dict[str, str], list[str]]:
    """(call id -> group, warnings). Groups are joined by episode; where there are too few of them, equal prompts are
    groups."""
    groups = joined_groups((c.id, c.group, c.episode) for c in calls)
    n_groups = len(set(groups.values()))
    if n_groups >= MIN_GROUPS or len(calls) < MIN_CALLS_TO_SPLIT:
        return groups, []
    return {c.id: c.prompt.hex() for c in calls}, [
        f"The log holds only {n_groups} episode(s) or task(s) for {len(calls):,} calls. It was split by prompt instead, so "
        "calls of one episode are in several splits and the figures may be too good."
    ]


def shares_by_need(
    calls: Iterable[SiteFacts], group_of: Mapping[str, str], n_needed: int, *, keeps_reserve: bool = False
) -> Shares:
    """Shares that give calibration what the tests need, the held-out calls what a check needs, and training the rest.

    A site needs ENOUGH times the units of a claim without an error, as far as its groups can give them (a group with
    few calls gives a unit with some probability only, as the draw is by calls). The neediest site that can be
    certified at all decides. All sites have the same shares, else a task of several sites would be calibrated on
    another mix than it serves.

    Args:
        calls: those that are split.
        group_of: call id -> group.
        n_needed: units that a claim needs where none of them is served and wrong.
        keeps_reserve: a small log's validation is kept in reserve, so that a claim can be tested on it too.
    """
    sizes_of: dict[str, Counter[str]] = defaultdict(Counter)
    for call in calls:
        sizes_of[call.site][group_of[call.id]] += 1
    n_calls = sum(sizes.total() for sizes in sizes_of.values())
    n_groups = len(set().union(*sizes_of.values()))
    most = most_calibration(n_groups, keeps_reserve=keeps_reserve)
    wanted = [
        needed_calibration(expected_units([*sizes.values()], max(sizes.values())), n_needed, most)
        for sizes in sizes_of.values()
        if sizes.total() >= RARE_SITE * n_calls
    ]
    return shares_with(max([least_calibration(n_groups), *wanted]), n_groups)


def assign_splits(
    calls: Sequence[SplitFacts],
    group_of: dict[str, str],
    shares: Shares,
    seed: int,
    training_only: Container[str] = frozenset(),
) -> dict[str, Split]:
    """group -> split; a group that may not be in any is absent.

    Groups are assigned separately for each set of agents in them, so that a rare agent is in every split too; sets with
    fewer than MIN_STRATUM groups are assigned together. With times on all calls the oldest groups are for training and
    the newest for the test; else a seeded hash decides. Groups that only hold calls for training are not counted; they
    are in train where they are older than the newest group of it, else in no split.

    Args:
        calls: all calls.
        group_of: call id -> group.
        shares: of train, validation, calibration and test.
        seed: of the order of groups without times.
        training_only: ids of calls that may be in no other split than train.
    """
    members: dict[str, list[SplitFacts]] = defaultdict(list)
    for call in calls:
        members[group_of[call.id]].append(call)
    all_have_times = all(c.timestamp is not None for c in calls)
    strata: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for group, in_group in members.items():
        strata[tuple(sorted({c.agent for c in in_group}))].append(group)
    small = [key for key, groups in strata.items() if len(groups) < MIN_STRATUM]
    if len(small) > 1:
        strata[("",)] = [group for key in small for group in strata.pop(key)]

    def place(group: str) -> tuple[float, bytes]:
        first = min(c.timestamp or 0.0 for c in members[group]) if all_have_times else 0.0
        return first, _rank(group, seed)

    out: dict[str, Split] = {}
    for _, groups in sorted(strata.items()):
        counted = {g for g in groups if any(c.id not in training_only for c in members[g])}
        assigned = _assign(sorted(counted, key=place), shares)
        newest = max((place(g) for g, split in assigned.items() if split == "train"), default=None)
        older = (g for g in groups if g not in counted and (newest is None or place(g) < newest))
        out |= assigned | dict.fromkeys(older, "train")
    return out


def _rank(group: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\0{group}".encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _assign(ordered: Sequence[str], shares: Shares) -> dict[str, Split]:
    counts = _counts(len(ordered), shares)
    out: dict[str, Split] = {}
    at = 0
    for split in SPLITS:
        for group in ordered[at : at + counts[split]]:
            out[group] = split
        at += counts[split]
    return out


def _counts(n_groups: int, shares: Shares) -> dict[Split, int]:
    """Groups per split by largest remainder; every split with a share gets one as soon as there are enough groups."""
    if n_groups <= len(SPLITS):
        return {split: int(split in _FILL_ORDER[:n_groups]) for split in SPLITS}
    total = sum(shares)
    wanted = {split: n_groups * share / total for split, share in zip(SPLITS, shares, strict=True)}
    counts = {split: int(x) for split, x in wanted.items()}
    for split in sorted(SPLITS, key=lambda s: counts[s] - wanted[s])[: n_groups - sum(counts.values())]:
        counts[split] += 1
    for split in _FILL_ORDER:
        if counts[split] == 0 and wanted[split] > 0:
            richest = max(SPLITS, key=lambda s: counts[s])
            if counts[richest] > 1:
                counts[richest] -= 1
                counts[split] = 1
    return counts
