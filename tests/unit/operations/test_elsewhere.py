"""What a home relies on elsewhere, as status shows it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from msgspec import structs
from tests.scripted_hosts import ScriptedHost, says, scripted_host
from tests.unit.gateway.stubs import live_route
from tests.unit.store.published.test_published_home import homes

from deputize.cli.main import run
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.operations import elsewhere
from deputize.operations.elsewhere import look_elsewhere
from deputize.routes_file import write_routes
from deputize.specialists.serving.base import ServedVersion
from deputize.specialists.serving.host_messages import PURPOSE
from deputize.store.published.buckets import FolderBucket

ROUTE = structs.replace(live_route(), card_sha256="a-card")


@contextmanager
def host_in_a_thread(home: Home, folder: Path) -> Iterator[tuple[ScriptedHost, dict[str, ServedVersion]]]:
    """A host with the keys of a home; the command asks it from an event loop of its own."""
    versions = {ROUTE.specialist: ServedVersion(ROUTE.card_sha256)}
    loop, is_up, ends = asyncio.new_event_loop(), threading.Event(), asyncio.Event()
    found: list[ScriptedHost] = []

    async def host() -> None:
        secret = home.keyring.derive(PURPOSE)
        async with scripted_host(folder, secret, versions, says("x", ROUTE.card_sha256)) as running:
            found.append(running)
            is_up.set()
            await ends.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(host()))
    thread.start()
    try:
        assert is_up.wait(30)
        yield found[0], versions
    finally:
        loop.call_soon_threadsafe(ends.set)
        thread.join(30)
        loop.close()


def test_hosts_are_named_as_they_are_and_so_are_routes_that_none_answers_for(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home, host_in_a_thread(home, tmp_path / "host") as (host, versions):
        home.config_path.write_text(f'[serving]\nhosts = ["{host.address}", "http://127.0.0.1:9"]\n')

        def states(*routes: object) -> tuple[list[str], list[str]]:
            found = look_elsewhere(Home(tmp_path / "home"), routes)  # type: ignore[arg-type]
            return [one.state for one in found.hosts], found.unserved

        assert states(ROUTE) == (["answers", "away"], [])
        closed = structs.replace(ROUTE, id="r2", card_sha256="other", state="closed")
        assert states(structs.replace(ROUTE, card_sha256="other"), closed) == (
            ["answers", "away"],
            [ROUTE.id],
        )
        host.worker.there = False
        assert states(ROUTE) == (["not ready", "away"], [ROUTE.id])
        versions.clear()
        assert states(ROUTE) == (["answers", "away"], [ROUTE.id])


def test_status_says_which_host_is_away_and_who_answers_instead(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Home(tmp_path) as home:
        write_routes(home.routes_path, RouteFile(run_id="1", routes=[ROUTE]), home.routes_seal)
        home.config_path.write_text('[serving]\nhosts = ["http://127.0.0.1:9"]\n')
    assert run(["--home", str(tmp_path), "status"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "Host of specialists http://127.0.0.1:9 does not answer" in told
    assert f"No host answers for {ROUTE.id} now: the LLM does." in told


def test_status_says_that_what_is_published_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (home,) = homes(tmp_path, 1)
    write_routes(home.routes_path, RouteFile(run_id="1", routes=[live_route()]), home.routes_seal)
    assert run(["--home", str(home.path), "--json", "status"]) == 0
    assert json.loads(capsys.readouterr().out)["elsewhere"]["published"] == ""
    (tmp_path / "shared").rename(tmp_path / "away")
    assert run(["--home", str(home.path), "status"]) == 0
    assert "What is published cannot be used" in capsys.readouterr().out
    (tmp_path / "away").rename(tmp_path / "shared")
    never = threading.Event()
    monkeypatch.setattr(FolderBucket, "read", lambda self, name: None if never.wait(30) else b"")
    monkeypatch.setattr(elsewhere, "WAIT_S", 0.2)
    assert run(["--home", str(home.path), "status"]) == 0
    assert "says nothing for 0.2 s" in capsys.readouterr().out
    never.set()


def test_a_home_that_has_not_joined_yet_is_told_how_and_not_to_convert(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = homes(tmp_path)
    write_routes(one.routes_path, RouteFile(run_id="1", routes=[live_route()]), one.routes_seal)
    assert run(["--home", str(other.path), "route", "list"]) != 0
    told = " ".join(capsys.readouterr().err.split())
    assert "come with the first `deputize serve`" in told and "convert" not in told
    assert other.published is not None and other.published.look()
    assert run(["--home", str(other.path), "route", "list"]) == 0
