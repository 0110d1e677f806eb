"""Groups with equal prompts are one group; what is asked all through the log joins nothing."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from deputize.stages.curate.repeated_prompts import join_repeated_prompts


class Fact(NamedTuple):
    id: str
    repeat_key: bytes
    timestamp: float | None = None


def joined(facts: list[Fact], group_of: dict[str, str] | None = None) -> Counter[int]:
    """Size of a joined group, in calls -> how many there are."""
    out = join_repeated_prompts(facts, group_of or {f.id: f.id for f in facts})
    return Counter(Counter(out.group_of.values()).values())


def test_repeats_are_one_group() -> None:
    facts = [Fact(f"c{p}-{i}", f"p{p}".encode()) for p in range(50) for i in range(5)]
    assert joined(facts) == {5: 50}
    out = join_repeated_prompts(facts, {f.id: f.id for f in facts})
    assert (out.n_joined, out.n_frequent, out.n_too_large) == (200, 0, 0)


def test_episodes_are_joined_through_one_of_their_calls() -> None:
    group_of = {f"c{g}-{i}": f"g{g}" for g in range(10) for i in range(3)}
    facts = [Fact(id, b"same" if id in ("c0-1", "c1-2", "c5-0") else id.encode()) for id in group_of]
    assert joined(facts, group_of) == {3: 7, 9: 1}


def test_short_prompts_and_a_few_repeats_among_many_join_nothing() -> None:
    assert joined([Fact(f"c{i}", b"") for i in range(50)]) == {1: 50}
    few = [Fact(f"c{i}", b"same" if i < 2 else str(i).encode()) for i in range(500)]
    assert joined(few) == {1: 500}


def test_a_part_of_the_traffic_joins_nothing() -> None:
    episodes = {f"e{e}-{i}": f"e{e}" for e in range(200) for i in range(2)}
    facts = [
        Fact(id, b"hello" if id.endswith("-0") else id.encode(), float(n)) for n, id in enumerate(episodes)
    ]
    out = join_repeated_prompts(facts, episodes)
    assert (out.n_joined, out.n_frequent) == (0, 1)
    untimed = [Fact(f.id, f.repeat_key) for f in facts]
    assert join_repeated_prompts(untimed, episodes).n_frequent == 1


def test_a_burst_is_no_part_of_the_traffic() -> None:
    facts = [Fact(f"c{i}", b"job" if 100 <= i < 125 else str(i).encode(), float(i)) for i in range(400)]
    assert joined(facts) == {1: 375, 25: 1}


def test_no_group_becomes_most_of_the_log() -> None:
    facts = [Fact(f"c{i}", b"job" if i < 60 else str(i).encode(), float(i)) for i in range(300)]
    out = join_repeated_prompts(facts, {f.id: f.id for f in facts})
    assert (out.n_joined, out.n_too_large) == (0, 1)
