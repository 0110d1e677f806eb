"""The runner of a Ray cluster: actors, one for each core or more, which Ray starts again elsewhere when one dies.

Shards pass through Ray's object store in clear, on every node that works: use a cluster of your own, with TLS
(docs/guides/ray.md). Ray counts nothing of it to its makers: usage statistics are switched off.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Lock
from typing import Any, Self

from deputize.core.errors import MissingExtra, UsageError
from deputize.core.version import VERSION
from deputize.runner.base import Resources, WorkerLost

_log = logging.getLogger("deputize.runner")

START_S = 120.0
"""For the first worker to start. A cluster that others use may have no room for any."""
OTHERS_S = 10.0
"""For the others, beyond as long again as the first one took; then those that are there begin."""
LOST_S = 5.0
"""Seconds for which an actor that was lost gets no shard while there are others."""


class RayRunner:
    """Actors in a Ray cluster, or in one that is started on this machine."""

    name = "ray"

    def __init__(self, address: str = "", processes: int | None = None, model_cores: int = 1) -> None:
        """
        Args:
            address: of the cluster ("auto", "HOST:6379", "ray://HOST:10001"); "": one of this machine alone, which ends
                with this process.
            processes: most actors; None: as many as the cluster has cores for.
            model_cores: of an actor that trains a base model or asks one.

        Raises:
            MissingExtra: ray is not installed.
            UsageError: the cluster cannot be reached.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError:
            raise MissingExtra.package("ray", "ray") from None
        self._ray: Any = ray
        self._most, self._model_cores = processes, model_cores
        if not ray.is_initialized():
            # without "local" Ray would join whatever cluster runs on this machine, and texts would pass through it
            options: dict[str, Any] = {"address": address or "local", "log_to_driver": False}
            if not address:
                options["include_dashboard"] = False
            try:
                ray.init(**options)
            except Exception as error:  # noqa: BLE001 - a head that starts too slowly raises a bare one
                ray.shutdown()  # what it had started would go on without this process knowing of it
                raise UsageError(_not_reached(address, error)) from None

    @property
    def is_here(self) -> bool:
        """As Runner.is_here."""
        return False

    @property
    def for_models(self) -> Resources:
        """As Runner.for_models."""
        return Resources(self._model_cores, float(self._ray.cluster_resources().get("GPU", 0) >= 1))

    def start(
        self,
        make: Callable[[], Callable[[Any], Any]],
        *,
        n: int | None = None,
        resources: Resources = Resources(),  # noqa: B008 - immutable
    ) -> RayWorkers:
        """As Runner.start: as many actors as the nodes of the cluster have room for."""
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        room = sum(room_on(node, resources) for node in nodes)
        if not room:
            needs = f"{resources.cores:g} cores" + f", {resources.gpus:g} GPUs" * bool(resources.gpus)
            _log.warning(
                "No node of the Ray cluster has room for a worker (%s): its work is done here.", needs
            )
        for most in (n, self._most):
            room = room if most is None else min(room, most)
        return RayWorkers(self._ray, make, room, resources)


