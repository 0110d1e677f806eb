"""The reader of the stored calls: all of them, those that come, and again after an erasure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.unit.dashboard.conftest import NOW_S, Desk, served

from deputize.dashboard import call_reader
from deputize.dashboard.call_reader import CallReader
from deputize.home import Home


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Looks at once instead of every few seconds."""
    for name in ("PAUSE_S", "CHECK_S"):
        monkeypatch.setattr(call_reader, name, 0.02)
    yield


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_calls_that_come_are_counted_and_erased_ones_are_forgotten(desk: Desk) -> None:
    reader = CallReader(desk.home)
    assert not reader.is_ready
    reader.start()
    try:
        until(lambda: reader.counts is not None)
        assert reader.is_ready and len(reader.index) == reader.n_read == 9
        assert reader.counts is not None
        assert {s.site.name for s in reader.counts.sites} >= {"desk/triage", "desk/write"}
        desk.home.store.append([served("new", NOW_S)])
        until(lambda: reader.index.fact("new") is not None)
        desk.home.store.erase_calls(["s0"], tenant="default")
        until(lambda: reader.index.fact("s0") is None)
        assert reader.index.fact("new") is not None
    finally:
        reader.stop()
    looks = [e for e in desk.home.audit.entries() if e.detail.get("command") == "dashboard"]
    assert [e.action for e in looks] == ["read.raw", "read.raw"]  # one for each reader, whatever it reads


def test_a_home_without_calls_says_so_and_is_looked_at_again(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        reader = CallReader(home)
        reader.start()
        try:
            until(lambda: bool(reader.error))
            assert not reader.is_ready
            with Home(home.path) as other:
                other.store.append([served("first", time.time())])
            until(lambda: reader.is_ready)
            assert not reader.error and reader.index.fact("first") is not None
        finally:
            reader.stop()


def test_nothing_is_read_while_a_page_is_made(desk: Desk) -> None:
    reader = CallReader(desk.home)
    try:
        with reader.standing_still():
            reader.start()
            time.sleep(0.3)
            assert not reader.is_ready and len(reader.index) <= 1
        until(lambda: reader.is_ready)
        with reader.standing_still():
            desk.home.store.append([served("meanwhile", NOW_S)])
            time.sleep(0.1)
            assert reader.index.fact("meanwhile") is None
        until(lambda: reader.index.fact("meanwhile") is not None)
    finally:
        reader.stop()
