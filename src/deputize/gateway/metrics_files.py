"""Metrics files that the workers of one gateway share, so that a scrape of any of them covers all."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec

from deputize.core.errors import StoreError
from deputize.files import write_atomic
from deputize.gateway.metrics import Metrics


class MetricsFiles:
    """One file per worker in a folder; numbers only."""

    def __init__(self, folder: Path, *, every_s: float = 1.0) -> None:
        self._folder, self._every_s = folder, every_s
        self._mine = folder / f"{os.getpid()}.json"
        self._task: asyncio.Task[None] | None = None

    def start(self, metrics: Metrics, refresh: Callable[[], None]) -> None:
        """Writes this worker's counters every `every_s` seconds; `refresh` updates them first."""
        self._task = asyncio.ensure_future(self._publish(metrics, refresh))

    async def _publish(self, metrics: Metrics, refresh: Callable[[], None]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            refresh()
            data = msgspec.json.encode(metrics.snapshot())
            with contextlib.suppress(
                StoreError
            ):  # the recorder tells of a full disk; old numbers stay meanwhile
                await loop.run_in_executor(None, write_atomic, self._mine, data)
            await asyncio.sleep(self._every_s)

    def gather(self, metrics: Metrics) -> Metrics:
        """This worker's counters and, at most `every_s` old, those of the others."""
        total = Metrics()
        total.merge(metrics.snapshot())
        for path in self._folder.glob("*.json"):
            if path == self._mine:
                continue
            try:
                if not _alive(int(path.stem)):
                    path.unlink(missing_ok=True)
                    continue
                total.merge(msgspec.json.decode(path.read_bytes()))
            except (OSError, ValueError):  # vanished or half a name: not a worker of ours
                continue
        return total

    def stop(self) -> None:
        """Stops writing and removes this worker's file."""
        if self._task is not None:
            self._task.cancel()
        self._mine.unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
