"""Follows what other homes publish: takes over new versions, and knows for how long nothing could be known.

Reading, and the fetching of specialists, happen in threads; a download never keeps the next look waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from deputize.core.config import ObjectsSettings
from deputize.core.errors import DeputizeError
from deputize.gateway.metrics import Metrics
from deputize.store.published.published_home import PublishedHome

log = logging.getLogger("deputize.gateway")

_FETCH_AGAIN_S = 5.0
"""Between two tries to fetch what is missing."""
_FIRST_LOOK_S = 15.0
"""How long a start waits for the first look; an object store may take ten seconds to say that it is away."""


class PointerFollower:
    """Looks at the pointer of `[objects]`; where a home shares nothing, everything is known."""

    def __init__(
        self,
        published: PublishedHome | None,
        settings: ObjectsSettings,
        on_news: Callable[[], Awaitable[None]],
        metrics: Metrics,
        *,
        clock_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            published: what the home shares; None: nothing.
            settings: how often to look, and how long the last look holds.
            on_news: takes up files that have changed.
            metrics: gets version and age.
            clock_s: seconds that only go forward.
        """
        self._published, self._settings, self._on_news = published, settings, on_news
        self._metrics, self._clock_s = metrics, clock_s
        self._read_at = float("-inf")
        self._said = ""
        self._fetched_version, self._fetch_at = -1, float("-inf")
        self._task: asyncio.Task[None] | None = None
        self._fetching: asyncio.Task[None] | None = None

    @property
    def age_s(self) -> float:
        """Seconds since the newest version was certainly in force here; 0 where nothing is shared."""
        return 0.0 if self._published is None else self._clock_s() - self._read_at

    def knows_routes(self) -> bool:
        """False where a route may have been closed elsewhere without this gateway knowing."""
        return self.age_s <= self._settings.max_age_s

    def knows_keys(self) -> bool:
        """False where an API key may have been revoked elsewhere without this gateway knowing."""
        return self.age_s <= self._settings.keys_max_age_s

    async def start(self) -> None:
        """Looks once, then every `poll_s` seconds. An object store that is away, or says nothing, is no error: nothing
        is known then."""
        if self._published is None:
            return
        looked = asyncio.Event()
        self._task = asyncio.create_task(self._follow(self._published, looked), name="pointer")
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(looked.wait(), _FIRST_LOOK_S)

    async def _follow(self, published: PublishedHome, looked: asyncio.Event) -> None:
        while True:
            began, look = (
                self._clock_s(),
                asyncio.create_task(self._look(published), name="look at the pointer"),
            )
            try:
                while not look.done():
                    await asyncio.wait({look}, timeout=self._settings.poll_s)
                    # a file system that hangs says nothing for hours, and whoever watches is to see that
                    self._metrics.set("deputize_pointer_age", self.age_s)
                    if not look.done() and self._clock_s() - began > self._settings.max_age_s:
                        self._say(f"{published.bucket.address} does not answer.")
            finally:
                look.cancel()
            looked.set()
            await asyncio.sleep(self._settings.poll_s)

    async def _look(self, published: PublishedHome) -> None:
        try:
            await self._take_over(published)
            self._metrics.set("deputize_pointer_version", await asyncio.to_thread(lambda: published.version))
        except Exception:
            # whatever it is: a gateway that looks no more would refuse API keys until it is started again
            log.exception("what was published could not be taken up")

    async def _take_over(self, published: PublishedHome) -> None:
        began = self._clock_s()
        try:
            is_new = await asyncio.to_thread(published.look)
        except DeputizeError as error:
            self._say(str(error))
            return
        self._read_at = began
        if self._said:
            log.warning("the pointer in %s can be read again", published.bucket.address)
            self._said = ""
        if is_new:
            log.info("version %d of what is published was taken over", published.version)
            await self._on_news()
        due = published.version != self._fetched_version and began - self._fetch_at > _FETCH_AGAIN_S
        if (is_new or due) and (self._fetching is None or self._fetching.done()):
            self._fetch_at = began
            self._fetching = asyncio.create_task(self._fetch(published), name="fetch of specialists")

    async def _fetch(self, published: PublishedHome) -> None:
        version = published.version
        try:
            fetched = await asyncio.to_thread(published.fetch)
        except DeputizeError as error:
            log.error("not all specialists could be fetched, the LLM answers for those missing: %s", error)
            await self._on_news()  # of those that are there
            return
        self._fetched_version = version
        if fetched:
            log.info("fetched %s", ", ".join(fetched))
            await self._on_news()

    def _say(self, why: str) -> None:
        if why != self._said:
            self._said = why
            log.error(
                "%s Routes are in force for %.0f s, API keys for %.0f s after the last reading.",
                why,
                self._settings.max_age_s,
                self._settings.keys_max_age_s,
            )

    async def stop(self) -> None:
        """Stops looking."""
        for task in (self._task, self._fetching):
            if task is not None:
                task.cancel()
        self._task = self._fetching = None
