"""Baselines on workers are those of this process."""

from __future__ import annotations

from contextlib import closing

import pytest
from tests import tiny_tasks
from tests.other_processes import OtherProcesses

from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.runner.base import Runner
from deputize.stages.finetune.methods.registry import find_methods
from deputize.stages.select.baselines import (
    MIN_CALLS_FOR_WORKERS,
    Baselines,
    Planned,
    all_baselines,
    probed_calls,
)

KINDS = ("label", "closed", "values", "action")


def baselines(runner: Runner | None, n_calls: int = MIN_CALLS_FOR_WORKERS) -> list[Baselines]:
    curated, discovered = tiny_tasks.make(KINDS, 60)
    config = Convert(explore=True)
    planned = [
        Planned(task, probed_calls(task, [e for e in curated.examples if e.site == task.id]), methods)
        for task in discovered.tasks
        for methods in [find_methods(["linear", "frozen"])]
    ]
    with closing(all_baselines(planned, config, Deadline.after(None), runner, n_calls)) as found:
        return list(found)


def test_workers_find_the_same_baselines_in_the_order_of_the_tasks() -> None:
    here, runner = baselines(None), OtherProcesses()
    assert baselines(runner) == here and runner.n_started == 1
    assert [found.planned for found in here][:2] == [["linear", "frozen"]] * 2
    assert {row.method for row in here[2].rows} >= {"majority"}


@pytest.mark.parametrize("n_calls", [0, MIN_CALLS_FOR_WORKERS - 1])
def test_a_short_log_starts_no_workers(n_calls: int) -> None:
    runner = OtherProcesses()
    assert len(baselines(runner, n_calls)) == len(KINDS) and runner.n_started == 0
