"""Every runner: results in order, the same whatever dies, errors of the function as they are. Ray on a cluster of
this machine."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.shard_functions import DieAlways, DieOnce, slow_squares, squares, strict_roots

from deputize.core.config import RunnerSettings
from deputize.runner.base import Runner, map_shards
from deputize.runner.registry import make_runner

N = 40


@pytest.fixture(scope="module", params=["local", pytest.param("ray", marks=pytest.mark.slow)])
def runner(request: pytest.FixtureRequest) -> Iterator[Runner]:
    if request.param == "local":
        pytest.importorskip("loky")
        yield make_runner(RunnerSettings(kind="local", processes=1))
        return
    ray = pytest.importorskip("ray")
    made = make_runner(RunnerSettings(kind="ray", processes=2))
    yield made
    ray.shutdown()


@pytest.mark.timeout(300)
def test_results_come_in_order_and_from_other_processes(runner: Runner) -> None:
    with runner.start(slow_squares) as workers:
        assert workers.n >= 1
        found = list(map_shards(workers, slow_squares, range(N)))
    assert [square for square, _ in found] == [n * n for n in range(N)]
    assert {pid for _, pid in found} - {os.getpid()}
    assert workers.are_here or os.getpid() not in {pid for _, pid in found}


@pytest.mark.timeout(300)
def test_a_worker_that_is_killed_changes_no_result(runner: Runner) -> None:
    with runner.start(slow_squares) as workers:
        found: list[int] = []
        killed: set[int] = set()
        for square, pid in map_shards(workers, slow_squares, range(N)):
            found.append(square)
            if pid != os.getpid() and not killed:
                killed.add(pid)
                os.kill(pid, signal.SIGKILL)
    assert killed and found == [n * n for n in range(N)]


@pytest.mark.timeout(300)
def test_a_shard_that_kills_its_worker_once_is_done_by_another(runner: Runner, tmp_path: Path) -> None:
    make = DieOnce(tmp_path / "died", os.getpid())
    with runner.start(make) as workers:
        assert list(map_shards(workers, make, range(N))) == [n * n for n in range(N)]
    assert (tmp_path / "died").exists()


@pytest.mark.timeout(300)
def test_a_shard_that_kills_every_worker_is_done_here(runner: Runner, tmp_path: Path) -> None:
    make = DieAlways(tmp_path / "died", os.getpid())
    with runner.start(make) as workers:
        assert list(map_shards(workers, make, range(8))) == [n * n for n in range(8)]


@pytest.mark.timeout(300)
def test_an_error_of_the_function_is_no_lost_worker(runner: Runner) -> None:
    with runner.start(strict_roots) as workers:
        found = map_shards(workers, strict_roots, [4, -1, 9])
        assert next(found) == 2.0
        with pytest.raises(ValueError, match="-1 has no root"):
            next(found)


def test_a_single_shard_starts_no_worker(runner: Runner) -> None:
    with runner.start(slow_squares) as workers:
        assert [pid for _, pid in map_shards(workers, slow_squares, [3])] == [os.getpid()]
    assert list(map_shards(workers, squares, [])) == []
