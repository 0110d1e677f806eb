from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from deputize.core.errors import BadInput, StoreError
from deputize.core.records import Call
from deputize.home import Home
from deputize.store.base import Entry
from deputize.store.keys.keyring import KeyRing
from deputize.store.memory import MemoryStore
from deputize.store.recording import journal
from deputize.store.recording.journal import Intent
from deputize.store.recording.recorder import Recorder
from deputize.store.sqlite import SqliteStore


def a_call(id: str, size: int = 10) -> Call:
    return Call(id=id, messages=[{"role": "user", "content": "x" * size}], response={}, timestamp=1.7e9)


class FailingStore(MemoryStore):
    """A store that takes nothing while `failing`."""

    failing = True

    def append_entries(self, entries: Sequence[Entry]) -> int:
        if self.failing:
            raise StoreError("The disk is full.")
        return super().append_entries(entries)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.open(tmp_path, environ={})


def journals(home: Path) -> list[Path]:
    return [p for name in ("journal", "spill") for p in (home / name).glob("*.journal")]


@pytest.mark.parametrize("durability", ["strict", "synced", "relaxed"])
async def test_every_call_ends_in_the_store(tmp_path: Path, ring: KeyRing, durability: str) -> None:
    store = SqliteStore(tmp_path / "store.db", ring)
    recorder = Recorder(store, ring, tmp_path, durability=durability).start()  # type: ignore[arg-type]
    await asyncio.gather(*(recorder.record(a_call(f"c{i}")) for i in range(700)))
    assert await recorder.drain()
    assert store.count() == 700
    stats = await recorder.close()
    assert (stats.queued, stats.written, stats.refused, stats.spilled, stats.backlog_calls) == (
        700,
        700,
        0,
        0,
        0,
    )
    assert recorder.counts()["written"] == 700
    assert journals(tmp_path) == [], "an orderly end leaves no journal"
    store.close()


async def test_what_the_store_has_leaves_the_journal_of_a_gateway_that_goes_on(
    tmp_path: Path, ring: KeyRing
) -> None:
    """An erased person must not be found in a journal that is kept open for the next call."""
    store = SqliteStore(tmp_path / "store.db", ring)
    recorder = Recorder(store, ring, tmp_path).start()
    await recorder.record(a_call("a"))
    held = journals(tmp_path)[0].open("rb")
    assert await recorder.drain()
    for _ in range(300):
        if not journals(tmp_path):
            break
        await asyncio.sleep(0.02)
    assert journals(tmp_path) == []
    assert held.read(36) == bytes(36), "the bytes its key was derived from are overwritten"
    held.close()
    await recorder.record(a_call("b"))
    assert await recorder.drain() and store.count() == 2
    await recorder.close()
    store.close()


async def test_strict_is_in_the_journal_when_record_returns(tmp_path: Path, ring: KeyRing) -> None:
    recorder = Recorder(FailingStore(), ring, tmp_path)  # its writer is not even started
    await recorder.record(a_call("a"))
    copy = tmp_path / "copy" / "journal"
    copy.mkdir(parents=True)
    for path in journals(tmp_path):
        (copy / path.name).write_bytes(path.read_bytes())  # as a crash at this moment would leave it
    (copy.parent / "keys").symlink_to(tmp_path / "keys")
    store = Home(copy.parent).open_store()
    assert [c.id for c in store.calls()] == ["a"]
    store.close()
    recorder.close_now()


async def test_relaxed_keeps_its_window(tmp_path: Path, ring: KeyRing) -> None:
    recorder = Recorder(MemoryStore(), ring, tmp_path, durability="relaxed", window_ms=30, window_calls=4)
    for i in range(3):
        await recorder.record(a_call(f"c{i}"))
    assert journals(tmp_path) == []
    await asyncio.sleep(0.1)
    assert recorder.stats().backlog_bytes > 0, "the window in milliseconds"
    before = recorder.stats().backlog_bytes
    for i in range(5):
        await recorder.record(a_call(f"d{i}"))
    assert recorder.stats().backlog_bytes > before, "the window in calls"
    recorder.start()
    assert (await recorder.close()).written == 8


