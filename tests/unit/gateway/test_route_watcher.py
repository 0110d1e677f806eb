"""The newest route file stays loaded."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
from pathlib import Path

from tests.unit.gateway.stubs import live_route, publish_route

from deputize.core.records import RouteFile
from deputize.gateway.metrics import Metrics
from deputize.gateway.route_watcher import RouteWatcher
from deputize.home import Home
from deputize.routes_file import write_routes
from deputize.specialists.specialist_card import CARD, digest_of


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


def test_a_forged_or_older_file_leaves_the_newest_in_force(tmp_path: Path) -> None:
    home = Home(tmp_path, environ={})
    path, seal = home.routes_path, home.routes_seal
    metrics = Metrics()
    watcher = RouteWatcher(path, metrics, poll_s=60, seal=seal)
    publish_route(path)  # by nobody whom the audit log knows
    assert not watcher.load() and watcher.table is None
    write_routes(path, RouteFile(run_id="1", routes=[live_route()]), seal)
    opened = path.read_bytes()
    assert watcher.load() and watcher.table is not None
    write_routes(path, RouteFile(run_id="1", routes=[live_route(state="closed")]), seal)
    assert watcher.load() and metrics.value("deputize_routes", state="closed") == 1
    path.write_bytes(opened)
    assert not watcher.load(), "the closed route stays closed"
    assert metrics.value("deputize_routes", state="closed") == 1


def test_a_route_whose_closing_was_killed_once_it_was_logged_is_closed(tmp_path: Path) -> None:
    """What the audit log says, and everybody who reads the file, the running gateway does as well."""
    home = Home(tmp_path, environ={})
    write_routes(home.routes_path, RouteFile(run_id="1", routes=[live_route()]), home.routes_seal)
    metrics = Metrics()
    watcher = RouteWatcher(home.routes_path, metrics, poll_s=60, seal=home.routes_seal)
    assert watcher.load() and metrics.value("deputize_routes", state="live") == 1
    program = f"""
import os
from pathlib import Path
from tests.unit.gateway.stubs import live_route
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.routes_file import write_routes
home = Home(Path({str(tmp_path)!r}))
note = home.routes_seal.note
def noted(*arguments):
    note(*arguments)
    os.kill(os.getpid(), 9)
home.routes_seal.note = noted
write_routes(home.routes_path, RouteFile(run_id="1", routes=[live_route(state="closed")]), home.routes_seal)
"""
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=root).returncode == -9
    assert watcher.load() and not watcher.load()
    assert metrics.value("deputize_routes", state="closed") == 1


def test_a_route_with_another_card_than_it_was_published_with_is_left_out(tmp_path: Path) -> None:
    home = Home(tmp_path, environ={})
    card = tmp_path / "s" / CARD
    card.parent.mkdir()
    card.write_text("the card")
    pinned = live_route(card_sha256=digest_of(card))
    write_routes(home.routes_path, RouteFile(run_id="1", routes=[pinned]), home.routes_seal)
    watcher = RouteWatcher(home.routes_path, Metrics(), poll_s=60, seal=home.routes_seal)
    assert watcher.load() and watcher.table is not None
    card.write_text("another card")
    assert watcher.load() and watcher.table is None
    card.write_text("the card")
    assert watcher.load() and watcher.table is not None
    times = card.stat()
    with card.open("r+") as file:  # in place, of the same size, and with its time put back
        file.write("no card?")
    os.utime(card, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert watcher.load() and watcher.table is None
    card.unlink()
    assert watcher.table is None


def test_a_file_that_could_not_be_opened_for_a_moment_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "routes.json"
    publish_route(path)
    watcher = RouteWatcher(path, Metrics(), poll_s=60)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # no further file descriptor
    try:
        assert not watcher.load()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert watcher.load() and watcher.table is not None
