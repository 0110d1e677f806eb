"""Curated calls of a task: a few, of the tenant, without those that were erased."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.unit.cli.test_erase import House

from deputize.core.errors import DeputizeError
from deputize.dashboard.task_examples import PER_TASK, ShownExample, TaskExamples
from deputize.home import Home


def read(examples: TaskExamples, run: str, task: str, tenant: str = "") -> list[ShownExample]:
    deadline = time.monotonic() + 20
    while (found := examples.of(run, task, tenant)) is None:
        assert time.monotonic() < deadline
    return found


def test_examples_are_shown_until_their_calls_are_erased(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.store.close()
    with Home(tmp_path) as home:
        run = next(p.parent.name for p in home.runs_path.glob("*/run.json"))
        examples = TaskExamples(home)
        found = read(examples, run, "t")
        assert 0 < len(found) <= PER_TASK and all(e.asked.startswith("user: ") for e in found)
        assert not read(examples, run, "other") and not read(examples, run, "t", "nobody")
        gone = found[0]
        home.store.erase_calls([gone.call_id], tenant=gone.tenant)
        assert gone not in read(examples, run, "t")
        examples.close()


def test_a_run_that_cannot_be_read_is_an_error_and_is_tried_again(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.keyring.provider  # noqa: B018 - the keys are made
        examples = TaskExamples(home)
        for _ in range(2):
            with pytest.raises((DeputizeError, OSError)):
                read(examples, "none", "t")
        examples.close()
