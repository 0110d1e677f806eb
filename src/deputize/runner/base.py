"""The protocol of runners: a function is made once in each worker, shards are sent to it, results come back in order.

What is sent must not depend on the worker: then a shard that is done again after a worker died gives the same result,
and no result depends on how many workers there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from itertools import chain, islice
from typing import Any, NamedTuple, Protocol, Self, TypeVar

from deputize.core.progress import Progress, silent

S = TypeVar("S")
R = TypeVar("R")

SHARDS_PER_WORKER = 2
"""Shards that a worker may have at once, so that it never waits for the next one."""
MOST_AHEAD = 4
"""Results that wait for their turn, in multiples of the shards that workers have at once."""
RETRIES = 3
"""How often a shard is given to a worker again after one died with it; then it is done in this process."""


class Resources(NamedTuple):
    """Needs of one worker."""

    cores: float = 1.0
    gpus: float = 0.0
    memory_mib: int = 0
    """0: not said."""


class WorkerLost(Exception):
    """A worker died with a shard; the shard can be done again. Every other exception is the function's own."""


class Workers(Protocol):
    """Workers of a runner that all hold one function; closed by leaving the block."""

    @property
    def n(self) -> int:
        """Workers; 0 where all is done in this process."""
        ...

    @property
    def are_here(self) -> bool:
        """True where they share the machine with this process, which then does shards itself while all are busy."""
        ...

    def submit(self, shard: Any) -> Future[Any]:
        """Sends a shard to a worker.

        Returns:
            The result; WorkerLost where the worker died, and what the function raises.

        Raises:
            WorkerLost: no worker can be had.
        """
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *about: Any) -> None: ...


class Runner(Protocol):
    """Starts workers."""

    name: str

    @property
    def is_here(self) -> bool:
        """As Workers.are_here of all that it starts."""
        ...

    @property
    def for_models(self) -> Resources:
        """Needs of a worker that trains a base model or asks one: a GPU where there is one, else a group of cores."""
        ...

    def start(
        self,
        make: Callable[[], Callable[[Any], Any]],
        *,
        n: int | None = None,
        resources: Resources = Resources(),  # noqa: B008 - immutable
    ) -> Workers:
        """Workers that each call `make` once, with their first shard, and its result for every shard.

        Args:
            make: makes the function in each worker; can be pickled, and so can shards and results.
            n: most workers; None: as many as the runner has room for.
            resources: of each worker.

        Raises:
            MissingExtra: what the runner needs is not installed.
        """
        ...


def map_shards(
    workers: Workers,
    make: Callable[[], Callable[[S], R]],
    shards: Iterable[S],
    *,
    name: str = "",
    total: int | None = None,
    retries: int = RETRIES,
    progress: Progress = silent,
    is_cancelled: Callable[[], bool] = lambda: False,
    is_single_here: bool = True,
    per_worker: int = SHARDS_PER_WORKER,
) -> Iterator[R]:
    """The function's result for each shard, in their order; few shards are in memory at a time.

    A shard whose worker died is sent again `retries` times and then done in this process. A single shard is done here,
    and all are where there are no workers.

    Args:
        workers: hold what `make` makes.
        make: makes the function here, when it is needed.
        shards: are read as they are sent.
        name: of the work, for progress.
        total: number of shards, for progress; None: not known.
        retries: see above.
        progress: called after each shard.
        is_cancelled: asked before each shard is sent; what was sent is still returned.
        is_single_here: False: a single shard goes to a worker too.
        per_worker: shards that a worker has at once; 1 where they take long, so that none waits behind another.

    Raises:
        What the function raises for a shard, when its turn comes.
    """
    here, left = _Here(make), iter(shards)
    first = list(islice(left, 2))
    at_once = per_worker * workers.n if len(first) > is_single_here else 0
    queue: deque[tuple[S, Future[R] | None]] = deque()
    left, n_done, most = chain(first, left), 0, MOST_AHEAD * at_once
    while True:
        if not is_cancelled():
            _fill(queue, left, workers, at_once)
        if not queue:
            return
        first_one = queue[0][1]
        is_waiting = first_one is not None and not first_one.done()
        may_help = is_waiting and workers.are_here and len(queue) < most and not is_cancelled()
        if may_help and _do_one_here(queue, left, here):
            continue
        shard, future = queue.popleft()
        yield _result(workers, shard, future, here, retries)
        n_done += 1
        progress(name, n_done, total)


def _fill(
    queue: deque[tuple[S, Future[R] | None]], left: Iterator[S], workers: Workers, at_once: int
) -> None:
    """Sends shards until all workers have enough; where there are none, one waits to be done in this process."""
    n_busy = sum(future is not None and not future.done() for _, future in queue)
    n_more = min(at_once - n_busy, MOST_AHEAD * at_once - len(queue)) if at_once else int(not queue)
    for shard in islice(left, max(0, n_more)):
        queue.append((shard, _sent(workers, shard) if at_once else None))


def _do_one_here(queue: deque[tuple[S, Future[R] | None]], left: Iterator[S], here: _Here) -> bool:
    """Does the next shard in this process; False where there is none."""
    for shard in islice(left, 1):
        done: Future[R] = Future()
        try:
            done.set_result(here(shard))
        except Exception as error:  # noqa: BLE001 - it is raised when the turn of its shard comes
            done.set_exception(error)
        queue.append((shard, done))
        return True
    return False


def _sent(workers: Workers, shard: S) -> Future[R] | None:
    try:
        return workers.submit(shard)
    except WorkerLost:
        return None


def _result(workers: Workers, shard: S, future: Future[R] | None, here: _Here, retries: int) -> R:
    for n_left in range(retries, -1, -1):
        if future is None:
            break
        try:
            return future.result()
        except WorkerLost:
            future = _sent(workers, shard) if n_left else None
    found: R = here(shard)
    return found


class _Here:
    """The function in this process, made when it is first needed."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        self._make = make
        self._function: Callable[[Any], Any] | None = None

    def __call__(self, shard: Any) -> Any:
        if self._function is None:
            self._function = self._make()
        return self._function(shard)


class NoWorkers:
    """Workers of nobody: all is done in this process."""

    n = 0
    are_here = True

    def submit(self, shard: Any) -> Future[Any]:
        """As Workers.submit."""
        raise WorkerLost("there are no workers")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *about: Any) -> None:
        return
