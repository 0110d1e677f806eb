"""Metrics files that the workers of one gateway share, so that a scrape of any of them covers all, and those that
ended.

A counter must never fall while the gateway runs, since Prometheus takes a fall for a new beginning: so a worker writes
down what it is about to show, and the last numbers of one that ended are kept. Each gateway has a folder of its own,
named after its first process; all begin with nothing when that one does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.errors import StoreError
from deputize.files import locked
from deputize.gateway.metrics import Metrics

log = logging.getLogger("deputize.gateway")

_PREFIX = "metrics-"
_ENDED = "ended.json"
Snapshot = dict[str, list[Any]]


class _Ended(msgspec.Struct):
    """The last numbers of workers that are no more."""

    files: list[str]
    """Names of the files that are counted here; one that is still there was not removed in time."""
    metrics: Snapshot


class MetricsFiles:
    """One file per worker in a folder; numbers only."""

    def __init__(self, folder: Path, *, every_s: float = 1.0) -> None:
        self._folder, self._every_s = folder, every_s
        self._mine = folder / f"{os.getpid()}-{secrets.token_hex(4)}.json"
        self._written = b""
        self._task: asyncio.Task[None] | None = None
        self._refresh: Callable[[], None] = lambda: None
        self._metrics = Metrics()

    def start(self, metrics: Metrics, refresh: Callable[[], None]) -> None:
        """Writes this worker's counters every `every_s` seconds; `refresh` updates them first."""
        self._metrics, self._refresh = metrics, refresh
        self._task = asyncio.ensure_future(self._publish())

    async def _publish(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            self._refresh()
            await loop.run_in_executor(None, self._write, self._metrics.snapshot())
            await asyncio.sleep(self._every_s)

    async def gather(self, metrics: Metrics) -> Metrics:
        """This worker's counters, those of the others, at most `every_s` old, and of those that ended."""
        snapshot = metrics.snapshot()
        return await asyncio.get_running_loop().run_in_executor(None, self._gather, snapshot)

    async def stop(self) -> None:
        """Stops writing. The last numbers stay, for the others to count."""
        if self._task is not None:
            self._task.cancel()
            self._refresh()
            await asyncio.get_running_loop().run_in_executor(None, self._write, self._metrics.snapshot())

    def _gather(self, snapshot: Snapshot) -> Metrics:
        total = Metrics()
        try:
            with locked(self._folder / "metrics"):
                self._write_locked(snapshot)
                ended = self._ended()
                total.merge(ended.metrics)
                for path in self._others(ended):
                    total.merge(_read(path))
        except (StoreError, OSError) as error:
            log.warning("the metrics of other workers cannot be read: %s", error)
        total.merge(snapshot)
        return total

    def _others(self, ended: _Ended) -> Iterator[Path]:
        for path in self._folder.glob("*-*.json"):
            if path != self._mine and path.name not in ended.files:
                yield path

    def _ended(self) -> _Ended:
        """The numbers of ended workers, with those of workers that have ended meanwhile."""
        kept = self._folder / _ENDED
        ended = msgspec.json.decode(kept.read_bytes(), type=_Ended) if kept.exists() else _Ended([], {})
        found = [p for p in self._others(ended) if not _alive(int(p.name.partition("-")[0]))]
        left = [name for name in ended.files if (self._folder / name).exists()]
        if found or left:
            total = Metrics()
            total.merge(ended.metrics)
            for path in found:
                total.merge(_read(path))
            total.gauges.clear()
            ended = _Ended([*left, *(p.name for p in found)], total.snapshot())
            _replace(kept, msgspec.json.encode(ended))
            for name in ended.files:
                (self._folder / name).unlink(missing_ok=True)
        return ended

    def _write(self, snapshot: Snapshot) -> None:
        with contextlib.suppress(StoreError, OSError), locked(self._folder / "metrics"):
            self._write_locked(snapshot)  # the recorder tells of a full disk; old numbers stay meanwhile

    def _write_locked(self, snapshot: Snapshot) -> None:
        data = msgspec.json.encode(snapshot)
        if data != self._written:
            _replace(self._mine, data)
            self._written = data


def begin_folder(parent: Path) -> Path:
    """An empty folder for the workers of the gateway that this process begins; those of ended gateways are removed."""
    for old in parent.glob(f"{_PREFIX}*"):
        pid = old.name.removeprefix(_PREFIX)
        if not pid.isdigit() or int(pid) == os.getpid() or not _alive(int(pid)):
            shutil.rmtree(old, ignore_errors=True)
    folder = parent / f"{_PREFIX}{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _read(path: Path) -> Snapshot:
    try:
        snapshot: Snapshot = msgspec.json.decode(path.read_bytes())
    except (OSError, msgspec.DecodeError):  # half a disk: the worker writes it again
        return {}
    return snapshot


def _replace(path: Path, data: bytes) -> None:
    """As `write_atomic` without a sync: after a power cut all workers begin with nothing."""
    temporary = path.with_suffix(".part")
    temporary.write_bytes(data)
    temporary.replace(path)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
