"""The newest route file stays loaded."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from tests.unit.gateway.stubs import publish_route

from deputize.gateway.metrics import Metrics
from deputize.gateway.route_watcher import RouteWatcher


def test_a_file_is_loaded_once_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    metrics, path = Metrics(), tmp_path / "routes.json"
    watcher = RouteWatcher(path, metrics, poll_s=60)
    watcher.load()
    assert watcher.table is None
    publish_route(path)
    assert watcher.load() and not watcher.load()
    table = watcher.table
    assert table is not None and metrics.value("deputize_routes", state="live") == 1
    path.write_bytes(b"{}")
    assert not watcher.load() and watcher.table is table
    path.unlink()
    assert watcher.load() and watcher.table is None


async def test_a_new_file_is_noticed(tmp_path: Path) -> None:
    path, begun = tmp_path / "routes.json", asyncio.Event()
    watcher = RouteWatcher(path, Metrics(), poll_s=0.01)

    async def on_routes() -> None:
        begun.set()

    await watcher.start(on_routes)
    assert not begun.is_set()
    publish_route(path)
    os.utime(path, (1, 1))
    await asyncio.wait_for(begun.wait(), 5)
    assert watcher.table is not None
    await watcher.stop()
