"""Keeps the newest route file loaded: read off the hot path, swapped in as a whole."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

from msgspec import structs

from deputize.core.errors import DeputizeError
from deputize.core.records import RouteFile
from deputize.files import FileStamp, coming, stamp_of
from deputize.gateway.metrics import Metrics
from deputize.gateway.protocols import RouteLookup
from deputize.router.table import RouteTable
from deputize.routes_file import RouteFileSeal, read_routes
from deputize.specialists.serving.base import ServedVersion
from deputize.specialists.specialist_card import CARD, digest_of

log = logging.getLogger("deputize.gateway")

_STATES = ("closed", "shadow", "canary", "live", "rolled_back")


class RouteWatcher:
    """Holds the current route table in `table`, None where there are no routes. A damaged file leaves the old one in
    force."""

    def __init__(
        self, path: Path, metrics: Metrics, *, poll_s: float, seal: RouteFileSeal | None = None
    ) -> None:
        """
        Args:
            path: the route file.
            metrics: counts routes by state.
            poll_s: seconds between looks.
            seal: tells the newest route file from forged and older ones.
        """
        self.table: RouteLookup | None = None
        self.versions: dict[str, ServedVersion] = {}
        """Of the specialists of its routes that are not closed, by folder."""
        self._path = path
        self._metrics = metrics
        self._poll_s = poll_s
        self._seal = seal
        self._seen: tuple[FileStamp | None, ...] | None = None
        self._cards: list[Path] = []
        """Cards of the specialists of the routes, looked at as often as the route file."""
        self._task: asyncio.Task[None] | None = None
        self._on_routes: Callable[[], Awaitable[None]] | None = None
        self._loading = threading.Lock()

    def load(self) -> bool:
        """Loads the file where it has changed; True when the table is a new one. Any thread may call it."""
        with self._loading:  # else a slow reader could put an older table in force again
            return self._load()

    def _load(self) -> bool:
        if self._stamp() == self._seen:
            return False
        # a version whose writer was killed lies beside the file, and is in force for whoever reads it now
        stamp, beside = stamp_of(self._path), stamp_of(coming(self._path))
        self._cards = []
        is_readable = True
        try:
            file = self._pinned(read_routes(self._path, self._seal)) if stamp is not None else None
        except DeputizeError as error:
            log.error("route file not loaded, the former one stays in force: %s", error)
            # what could not be read, for example for want of file descriptors, may be whole: it is looked at again
            is_readable = not isinstance(error.__cause__, OSError)
            return False
        finally:
            known = stamp is not None and is_readable
            self._seen = (stamp, beside, *map(stamp_of, self._cards)) if known else None
        has_routes = file is not None and (file.routes or file.challengers)
        self.table = RouteTable.build(file) if file is not None and has_routes else None
        self.versions = versions_of(file) if file is not None else {}
        states: Counter[str] = Counter(r.state for r in file.routes) if file is not None else Counter()
        for state in _STATES:
            self._metrics.set("deputize_routes", states.get(state, 0), (("state", state),))
        n_challengers = sum(r.state != "rolled_back" for r in file.challengers) if file is not None else 0
        self._metrics.set("deputize_routes", n_challengers, (("state", "challenger"),))
        self._metrics.set("deputize_route_generation", file.generation if file is not None else 0)
        return True

    def _pinned(self, file: RouteFile) -> RouteFile:
        """The file without the routes whose specialist has another card than when they were published."""
        home = self._path.parent
        cards = {
            route.specialist: home / route.specialist / CARD for route in (*file.routes, *file.challengers)
        }
        changed = {
            route.specialist
            for route in (*file.routes, *file.challengers)
            if route.card_sha256 and route.card_sha256 != digest_of(cards[route.specialist])
        }
        self._cards = [
            cards[route.specialist] for route in (*file.routes, *file.challengers) if route.card_sha256
        ]
        for name in sorted(changed):
            log.error(
                "the card of %s is not the one that its route was published with: the LLM answers", name
            )
        return structs.replace(
            file,
            routes=[route for route in file.routes if route.specialist not in changed],
            challengers=[route for route in file.challengers if route.specialist not in changed],
        )

    def _stamp(self) -> tuple[FileStamp | None, ...] | None:
        found = stamp_of(self._path)
        return None if found is None else (found, stamp_of(coming(self._path)), *map(stamp_of, self._cards))

    async def start(self, on_routes: Callable[[], Awaitable[None]]) -> None:
        """Loads the file, then checks it every poll_s seconds; `on_routes` is awaited whenever there are routes."""
        self._on_routes = on_routes
        self.load()
        if self.table is not None:
            await on_routes()
        self._task = asyncio.ensure_future(self._watch())

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._poll_s)
            await self.look()

    async def look(self) -> None:
        """Loads the file now where it has changed."""
        if self._stamp() != self._seen:
            # reading and building happen in a thread; the swap is one assignment
            await asyncio.get_running_loop().run_in_executor(None, self.load)
            if self.table is not None and self._on_routes is not None:
                await self._on_routes()

    async def stop(self) -> None:
        """Stops checking."""
        if self._task is not None:
            self._task.cancel()
            self._task = None


def versions_of(file: RouteFile) -> dict[str, ServedVersion]:
    """The versions of specialists that the routes of a file are about, by folder; closed routes count for nothing."""
    found: dict[str, ServedVersion] = {}
    for route in (*file.routes, *file.challengers):
        if route.state == "closed":
            continue
        known = found.get(route.specialist, ServedVersion(route.card_sha256))
        engine = route.certificate.engine if route.certificate is not None else ""
        found[route.specialist] = ServedVersion(
            route.card_sha256, known.engines | ({engine} if engine else set())
        )
    return found
