"""Shards are mapped in order by whatever workers there are, and here where there are none."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, Self

import pytest
from tests.shard_functions import squares, strict_roots

from deputize.runner.base import RETRIES, NoWorkers, WorkerLost, map_shards


class Postponed:
    """Workers that are done with a shard when they get the third one after it."""

    n = 1
    are_here = False

    def __init__(self) -> None:
        self.open: list[tuple[int, Future[Any]]] = []
        self.most_open = 0

    def submit(self, shard: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.open.append((shard, future))
        self.most_open = max(self.most_open, len(self.open))
        if len(self.open) > 1:
            n, first = self.open.pop(0)
            first.set_result(squares()(n))
        return future

    def finish(self) -> None:
        for n, future in self.open:
            future.set_result(squares()(n))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: Any) -> None:
        return


class Lost(Postponed):
    """Workers that die with every shard."""

    def __init__(self) -> None:
        super().__init__()
        self.n_sent = 0

    def submit(self, shard: Any) -> Future[Any]:
        self.n_sent += 1
        future: Future[Any] = Future()
        future.set_exception(WorkerLost("dead"))
        return future


def test_without_workers_all_is_done_here_one_by_one_and_in_order() -> None:
    read: list[int] = []

    def shards() -> Iterator[int]:
        for n in range(5):
            read.append(n)
            yield n

    found = map_shards(NoWorkers(), squares, shards())
    assert next(found) == 0 and read == [0, 1], "no more is read than is needed"
    assert list(found) == [1, 4, 9, 16]
    assert list(map_shards(NoWorkers(), squares, [])) == []


def test_shards_are_read_as_workers_have_room() -> None:
    workers, read = Postponed(), list[int]()

    def shards() -> Iterator[int]:
        for n in range(50):
            read.append(n)
            yield n
        workers.finish()

    assert list(map_shards(workers, squares, shards())) == [n * n for n in range(50)]
    assert workers.most_open <= 3


def test_a_shard_whose_worker_dies_is_sent_again_and_then_done_here() -> None:
    workers = Lost()
    assert list(map_shards(workers, squares, [3, 4])) == [9, 16]
    assert workers.n_sent == 2 * (RETRIES + 1)


def test_what_the_function_raises_is_raised_when_its_turn_comes() -> None:
    found = map_shards(NoWorkers(), strict_roots, [4, -1, 9])
    assert next(found) == 2.0
    with pytest.raises(ValueError, match="-1 has no root"):
        next(found)


def test_a_cancelled_map_sends_nothing_more_and_progress_is_told() -> None:
    told: list[tuple[str, int, int | None]] = []
    found: list[int] = []
    for square in map_shards(
        NoWorkers(),
        squares,
        range(100),
        name="squares",
        total=100,
        progress=lambda what, done, total=None: told.append((what, done, total)),
        is_cancelled=lambda: len(found) >= 3,
    ):
        found.append(square)
    assert found == [0, 1, 4]
    assert told == [("squares", 1, 100), ("squares", 2, 100), ("squares", 3, 100)]


def test_a_single_shard_goes_to_a_worker_where_that_is_asked_for() -> None:
    workers = Lost()
    assert list(map_shards(workers, squares, [3])) == [9] and workers.n_sent == 0
    assert list(map_shards(workers, squares, [3], is_single_here=False)) == [9] and workers.n_sent > 0
