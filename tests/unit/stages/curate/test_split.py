"""Splits: a group and an episode are in one of them, in order of time, by their shares."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.records import Call
from deputize.scoring.certificates import units_needed
from deputize.scoring.ledger import level
from deputize.scoring.split_sizes import COMMON_CALIBRATION, MAX_CALIBRATION
from deputize.stages.curate.split import (
    SPLITS,
    assign_splits,
    joined_groups,
    shares_by_need,
)

SHARES = (0.45, 0.10, 0.25, 0.20)


def call(n: int = 0, reply: str | None = "fine", **more: Any) -> Call:
    arguments = more.pop("arguments", None)
    response: dict[str, Any] = {"role": "assistant", "content": reply}
    if arguments is not None:
        name = more.pop("tool", "book")
        response = {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"function": {"name": name, "arguments": arguments}}],
        }
    return Call(id=f"c{n}", messages=[{"role": "user", "content": "x"}], response=response, **more)


def grouped(n_groups: int, per_group: int = 2, timed: bool = False, agents: int = 1) -> list[Call]:
    return [
        call(g * per_group + i, group=f"g{g}", agent=f"a{g % agents}", timestamp=float(g) if timed else None)
        for g in range(n_groups)
        for i in range(per_group)
    ]


def sides_of(calls: list[Call], seed: int = 0) -> dict[str, str]:
    return dict(assign_splits(calls, {c.id: c.group for c in calls}, SHARES, seed))


@pytest.mark.parametrize(
    ("n", "filled"),
    [
        (1, {"train"}),
        (2, {"train", "test"}),
        (3, {"train", "test", "calibration"}),
        (4, {"train", "validation", "test", "calibration"}),
    ],
)
def test_few_groups_fill_the_sides_that_matter(n: int, filled: set[str]) -> None:
    assert set(sides_of(grouped(n)).values()) == filled


def test_shares_times_and_seeds() -> None:
    assert Counter(sides_of(grouped(200)).values()) == {
        "train": 90,
        "validation": 20,
        "calibration": 50,
        "test": 40,
    }
    assert sides_of(grouped(50)) != sides_of(grouped(50), seed=1)
    timed = sides_of(grouped(20, timed=True))
    assert [timed[f"g{i}"] for i in (0, 8, 9, 11, 15, 16, 19)] == [
        "train",
        "train",
        "validation",
        "calibration",
        "calibration",
        "test",
        "test",
    ]
    mixed = sides_of(grouped(60, agents=3))
    for agent in range(3):
        assert len({mixed[f"g{g}"] for g in range(60) if g % 3 == agent}) == 4


@given(
    rows=st.lists(
        st.tuples(st.sampled_from("abcdefghij"), st.sampled_from(["", *"uvwxyz"])), min_size=1, max_size=60
    ),
    times=st.one_of(st.none(), st.permutations(range(60))),
)
def test_no_group_and_no_episode_is_on_two_sides_and_time_runs_from_train_to_test(
    rows: list[tuple[str, str]], times: list[int] | None
) -> None:
    calls = [
        Call(
            id=f"c{i}",
            agent="a",
            messages=[],
            response={},
            episode=episode,
            group=group,
            timestamp=times[i] if times else None,
        )
        for i, (group, episode) in enumerate(rows)
    ]
    group_of = joined_groups((c.id, c.group, c.episode) for c in calls)
    sides = assign_splits(calls, group_of, (0.45, 0.1, 0.25, 0.2), 0)
    for of in ({c.id: c.group for c in calls}, {c.id: c.episode for c in calls if c.episode}):
        for one in set(of.values()):
            assert len({sides[group_of[id]] for id, name in of.items() if name == one}) == 1
    if times:
        began = {g: min(c.timestamp or 0 for c in calls if group_of[c.id] == g) for g in sides}
        order = [SPLITS.index(sides[g]) for g in sorted(sides, key=began.__getitem__)]
        assert order == sorted(order)


@given(n=st.integers(1, 60), agents=st.integers(1, 4), seed=st.integers(0, 9))
def test_every_group_is_on_one_side(n: int, agents: int, seed: int) -> None:
    sides = sides_of(grouped(n, agents=agents), seed)
    assert set(sides) == {f"g{g}" for g in range(n)} and set(sides.values()) <= {
        "train",
        "validation",
        "calibration",
        "test",
    }


def shares_of(sizes_of_site: dict[str, list[int]], n_needed: int = 63) -> tuple[float, float, float, float]:
    """The shares for a log in which group g has sizes_of_site[site][g] calls of each site."""
    calls = [
        call(0, site=site, group=f"g{g}")
        for site, sizes in sizes_of_site.items()
        for g, n in enumerate(sizes)
        for _ in range(n)
    ]
    numbered = [msgspec.structs.replace(c, id=f"c{n}") for n, c in enumerate(calls)]
    shares = shares_by_need(numbered, {c.id: c.group for c in numbered}, n_needed)
    assert sum(shares) == pytest.approx(1) and min(shares) > 0
    return shares


def test_a_small_log_gives_calibration_what_a_claim_needs() -> None:
    train, validation, calibration, test = shares_of({"a": [1] * 240})
    assert calibration == MAX_CALIBRATION and 240 * calibration > 63
    assert (test, round(train, 2), round(validation, 2)) == (0.10, 0.34, 0.10)


def test_with_a_reserve_fewer_groups_are_enough() -> None:
    groups = {f"c{n}": f"g{n}" for n in range(111)}
    calls = [msgspec.structs.replace(call(0), id=id) for id in groups]
    needed = units_needed(0.05, level(0, 0.05))
    shares = shares_by_need(calls, groups, needed, keeps_reserve=True)
    assert shares[2] == MAX_CALIBRATION and 111 * (shares[1] + shares[2]) >= needed
    assert shares_by_need(calls, groups, needed)[2] == COMMON_CALIBRATION
    assert shares_by_need(calls[1:], groups, needed, keeps_reserve=True)[2] == COMMON_CALIBRATION


def test_a_large_log_trains_on_what_calibration_does_not_need() -> None:
    train, validation, calibration, test = shares_of({"a": [1] * 20_000})
    assert calibration == 1500 / 20_000 and test == 1000 / 20_000 and validation == 500 / 20_000
    assert train == 1 - 3000 / 20_000


def test_the_neediest_site_that_can_be_certified_decides() -> None:
    common, rare = [1] * 4000, [1] * 200
    assert shares_of({"a": common})[2] == COMMON_CALIBRATION
    assert shares_of({"a": common, "b": rare})[2] == MAX_CALIBRATION
    # a site with too few groups for any claim, or hardly any calls, takes nothing from training
    assert shares_of({"a": common, "b": [1] * 130})[2] == COMMON_CALIBRATION
    assert shares_of({"a": [5] * 4000, "b": rare})[2] == COMMON_CALIBRATION


def test_unequal_groups_are_counted_by_the_units_that_they_give() -> None:
    """Of 1,000 groups with one call next to one with ten, a tenth gives a unit: as many as 101 equal groups give."""
    assert shares_of({"a": [1] * 1000})[2] == pytest.approx(0.252)
    assert shares_of({"a": [10, *[1] * 1000]}, n_needed=20)[2] == MAX_CALIBRATION
    assert shares_of({"a": [10, *[1] * 1000]}, n_needed=60)[2] == COMMON_CALIBRATION
