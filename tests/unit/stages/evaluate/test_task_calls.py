"""Each split is in a random order of whole groups, the same for a seed whatever order the log is in."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from deputize.stages.evaluate.population import Population, PopulationCall
from deputize.stages.evaluate.task_calls import TaskCalls


def calls_of(world: Any, seed: int = 0, *, backwards: bool = False) -> TaskCalls:
    if backwards:
        world.curated = msgspec.structs.replace(world.curated, examples=world.curated.examples[::-1])
    calls: TaskCalls = world.calls(seed)
    return calls


def ids(calls: Sequence[PopulationCall]) -> list[str]:
    return [c.call_id for c in calls]


def test_a_split_holds_its_calls_group_by_group(world: Callable[..., Any]) -> None:
    w = world(n_calls=600, per_group=3)
    calls = calls_of(w)
    for name in ("validation", "calibration", "test"):
        split = calls.split(name)
        assert sorted(ids(split)) == sorted(e.call_id for e in w.curated.examples if e.split == name)
        runs = [group for group, _ in itertools.groupby(split, key=lambda e: e.group)]
        assert len(runs) == len(set(runs)), "a group is in one piece"
        assert calls.n(name) == len(split)
    assert calls.n_calibration_groups == len({e.group for e in calls.split("calibration")})


def test_the_largest_group_is_that_of_all_splits_and_of_the_log(world: Callable[..., Any]) -> None:
    w = world(n_calls=600, per_group=3)
    assert calls_of(w).largest == 3
    longer = {split: next(c for c in calls_of(w).all if c.split == split) for split in ("validation", "test")}
    for more, call in enumerate(longer.values(), start=2):
        found = calls_of(w)
        withheld = [msgspec.structs.replace(call, call_id=f"withheld {i}") for i in range(more)]
        of_task = {found.task.id: [*found.all, *withheld]}
        assert TaskCalls(found.task, Population(of_task, w.population), 0).largest == 3 + more
        assert TaskCalls(found.task, Population(of_task, w.population), 0, 40).largest == 40, "one in train"


def test_the_order_follows_from_the_seed_alone(world: Callable[..., Any]) -> None:
    w = world(n_calls=600, per_group=3)
    first = ids(calls_of(w).split("calibration"))
    assert first == ids(calls_of(w, backwards=True).split("calibration"))
    assert first != ids(calls_of(w, seed=1).split("calibration")) and first != sorted(first)
