"""Calls and episodes are known from the moment they begin, whichever process of the home has them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deputize.core.records import Call
from deputize.store.keys.keyring import KeyRing
from deputize.store.memory import MemoryStore
from deputize.store.recording.held_calls import MOST_BYTES, KnownCalls, may_hold
from deputize.store.recording.journal import Intent, recover
from deputize.store.recording.recorder import Recorder


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.open(tmp_path, environ={})


@pytest.fixture
def other(tmp_path: Path, ring: KeyRing) -> Iterator[Recorder]:
    """The recorder of another process, whose store takes nothing: its writer is not started."""
    recorder = Recorder(MemoryStore(), ring, tmp_path)
    yield recorder
    recorder.close_now()


def a_call(id: str, episode: str = "e", tenant: str = "t") -> Call:
    return Call(id=id, messages=[], response={}, episode=episode, tenant=tenant, timestamp=1.7e9)


def known(home: Path, ring: KeyRing, store: MemoryStore | None = None) -> KnownCalls:
    return KnownCalls(store or MemoryStore(), ring, [home / "journal", home / "spill"], lambda: ())


async def test_what_the_store_has_is_known(tmp_path: Path, ring: KeyRing) -> None:
    store = MemoryStore()
    store.append([a_call("c")])
    here = known(tmp_path, ring, store)
    assert await here.call("c", 0.0) and not await here.call("d", 0.0)
    assert await here.episode("t", "e", 0.0) and await here.episode("", "e", 0.0)
    assert not await here.episode("u", "e", 0.0) and not await here.episode("t", "f", 0.0)


async def test_what_waits_in_a_journal_of_another_process_is_known(
    tmp_path: Path, ring: KeyRing, other: Recorder
) -> None:
    await other.record(a_call("c"))
    other.begin(Intent("under way", tenant="t", episode="begun"))
    here = known(tmp_path, ring)
    assert await here.call("c", 0.0) and await here.call("under way", 0.0) and not await here.call("d", 0.0)
    assert await here.episode("t", "e", 0.0) and await here.episode("t", "begun", 0.0)
    assert not await here.episode("u", "e", 0.0) and not await here.episode("t", "f", 0.0)


async def test_what_this_process_has_in_memory_is_known(tmp_path: Path, ring: KeyRing) -> None:
    recorder = Recorder(MemoryStore(), ring, tmp_path, durability="relaxed", window_ms=60_000)
    await recorder.record(a_call("c"))
    assert not may_hold([tmp_path / "journal"], ring, lambda one: True), "it is in no journal yet"
    assert await recorder.knows_episode("t", "e") and await recorder.knows_call("c")
    assert not await recorder.knows_episode("t", "f", 0.0) and not await recorder.knows_call("d", 0.0)
    await recorder.close()


async def test_what_comes_into_the_store_in_time_is_known(tmp_path: Path, ring: KeyRing) -> None:
    """As the call of another machine does."""
    store = MemoryStore()
    asyncio.get_running_loop().call_later(0.05, store.append, [a_call("c")])
    assert await known(tmp_path, ring, store).episode("t", "e", 10.0)


async def test_a_call_that_leaves_the_journal_while_it_is_looked_for_is_known(
    tmp_path: Path, ring: KeyRing, other: Recorder
) -> None:
    """The journal was listed, and its file is gone when it is to be read."""
    store, folders = MemoryStore(), [tmp_path / "journal"]
    await other.record(a_call("c"))

    class Late(MemoryStore):
        n_asked = 0

        def has_episode(self, tenant: str, episode: str) -> bool:
            self.n_asked += 1
            if self.n_asked == 1:
                other.close_now()
                recover(folders, ring, store)
                return False  # asked before it came
            return store.has_episode(tenant, episode)

    assert await known(tmp_path, ring, Late()).episode("t", "e", 0.0)
    assert list(folders[0].iterdir()) == []


async def test_what_was_shredded_is_in_the_store(tmp_path: Path, ring: KeyRing, other: Recorder) -> None:
    await other.record(a_call("c"))
    (path,) = (tmp_path / "journal").iterdir()
    path.write_bytes(bytes(36) + path.read_bytes()[36:])
    assert not await known(tmp_path, ring).episode("t", "e", 0.0)


@pytest.mark.parametrize("damage", ["a changed byte", "no header", "too much of it"])
async def test_where_it_cannot_be_told_it_may_be_there(
    tmp_path: Path, ring: KeyRing, other: Recorder, damage: str
) -> None:
    await other.record(a_call("c"))
    (path,) = (tmp_path / "journal").iterdir()
    if damage == "too much of it":
        os.truncate(path, MOST_BYTES + 1)
    else:
        data = bytearray(path.read_bytes())
        data[0 if damage == "no header" else -1] ^= 1
        path.write_bytes(data)
    assert await known(tmp_path, ring).episode("t", "never", 0.0)