def room_on(node: Mapping[str, float], resources: Resources) -> int:
    """Workers that one node can hold; what they need is not put together from several nodes."""
    needs = {"CPU": resources.cores, "GPU": resources.gpus, "memory": resources.memory_mib * 2**20}
    rooms = [int(node.get(name, 0.0) // need) for name, need in needs.items() if need]
    return min(rooms, default=1)


def _not_reached(address: str, error: Exception) -> str:
    said = " ".join(str(error).split()).rstrip(".")
    if address:
        return (
            f'[runner] kind = "ray": no cluster at {address!r}: {said}. `ray status` says whether one runs.'
        )
    return f'[runner] kind = "ray": no cluster could be started on this machine: {said}. The same command tries again.'


class RayWorkers:
    """Actors with one function; the first shard starts them."""

    def __init__(
        self, ray: Any, make: Callable[[], Callable[[Any], Any]], n: int, resources: Resources
    ) -> None:
        self._ray, self._make, self._n, self._resources = ray, make, n, resources
        self._actors: list[_Actor] = []
        self._made: Any = None
        self._has_failed = False
        self._lock = Lock()  # Ray tells of results in threads of its own

    @property
    def n(self) -> int:
        """Actors."""
        return self._n

    @property
    def are_here(self) -> bool:
        """As Workers.are_here."""
        return False

    def submit(self, shard: Any) -> Future[Any]:
        """As Workers.submit; Ray itself starts an actor again that died, where the cluster has room for it."""
        if not self._n:
            raise WorkerLost("the cluster has no room for a worker")
        if not self._actors:
            self._start()
        started = self._started()
        if not started:
            raise WorkerLost("no worker has started yet")
        out: Future[Any] = Future()
        with self._lock:
            # one that waits for room after its node was lost fails at once, so the others come first
            now = time.monotonic()
            actor = min(started, key=lambda one: (now < one.lost_until_s, one.n_open))
            actor.n_open += 1
        reference = actor.handle.do.remote(shard)
        reference.future().add_done_callback(lambda done: self._pass_on(done, actor, out))
        return out

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for actor in self._actors:
            self._ray.kill(actor.handle)
        self._actors, self._made = [], None

    def _start(self) -> None:
        needs: dict[str, Any] = {"num_cpus": self._resources.cores, "num_gpus": self._resources.gpus}
        if self._resources.memory_mib:
            needs["memory"] = self._resources.memory_mib * 2**20
        # a retry of Ray's would wait for this very actor, also where its node is lost and no other has room
        actor = self._ray.remote(**needs, max_restarts=-1, max_task_retries=0)(ShardActor)
        # Ray starts an actor again only while somebody holds what it was made with
        self._made = self._ray.put(self._make)
        handles = [actor.remote(self._made) for _ in range(self._n)]
        self._actors = [_Actor(handle, handle.version.remote()) for handle in handles]
        began, starting = time.monotonic(), [one.starting for one in self._actors]
        if self._ray.wait(starting, timeout=START_S)[0]:
            self._ray.wait(starting, num_returns=self._n, timeout=time.monotonic() - began + OTHERS_S)
        n_started = len(self._started())
        if n_started < self._n:
            _log.warning(
                "%d of %d workers have started in the Ray cluster within %.0f s; %s. Others join when there is room.",
                n_started,
                self._n,
                time.monotonic() - began,
                "they do the work" if n_started else "it is done here until one has",
            )

    def _started(self) -> list[_Actor]:
        """The actors that have started; the others would keep a shard for as long as the cluster has no room for
        them.

        Raises:
            UsageError: one has another version of this package.
        """
        starting = [one.starting for one in self._actors if one.starting is not None]
        there = self._ray.wait(starting, num_returns=len(starting), timeout=0)[0] if starting else []
        for one in self._actors:
            if one.starting is None or one.starting not in there:
                continue
            try:
                version = self._ray.get(one.starting)
            except self._ray.exceptions.RayError as error:
                if not self._has_failed:
                    self._has_failed = True
                    _log.warning("A worker could not start in the Ray cluster: %s", _last_line(error))
                one.starting = one.handle.version.remote()  # Ray may start it again
                continue
            if version != VERSION:
                raise UsageError(
                    f"Workers of the Ray cluster have deputize {version}, and this process {VERSION}: their results may "
                    "differ. Use one image for all nodes."
                )
            one.starting = None
        return [one for one in self._actors if one.starting is None]

    def _pass_on(self, done: Future[Any], actor: _Actor, out: Future[Any]) -> None:
        error = done.exception()
        with self._lock:
            actor.n_open -= 1
            if error is not None and not isinstance(error, self._ray.exceptions.RayTaskError):
                actor.lost_until_s = time.monotonic() + LOST_S
        if error is None:
            out.set_result(done.result())
        elif isinstance(error, self._ray.exceptions.RayTaskError):
            out.set_exception(error.cause if isinstance(getattr(error, "cause", None), Exception) else error)
        else:
            out.set_exception(WorkerLost(str(error)))


def _last_line(error: Exception) -> str:
    """The last words of a worker: Ray puts its own words and a trace before it."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), repr(error))


@dataclass
class _Actor:
    """One actor, as its maker sees it."""

    handle: Any
    starting: Any
    """Its first answer, once it has started; None: it has."""
    n_open: int = 0
    """Shards that it has."""
    lost_until_s: float = 0.0
    """Until then others come first."""


class ShardActor:
    """Holds the function in one process of the cluster."""

    def __init__(self, make: Callable[[], Callable[[Any], Any]]) -> None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        self._make = make
        self._function: Callable[[Any], Any] | None = None

    def version(self) -> str:
        """The version of this package there."""
        return VERSION

    def do(self, shard: Any) -> Any:
        """The function's result for a shard."""
        if self._function is None:
            self._function = self._make()
        return self._function(shard)
