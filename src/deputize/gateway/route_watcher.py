"""Keeps the newest route file loaded: read off the hot path, swapped in as a whole."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from deputize.core.errors import DeputizeError
from deputize.gateway.metrics import Metrics
from deputize.gateway.protocols import RouteLookup
from deputize.router.table import RouteTable
from deputize.routes_file import read_routes

log = logging.getLogger("deputize.gateway")

_STATES = ("closed", "shadow", "canary", "live", "rolled_back")


class RouteWatcher:
    """Holds the current route table in `table`, None where there are no routes. A damaged file leaves the old one in force."""

    def __init__(self, path: Path, metrics: Metrics, *, poll_s: float) -> None:
        self.table: RouteLookup | None = None
        self._path = path
        self._metrics = metrics
        self._poll_s = poll_s
        self._seen: tuple[int, int, int] | None = None
        self._task: asyncio.Task[None] | None = None
        self._on_routes: Callable[[], Awaitable[None]] | None = None
        self._loading = threading.Lock()

    def load(self) -> bool:
        """Loads the file where it has changed; True when the table is a new one. Any thread may call it."""
        with self._loading:  # else a slow reader could put an older table in force again
            return self._load()

    def _load(self) -> bool:
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            file = read_routes(self._path) if stamp is not None else None
        except DeputizeError as error:
            log.error("route file not loaded, the former one stays in force: %s", error)
            return False
        has_routes = file is not None and (file.routes or file.challengers)
        self.table = RouteTable.build(file) if file is not None and has_routes else None
        states: Counter[str] = Counter(r.state for r in file.routes) if file is not None else Counter()
        for state in _STATES:
            self._metrics.set("deputize_routes", states.get(state, 0), (("state", state),))
        n_challengers = sum(r.state != "rolled_back" for r in file.challengers) if file is not None else 0
        self._metrics.set("deputize_routes", n_challengers, (("state", "challenger"),))
        self._metrics.set("deputize_route_generation", file.generation if file is not None else 0)
        return True

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    async def start(self, on_routes: Callable[[], Awaitable[None]]) -> None:
        """Loads the file, then checks it every poll_s seconds; `on_routes` is awaited whenever there are routes."""
        self._on_routes = on_routes
        self.load()
        if self.table is not None:
            await on_routes()
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._poll_s)
            if self._stamp() != self._seen:
                # reading and building happen in a thread; the swap is one assignment
                await loop.run_in_executor(None, self.load)
                if self.table is not None and self._on_routes is not None:
                    await self._on_routes()

    async def stop(self) -> None:
        """Stops checking."""
        if self._task is not None:
            self._task.cancel()
            self._task = None