async def test_a_store_that_fails_makes_calls_wait_in_the_journal(tmp_path: Path, ring: KeyRing) -> None:
    store = FailingStore()
    recorder = Recorder(store, ring, tmp_path).start()
    await recorder.record(a_call("a"))
    for _ in range(100):
        if recorder.stats().failing:
            break
        await asyncio.sleep(0.01)
    await recorder.record(a_call("b"))
    stats = recorder.stats()
    assert (stats.failing, stats.queued, stats.written, stats.spilled) == ("The disk is full.", 2, 0, 1)
    store.failing = False
    assert await recorder.drain()
    assert [c.id for c in store.calls()] == ["a", "b"]
    assert recorder.stats().failing == ""
    await recorder.close()


async def test_what_the_store_never_takes_is_there_at_the_next_start(tmp_path: Path, ring: KeyRing) -> None:
    recorder = Recorder(FailingStore(), ring, tmp_path).start()
    for id in "abc":
        await recorder.record(a_call(id))
    stats = await recorder.close()
    assert (stats.written, stats.backlog_calls) == (0, 3)
    store = Home(tmp_path, keyring=ring).open_store()
    assert store.count() == 3
    assert journals(tmp_path) == []
    store.close()


def test_what_a_dead_process_left_is_taken_in_once_the_store_is_back(tmp_path: Path, ring: KeyRing) -> None:
    store, now = FailingStore(), [0.0]
    dead = Recorder(store, ring, tmp_path)  # never started: what it took stays in its journal
    dead.record_now(a_call("left"))
    dead.close_now()
    running = Recorder(store, ring, tmp_path, clock=lambda: now[0]).start()
    store.failing, now[0] = False, 61.0
    until = time.monotonic() + 10
    while not store.count() and time.monotonic() < until:
        time.sleep(0.02)
    assert [c.id for c in store.calls()] == ["left"] and journals(tmp_path) == []
    running.close_now()


async def test_block_waits_for_room_and_then_refuses(tmp_path: Path, ring: KeyRing) -> None:
    store = FailingStore()
    recorder = Recorder(store, ring, tmp_path, max_backlog_bytes=2000, block_timeout_s=0.1).start()
    n_taken = 0
    with pytest.raises(StoreError, match="wait in the journal"):
        for i in range(100):
            await recorder.record(a_call(f"c{i}", size=500))
            n_taken += 1
    with pytest.raises(StoreError):
        recorder.record_now(a_call("now", size=500))
    with pytest.raises(StoreError, match="none are taken"):
        recorder.admit()
    stats = recorder.stats()
    assert (stats.queued, stats.refused, stats.backlog_calls) == (n_taken, 2, n_taken)
    waiting = asyncio.create_task(Recorder.record(recorder, a_call("patient", size=500)))
    recorder._block_timeout_s = 10
    store.failing = False
    await waiting
    recorder.admit()
    assert (await recorder.close()).written == n_taken + 1


async def test_spill_goes_to_the_other_folder_and_comes_back(tmp_path: Path, ring: KeyRing) -> None:
    store = FailingStore()
    recorder = Recorder(
        store,
        ring,
        tmp_path,
        on_full="spill",
        max_backlog_bytes=2000,
        max_spill_bytes=3000,
        block_timeout_s=0.05,
    ).start()
    n_taken = 0
    with pytest.raises(StoreError):
        for i in range(100):
            await recorder.record(a_call(f"c{i}", size=500))
            n_taken += 1
    spilled = list((tmp_path / "spill").iterdir())
    assert len(spilled) == 1 and b"xxxx" not in spilled[0].read_bytes()
    assert recorder.stats().spilled >= 3
    store.failing = False
    assert (await recorder.close()).written == n_taken
    assert journals(tmp_path) == []


async def test_a_spill_folder_elsewhere_is_read_in_at_the_next_start(tmp_path: Path, ring: KeyRing) -> None:
    elsewhere = tmp_path / "other-disk"
    for store in (FailingStore(), MemoryStore()):
        recorder = Recorder(
            store, ring, tmp_path, on_full="spill", max_backlog_bytes=-1, spill_folder=elsewhere
        ).start()
        await recorder.record(a_call("a" if isinstance(store, FailingStore) else "b"))
        await recorder.close()
    assert sorted(c.id for c in store.calls()) == ["a", "b"]
    assert list(elsewhere.iterdir()) == []


