"""Processes of this machine: how many there are, and that there need not be any."""

from __future__ import annotations

import pytest
from tests.shard_functions import squares

from deputize.runner.base import Resources, WorkerLost
from deputize.runner.local import LocalRunner, LocalWorkers

pytest.importorskip("loky")


def test_no_more_processes_than_asked_for_or_than_cores_are_left() -> None:
    assert LocalRunner(2).start(squares).n == 2
    assert LocalRunner(2).start(squares, n=1).n == 1
    assert LocalRunner(4).start(squares, resources=Resources(cores=2)).n == 2
    assert LocalRunner(1).start(squares, resources=Resources(cores=2)).n == 0


def test_without_processes_no_shard_is_taken() -> None:
    with LocalWorkers(squares, 0) as workers, pytest.raises(WorkerLost):
        workers.submit(1)
