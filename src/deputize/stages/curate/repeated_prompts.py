"""Joins groups that repeat each other's prompts: retries and scheduled jobs are one piece of evidence, not many.

A prompt that is asked again and again all through the log is another matter. It belongs to the traffic (a greeting, a
constant instruction, a popular question) and will be asked as often tomorrow; each of its calls is a draw of that
traffic, and joining every run in which it occurs would leave one group.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from deputize.stages.curate.split import MIN_GROUPS

MIN_OFTEN = 20
"""A prompt of fewer groups is never taken for a part of the traffic."""
OFTEN_SHARE = 0.1
"""Without times: the share of groups from which a prompt counts as a part of the traffic."""
QUARTERS = 4
"""With times: a part of the traffic is asked in each quarter of the log."""
MAX_JOINED_SHARE = 0.1
"""No join makes a group of more than this share of all groups (and more than MIN_OFTEN)."""
MIN_EFFECT = 1.02
"""Groups are joined where a random group then stands for more than this many on average: below, repeats cannot move a
certificate, and unequal groups cost calibration calls (scoring.certificates.draw_calls)."""


class PromptFacts(Protocol):
    """The fields of a call that this depends on."""

    @property
    def id(self) -> str: ...
    @property
    def repeat_key(self) -> bytes: ...
    @property
    def timestamp(self) -> float | None: ...


class JoinedGroups(NamedTuple):
    """Groups after those with equal prompts were joined."""

    group_of: dict[str, str]
    """Call id -> group."""
    n_joined: int
    """Groups that became part of another one."""
    n_frequent: int
    """Prompts that are asked all through the log; nothing was joined because of them."""
    n_too_large: int
    """Prompts through which a group would have become too large; nothing was joined because of them."""


def join_repeated_prompts(calls: Sequence[PromptFacts], group_of: Mapping[str, str]) -> JoinedGroups:
    """Joins the groups that ask the same prompt (equal but for dates, times, ids, case and punctuation).

    Rare prompts are looked at first, so that the limit of size meets the frequent ones.

    Args:
        calls: all calls; one with the repeat_key b"" says too little to be evidence.
        group_of: call id -> group.
    """
    repeated = _repeated(calls, group_of)
    groups = set(group_of.values())
    limit = max(MIN_OFTEN, MAX_JOINED_SHARE * len(groups))
    frequent = _frequent(calls, repeated, len(groups))
    parent = {group: group for group in groups}
    size = Counter(groups)
    n_too_large = 0
    for key in sorted(repeated.keys() - frequent, key=lambda k: (len(repeated[k]), k)):
        roots = sorted({_root(group, parent) for group in repeated[key]})
        total = sum(size[r] for r in roots)
        if len(roots) > 1 and total > limit:
            n_too_large += 1
            continue
        for other in roots[1:]:
            parent[other] = roots[0]
        size[roots[0]] = total
    sizes = Counter(_root(group, parent) for group in groups)
    too_few = len(sizes) < MIN_GROUPS <= len(groups)
    if too_few or sum(n * n for n in sizes.values()) <= MIN_EFFECT * len(groups):
        return JoinedGroups(dict(group_of), 0, len(frequent), n_too_large)
    joined = {id: _root(group, parent) for id, group in group_of.items()}
    return JoinedGroups(joined, len(groups) - len(set(joined.values())), len(frequent), n_too_large)


def _repeated(calls: Iterable[PromptFacts], group_of: Mapping[str, str]) -> dict[bytes, set[str]]:
    """The groups of each prompt that several have; of most prompts of a log one group is kept."""
    first: dict[bytes, str] = {}
    repeated: dict[bytes, set[str]] = {}
    for call in calls:
        if key := call.repeat_key:
            group = group_of[call.id]
            if (one := first.setdefault(key, group)) != group:
                repeated.setdefault(key, {one}).add(group)
    return repeated


def _root(group: str, parent: dict[str, str]) -> str:
    while parent[group] != group:
        parent[group] = group = parent[parent[group]]
    return group


def _frequent(calls: Sequence[PromptFacts], repeated: Mapping[bytes, set[str]], n_groups: int) -> set[bytes]:
    """Prompts that are a part of the traffic."""
    often = {key for key, found in repeated.items() if len(found) >= MIN_OFTEN}
    times = _times(calls)
    if times is None:
        return {key for key in often if len(repeated[key]) > OFTEN_SHARE * n_groups}
    ordered = sorted(times)
    bounds = [ordered[len(ordered) * quarter // QUARTERS] for quarter in range(1, QUARTERS)]
    quarters: dict[bytes, set[int]] = defaultdict(set)
    for call, time in zip(calls, times, strict=True):
        if call.repeat_key in often:
            quarters[call.repeat_key].add(sum(time >= bound for bound in bounds))
    return {key for key in often if len(quarters[key]) == QUARTERS}


def _times(calls: Iterable[PromptFacts]) -> list[float] | None:
    """The time of every call; None where one has none."""
    times = [call.timestamp for call in calls]
    known = [time for time in times if time is not None]
    return known if known and len(known) == len(times) else None