async def test_a_full_journal_disk_spills_and_a_full_spill_disk_refuses(
    tmp_path: Path, ring: KeyRing
) -> None:
    (tmp_path / "journal").write_bytes(b"a file where the folder should be")
    recorder = Recorder(MemoryStore(), ring, tmp_path, on_full="spill", block_timeout_s=0.05).start()
    await recorder.record(a_call("a"))
    assert recorder.stats().spilled == 1
    await recorder.close()
    (tmp_path / "other").write_bytes(b"")
    recorder = Recorder(
        MemoryStore(), ring, tmp_path, on_full="spill", spill_folder=tmp_path / "other", block_timeout_s=0.05
    )
    with pytest.raises(StoreError, match="cannot be written"):
        await recorder.record(a_call("b"))
    assert recorder.stats().refused == 1
    recorder.close_now()


async def test_no_call_is_begun_while_the_journal_cannot_be_written(
    tmp_path: Path, ring: KeyRing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The LLM would be paid for answers that are refused."""
    store = MemoryStore()
    recorder = Recorder(store, ring, tmp_path, block_timeout_s=0.05).start()
    recorder.admit()
    (tmp_path / "journal").write_bytes(b"a file where the folder should be")
    with pytest.raises(StoreError, match="cannot be written"):
        await recorder.record(a_call("a"))
    with pytest.raises(StoreError, match=r"cannot be recorded now \(.*cannot be written.*none are taken"):
        recorder.admit()
    assert "cannot be written" in recorder.stats().failing
    (tmp_path / "journal").unlink()
    with monkeypatch.context() as patched:
        patched.setattr(journal, "ROOM_BYTES", 1 << 62)
        with pytest.raises(StoreError, match="none are taken"):
            recorder.admit()
    recorder.admit()
    assert recorder.stats().failing == ""
    await recorder.record(a_call("b"))
    await recorder.close()
    assert store.count() == 1


async def test_a_locked_store_costs_nothing(tmp_path: Path, ring: KeyRing) -> None:
    store = SqliteStore(tmp_path / "store.db", ring, busy_timeout_s=0.05)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    recorder = Recorder(store, ring, tmp_path).start()
    for i in range(20):
        await recorder.record(a_call(f"c{i}"))
    assert not await recorder.drain(0.2)
    assert "locked" in recorder.stats().failing
    other.execute("ROLLBACK")
    other.close()
    assert await recorder.drain()
    assert store.count() == 20
    await recorder.close()
    store.close()


async def test_a_call_that_is_not_json_is_refused_aloud(tmp_path: Path, ring: KeyRing) -> None:
    recorder = Recorder(MemoryStore(), ring, tmp_path).start()
    bad = Call(id="bad", messages=[], response={}, params={"x": object()})
    with pytest.raises(BadInput):
        await recorder.record(bad)
    with pytest.raises(BadInput):
        recorder.record_now(bad)
    await recorder.record(a_call("good"))
    stats = await recorder.close()
    assert (stats.queued, stats.written, stats.refused) == (1, 1, 2)


async def test_calls_under_way_are_known(tmp_path: Path, ring: KeyRing) -> None:
    recorder = Recorder(MemoryStore(), ring, tmp_path).start()
    for id in ("a", "b", "c"):
        recorder.begin(Intent(id))
    recorder.abandon("b")
    await recorder.record(a_call("a"))
    assert recorder.stats().under_way == 1
    await recorder.close()


async def test_feedback_goes_through(tmp_path: Path, ring: KeyRing) -> None:
    store = MemoryStore()
    recorder = Recorder(store, ring, tmp_path).start()
    await recorder.record(a_call("a"))
    await recorder.add_feedback(call_id="a", metric="success", value=1.0)
    await recorder.close()
    outcome = next(store.calls()).outcome
    assert outcome is not None and outcome.success


async def test_a_changed_journal_is_set_aside_and_counted(tmp_path: Path, ring: KeyRing) -> None:
    store = MemoryStore()
    recorder = Recorder(store, ring, tmp_path, segment_bytes=100)
    await recorder.record(a_call("a"))
    await recorder.record(a_call("b"))
    path = sorted(journals(tmp_path))[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    recorder.start()
    stats = await recorder.close()
    assert (stats.damaged, [c.id for c in store.calls()]) == (1, ["b"])
    assert len(list((tmp_path / "journal").glob("*.damaged"))) == 1


CHILD = """
import asyncio, sys
from pathlib import Path
from deputize.core.records import Call
from deputize.store.recording import journal
from deputize.store.recording.journal import Intent
from deputize.store.recording.recorder import Recorder
from deputize.home import Home

async def main():
    home = Path(sys.argv[1])
    store = Home(home).open_store()
    recorder = Recorder(store, Home(home).keyring, home, durability=sys.argv[2], segment_bytes=20_000).start()
    n = 0
    async def client(c):
        nonlocal n
        while True:
            id = f"{c}-{n}"; n += 1
            recorder.begin(Intent(id))
            await asyncio.sleep(0.0005)
            await recorder.record(Call(id=id, messages=[{"content": "x" * 400}], response={}, origin=f"o{c}", timestamp=1e9))
            sys.stdout.write(id + "\\n"); sys.stdout.flush()   # the client has its answer
    await asyncio.gather(*(client(c) for c in range(8)))
asyncio.run(main())
"""


@pytest.mark.parametrize("durability", ["strict", "synced"])
@pytest.mark.parametrize("n_answers", [1, 40, 700])
def test_kill_9_loses_no_call_whose_answer_was_received(
    tmp_path: Path, durability: str, n_answers: int
) -> None:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DEPUTIZE_")}
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), durability],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    assert process.stdout is not None
    answered = {process.stdout.readline().strip() for _ in range(n_answers)}
    process.send_signal(signal.SIGKILL)
    answered |= {line for line in process.stdout.read().split("\n")[:-1] if line}
    process.stdout.close()
    process.wait()
    store = Home(tmp_path).open_store()
    calls = {c.id: c for c in store.calls()}
    assert answered <= {i for i, c in calls.items() if not c.aborted}
    cut_short = [c for c in calls.values() if c.aborted]
    assert len(cut_short) <= 8
    assert {c.finish_reason for c in cut_short} <= {"process_died"}
    assert journals(tmp_path) == []
    store.close()


FULL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from deputize.core.errors import StoreError
from deputize.core.records import Call
from deputize.store.recording.recorder import Recorder
from deputize.home import Home

async def main():
    home = Path(sys.argv[1])
    store = Home(home).open_store()
    recorder = Recorder(store, Home(home).keyring, home, block_timeout_s=0.1).start()
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))
    n = 0
    try:
        while True:
            await recorder.record(Call(id=str(n), messages=[], response={"content": "x" * 7000}, timestamp=1e9))
            n += 1
    except StoreError as error:
        stats = recorder.stats()
        assert (stats.queued, stats.refused) == (n, 1), stats
        sys.stdout.write(f"{n} {error}")
        sys.stdout.flush()
        signal.raise_signal(signal.SIGKILL)
asyncio.run(main())
"""


def test_a_disk_that_fills_up_refuses_aloud_and_keeps_what_it_took(tmp_path: Path) -> None:
    """RLIMIT_FSIZE: the operating system refuses the bytes of journal and store, a frame half-way through."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DEPUTIZE_")}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        env=environ,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    n_taken, sentence = done.stdout.split(" ", 1)
    assert "cannot be written" in sentence
    assert "xxx" not in done.stderr
    store = Home(tmp_path).open_store()
    assert store.count() == int(n_taken) > 5
    store.close()


def test_two_recorders_share_a_home(tmp_path: Path, ring: KeyRing) -> None:
    async def run() -> None:
        stores = [SqliteStore(tmp_path / "store.db", ring) for _ in range(2)]
        recorders = [Recorder(s, ring, tmp_path).start() for s in stores]
        for i in range(200):
            await recorders[i % 2].record(a_call(f"c{i}"))
        for recorder in recorders:
            await recorder.close()
        assert stores[0].count() == 200
        for store in stores:
            store.close()

    asyncio.run(run())


async def test_five_thousand_calls_a_second(tmp_path: Path, ring: KeyRing) -> None:
    """The promise is per process: one second of processor time, all threads together, however busy the machine is."""
    store = SqliteStore(tmp_path / "store.db", ring)
    recorder = Recorder(store, ring, tmp_path).start()
    calls = [a_call(f"c{i}", size=800) for i in range(5000)]
    began = time.process_time()
    for i, call in enumerate(calls):
        await recorder.record(call)
        if i % 50 == 0:
            await asyncio.sleep(0)
    assert await recorder.drain(30)
    assert time.process_time() - began < 1.0
    await recorder.close()
    store.close()
