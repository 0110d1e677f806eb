"""The runner of this machine: further processes, one for each further core.

Shards go to them through pipes; nothing is written to disk or to a command line. On loky, since plain multiprocessing
would run a user's script again.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Self

from deputize.core.errors import MissingExtra
from deputize.runner.base import Resources, WorkerLost

MAX_PROCESSES = 3
"""A process of curation holds about half a GB of models."""
IDLE_S = 60
"""A process without work for so long ends by itself, as it must where this process was killed."""
MAX_RESTARTS = 8
"""How often processes are started again after one died; then all is done in this process."""


class LocalRunner:
    """Processes of this machine."""

    name = "local"

    def __init__(self, processes: int | None = None) -> None:
        """
        Args:
            processes: most further processes; None: one for each further core, at most MAX_PROCESSES; 0: none.
        """
        self._processes = processes

    @property
    def is_here(self) -> bool:
        """As Runner.is_here."""
        return True

    @property
    def for_models(self) -> Resources:
        """As Runner.for_models; this machine's GPU is used by the process of the command."""
        return Resources()

    def start(
        self,
        make: Callable[[], Callable[[Any], Any]],
        *,
        n: int | None = None,
        resources: Resources = Resources(),  # noqa: B008 - immutable
    ) -> LocalWorkers:
        """As Runner.start: no more processes than cores are left, `resources.cores` for each."""
        if n == 0:
            return LocalWorkers(make, 0)
        try:
            from loky import cpu_count
        except ImportError:
            raise MissingExtra.package("loky", "privacy") from None
        most = min(MAX_PROCESSES, cpu_count() - 1) if self._processes is None else self._processes
        room = most if resources.cores <= 1 else int(most // resources.cores)
        return LocalWorkers(make, room if n is None else min(n, room), max(1, int(resources.cores)))


class LocalWorkers:
    """Processes with one function; the first shard starts them, and one that died is replaced."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]], n: int, threads: int = 1) -> None:
        self._make, self._n, self._threads = make, max(0, n), threads
        self._pool: Any = None
        self._n_starts = 0

    @property
    def n(self) -> int:
        """Processes."""
        return self._n if self._n_starts <= MAX_RESTARTS else 0

    @property
    def are_here(self) -> bool:
        """As Workers.are_here."""
        return True

    def submit(self, shard: Any) -> Future[Any]:
        """As Workers.submit."""
        out: Future[Any] = Future()
        for _ in range(2):
            pool = self._started()
            try:
                found = pool.submit(_do, shard)
                break
            except RuntimeError:  # a broken pool, or one that was shut down
                self._end()
        else:
            raise WorkerLost("processes of this machine cannot be started")
        found.add_done_callback(lambda done: _pass_on(done, out))
        return out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _started(self) -> Any:
        if self._pool is None:
            if not self.n:
                raise WorkerLost("processes of this machine have died too often")
            from loky import ProcessPoolExecutor

            self._n_starts += 1
            self._pool = ProcessPoolExecutor(
                self._n,
                timeout=IDLE_S,
                initializer=_initialise,
                initargs=(self._make,),
                env={"OMP_NUM_THREADS": str(self._threads)},
            )
        return self._pool

    def _end(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(kill_workers=True)
            self._pool = None


def _pass_on(done: Future[Any], out: Future[Any]) -> None:
    """The result of a pool's future, its death as WorkerLost."""
    try:
        if done.cancelled():
            out.set_exception(WorkerLost("the processes were ended"))
        elif (error := done.exception()) is None:
            out.set_result(done.result())
        else:
            lost = isinstance(error, BrokenProcessPool)
            out.set_exception(WorkerLost(str(error)) if lost else error)
    except InvalidStateError:  # nobody waits for it any more
        return


_make: Callable[[], Callable[[Any], Any]] | None = None
_function: Callable[[Any], Any] | None = None
"""Of this process, where it is one of a pool."""


def _initialise(make: Callable[[], Callable[[Any], Any]]) -> None:
    """Runs first in each process of the pool."""
    global _make
    # Ctrl-C is for the parent, which ends this process
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _make = make


def _do(shard: Any) -> Any:
    global _function
    if _function is None:
        if _make is None:
            raise RuntimeError("the process was not initialised")
        _function = _make()
    return _function(shard)
