from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deputize.home import Home

# Every test runs in a process of its own: a journal_writer is forked before there are threads, and pytest may have
# some.
PRELUDE = """
import asyncio, os, signal, sqlite3, sys, time
from pathlib import Path
from deputize.core.records import Call
from deputize.store.recording.journal import Intent
from deputize.store.keys.keyring import KeyRing
from deputize.store.recording.journal_writer import JournalWriter
from deputize.store.recording.recorder import Recorder
from deputize.home import Home
from deputize.store.sqlite import SqliteStore

home = Path(sys.argv[1])
journal_writer = JournalWriter.start(
    lambda: (Home(home).open_store_for_writing(busy_timeout_s=0.1), KeyRing.open(home))
)
store = Home(home).open_store()
recorder = Recorder(store, KeyRing.open(home), home, journal_writer=journal_writer, segment_bytes=20_000)

def a_call(id):
    return Call(id=id, messages=[{"role": "user", "content": "x" * 400}], response={}, origin="o", timestamp=1e9)

def ended(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False
"""


def run(home: Path, script: str) -> subprocess.CompletedProcess[str]:
    environ = {k: v for k, v in os.environ.items() if not k.startswith("DEPUTIZE_")}
    return subprocess.run(
        [sys.executable, "-c", PRELUDE + script, str(home)],
        capture_output=True,
        text=True,
        env=environ,
        timeout=60,
        check=False,
    )


def good(home: Path, script: str) -> str:
    done = run(home, script)
    assert done.returncode == 0, done.stderr
    return done.stdout


def count(home: Path) -> int:
    store = Home(home).open_store()
    try:
        return store.count()
    finally:
        store.close()


def test_the_other_process_writes_and_ends_in_order(tmp_path: Path) -> None:
    good(
        tmp_path,
        """
async def main():
    recorder.start()
    store.append_entries = None  # this process must not write itself
    for n in range(300):
        await recorder.record(a_call(f"c{n}"))
    assert await recorder.drain(), recorder.stats()
    assert store.count() == 300
    stats = await recorder.close()
    assert (stats.written, stats.failing, stats.backlog_calls) == (300, "", 0), stats
    assert ended(journal_writer.pid)
asyncio.run(main())
""",
    )
    assert list((tmp_path / "journal").iterdir()) == [], "an orderly end leaves no journal"


def test_when_it_dies_this_process_goes_on_by_itself(tmp_path: Path) -> None:
    said = run(
        tmp_path,
        """
async def main():
    recorder.start()
    for n in range(100):
        await recorder.record(a_call(f"c{n}"))
        if n == 50:
            os.kill(journal_writer.pid, signal.SIGKILL)
    assert await recorder.drain(), recorder.stats()
    assert store.count() == 100
    assert (await recorder.close()).written == 100
asyncio.run(main())
""",
    )
    assert said.returncode == 0, said.stderr
    assert "has ended" in said.stderr


def test_it_writes_to_nothing_that_it_shares_with_the_one_that_forked_it(tmp_path: Path) -> None:
    """A collection would write to every object: tens of MB would be there twice."""
    good(
        tmp_path,
        """
import gc
from deputize.core.errors import StoreError

n_shared = len(gc.get_objects())
def target():
    (home / "frozen").write_text(str(gc.get_freeze_count()))
    raise StoreError("not now")
other = JournalWriter.start(target)
recorder = Recorder(store, KeyRing.open(home), home, journal_writer=other)
async def main():
    recorder.start()
    await recorder.record(a_call("c"))
    while not recorder.stats().failing:
        await asyncio.sleep(0.05)
    assert int((home / "frozen").read_text()) > .9 * n_shared
    recorder.close_now(timeout_s=0.1)
asyncio.run(main())
""",
    )


def test_a_locked_store_makes_calls_wait(tmp_path: Path) -> None:
    good(
        tmp_path,
        """
async def main():
    other = sqlite3.connect(home / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    recorder.start()
    await recorder.record(a_call("a"))
    while not recorder.stats().failing:
        await asyncio.sleep(0.1)
    assert "locked" in recorder.stats().failing
    other.execute("ROLLBACK")
    other.close()
    assert await recorder.drain(20)
    assert (await recorder.close()).written == 1
asyncio.run(main())
""",
    )


def test_a_changed_segment_is_set_aside_and_a_damaged_store_is_not_blamed_on_it(tmp_path: Path) -> None:
    good(
        tmp_path,
        """
async def main():
    for n in range(80):
        await recorder.record(a_call(f"c{n}"))
    first = sorted((home / "journal").iterdir())[0]
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    recorder.start()
    stats = await recorder.close()
    assert stats.damaged == 1 and 0 < stats.written < 80, stats
    assert len(list((home / "journal").glob("*.damaged"))) == 1
asyncio.run(main())
""",
    )
    good(
        tmp_path / "other",
        """
from deputize.core.errors import StoreError, Tampered
from deputize.store.recording.journal_writer import move
class Damaged:
    def append_entries(self, entries):
        raise Tampered("The store is damaged.")
async def main():
    await recorder.record(a_call("a"))
    try:
        recorder._journal.hand_over(lambda s, o, n: move(Damaged(), s, o, n))
    except Tampered:
        raise SystemExit("the journal would be set aside")
    except StoreError as error:
        assert "damaged" in str(error)
    recorder.start()
    assert (await recorder.close()).written == 1
asyncio.run(main())
""",
    )


@pytest.mark.parametrize("n_answers", [1, 300])
def test_kill_9_of_the_recording_process_loses_nothing_and_leaves_nobody_behind(
    tmp_path: Path, n_answers: int
) -> None:
    said = run(
        tmp_path,
        f"""
async def main():
    recorder.start()
    for n in range({n_answers}):
        recorder.begin(Intent(f"c{{n}}"))
        await recorder.record(a_call(f"c{{n}}"))
        if n % 20 == 0:
            await asyncio.sleep(0.001)
    print(journal_writer.pid, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
""",
    )
    assert said.returncode == -9, said.stderr
    assert count(tmp_path) == n_answers
    # the pipes it reads from are at their end; `run` waited for its standard error to be closed, so it is gone too
    assert not Path(f"/proc/{said.stdout.strip()}/task").exists() or _is_zombie(int(said.stdout))


def _is_zombie(pid: int) -> bool:
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()
