"""A gateway follows the pointer, and stops trusting what it knows when it cannot be read."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from tests.unit.gateway.stubs import live_route

from deputize.core.config import ObjectsSettings
from deputize.core.records import RouteFile
from deputize.files import locked
from deputize.gateway import pointer_follower
from deputize.gateway.metrics import Metrics
from deputize.gateway.pointer_follower import PointerFollower
from deputize.home import Home
from deputize.routes_file import write_routes
from deputize.store.published.version_pointer import pointer_name


async def nothing() -> None:
    return None


async def test_a_home_that_shares_nothing_knows_everything() -> None:
    follower = PointerFollower(None, ObjectsSettings(), nothing, Metrics())
    await follower.start()
    assert follower.knows_routes() and follower.knows_keys() and follower.age_s == 0
    await follower.stop()


async def test_what_cannot_be_read_for_too_long_is_not_known(tmp_path: Path) -> None:
    now, news, metrics = [100.0], asyncio.Event(), Metrics()

    async def on_news() -> None:
        news.set()

    home = Home(tmp_path / "home", environ={})
    home.path.mkdir()
    home.config_path.write_text(f'[objects]\nurl = "file://{tmp_path}/shared"\n')
    settings = ObjectsSettings(url="file://x", poll_s=0.01, max_age_s=10, keys_max_age_s=60)
    follower = PointerFollower(home.published, settings, on_news, metrics, clock_s=lambda: now[0])
    await follower.start()
    assert not follower.knows_routes() and not follower.knows_keys(), "nothing is published"
    publisher = Home(home.path, environ={})
    await asyncio.to_thread(
        write_routes, home.routes_path, RouteFile(run_id="1", routes=[live_route()]), publisher.routes_seal
    )
    async with asyncio.timeout(10):
        while not follower.knows_routes():
            await asyncio.sleep(0.01)
    (tmp_path / "shared").rename(tmp_path / "away")
    await asyncio.sleep(0.1)
    now[0] += 10
    assert follower.knows_routes()
    now[0] += 1
    assert not follower.knows_routes() and follower.knows_keys()
    now[0] += 50
    assert not follower.knows_keys()
    await asyncio.sleep(0.1)
    assert metrics.value("deputize_pointer_age") > 60
    assert metrics.value("deputize_pointer_version") == 1
    (tmp_path / "away").rename(tmp_path / "shared")
    async with asyncio.timeout(10):
        while not follower.knows_keys():
            await asyncio.sleep(0.01)
    await follower.stop()


async def test_a_gateway_goes_on_looking_whatever_goes_wrong(tmp_path: Path) -> None:
    taken_up = asyncio.Event()

    async def on_news() -> None:
        if not taken_up.is_set():
            taken_up.set()
            raise OSError(24, "Too many open files")

    home = Home(tmp_path / "home", environ={})
    home.path.mkdir()
    home.config_path.write_text(f'[objects]\nurl = "file://{tmp_path}/shared"\n')
    write_routes(home.routes_path, RouteFile(run_id="1", routes=[live_route()]), home.routes_seal)
    home.path.rename(tmp_path / "first")
    joins = Home(tmp_path / "joins", environ={})
    shutil.copytree(tmp_path / "first" / "keys", joins.keys_path)
    shutil.copy(tmp_path / "first" / "config.toml", joins.config_path)
    settings, metrics = ObjectsSettings(url="file://x", poll_s=0.01, max_age_s=0.5), Metrics()
    follower = PointerFollower(joins.published, settings, on_news, metrics)
    await follower.start()
    assert taken_up.is_set()
    log = joins.path / "audit.log"
    log.rename(tmp_path / "kept")
    log.mkdir()  # it cannot be read
    async with asyncio.timeout(10):
        while follower.knows_routes():
            await asyncio.sleep(0.01)
        log.rmdir()
        (tmp_path / "kept").rename(log)
        while not follower.knows_routes():
            await asyncio.sleep(0.01)
    await follower.stop()


async def test_age_counts_from_the_beginning_of_a_look(tmp_path: Path) -> None:
    home, now = Home(tmp_path / "home", environ={}), [100.0]
    home.path.mkdir()
    home.config_path.write_text(f'[objects]\nurl = "file://{tmp_path}/shared"\n')
    write_routes(home.routes_path, RouteFile(run_id="1", routes=[live_route()]), home.routes_seal)
    joins = Home(tmp_path / "joins", environ={})
    shutil.copytree(home.keys_path, joins.keys_path)
    shutil.copy(home.config_path, joins.config_path)
    settings = ObjectsSettings(url="file://x", poll_s=1, max_age_s=10)
    follower = PointerFollower(joins.published, settings, nothing, Metrics(), clock_s=lambda: now[0])
    with locked(joins.path / "published"):  # its news must wait
        starting = asyncio.create_task(follower.start())
        await asyncio.sleep(0.2)
        now[0] += 7
    await starting
    assert follower.age_s == 7, "a route may have been closed since the look began"
    await follower.stop()


async def test_an_object_store_that_hangs_keeps_no_gateway_from_starting_and_its_age_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a network file system does whose server is gone: what is read there says nothing, not even that it fails."""
    monkeypatch.setattr(pointer_follower, "_FIRST_LOOK_S", 0.2)
    home = Home(tmp_path / "home", environ={})
    home.path.mkdir()
    home.config_path.write_text(f'[objects]\nurl = "file://{tmp_path}/shared"\n')
    write_routes(home.routes_path, RouteFile(run_id="1", routes=[live_route()]), home.routes_seal)
    hung = tmp_path / "shared" / pointer_name(2)
    os.mkfifo(hung)
    settings, metrics = ObjectsSettings(url="file://x", poll_s=0.01, max_age_s=0.3), Metrics()
    follower = PointerFollower(home.published, settings, nothing, metrics)
    try:
        async with asyncio.timeout(5):
            await follower.start()
        assert not follower.knows_routes()
        async with asyncio.timeout(5):
            while "does not answer" not in caplog.text:
                await asyncio.sleep(0.01)
        assert metrics.value("deputize_pointer_age") > 0.3
        await follower.stop()
    finally:
        with hung.open("wb"):
            hung.unlink()
