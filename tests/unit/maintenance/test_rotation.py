from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from deputize.core.errors import StoreError
from deputize.core.records import Call
from deputize.home import Home
from deputize.maintenance.rotation import rotate
from deputize.store.keys.keyring import KeyRing
from deputize.store.sqlite import SqliteStore


def calls(*ids: str) -> list[Call]:
    return [Call(id=i, messages=[], response={}, origin=f"o_{i}", timestamp=1.7e9) for i in ids]


def payloads(path: Path) -> list[tuple[bytes, bytes]]:
    db = sqlite3.connect(path)
    rows = db.execute("SELECT id, payload FROM calls ORDER BY seq").fetchall()
    db.close()
    return rows


def test_rotation_wraps_again_and_rewrites_no_payload(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    home = Home(tmp_path, keyring=ring)
    store = home.store
    store.append(calls("a", "b", "c"))
    before = payloads(tmp_path / "store.db")
    old_kek, old_ring = ((tmp_path / "keys" / n).read_bytes() for n in ("kek.key", "ring.json"))
    name, sealed = ring.pseudonym("ann"), ring.seal(b"text", b"")
    done = rotate(home, actor="bob")
    assert (done.n_data_keys, done.warnings, done.generation) == (3, (), ring.wrapping_id)
    assert payloads(tmp_path / "store.db") == before
    assert [e.actor for e in home.audit.entries() if e.action == "keys.rotate"] == ["bob"]
    again = KeyRing.open(tmp_path, environ={})
    assert (again.pseudonym("ann"), again.unseal(sealed, b"")) == (name, b"text")
    assert {c.id for c in Home(tmp_path, keyring=again).open_store().calls()} == {"a", "b", "c"}
    assert store.append(calls("d")) == 1
    store.close()
    # somebody with an old copy of the keys folder gets nowhere with the store as it is now
    (tmp_path / "keys" / "kek.key").write_bytes(old_kek)
    (tmp_path / "keys" / "kek.key").chmod(0o600)
    (tmp_path / "keys" / "ring.json").write_bytes(old_ring)
    stale = SqliteStore(tmp_path / "store.db", KeyRing.open(tmp_path, environ={}))
    with pytest.raises(StoreError, match="wrapping key"):
        list(stale.calls())
    stale.close()


def test_the_old_key_file_is_destroyed(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    home = Home(tmp_path, keyring=ring)
    store = home.store
    old = (tmp_path / "keys" / "kek.key").read_bytes().strip()
    for _ in range(3):
        rotate(home)
    files = {p.name: p.read_bytes() for p in (tmp_path / "keys").iterdir()}
    assert sum(name.startswith("kek") for name in files) == 1
    assert all(old not in data for data in files.values())
    store.close()


def test_rotation_under_load_loses_nothing(tmp_path: Path) -> None:
    """Writers and a reader with rings of their own, as other processes have them, while keys are rotated four times."""
    ring = KeyRing.open(tmp_path, environ={})
    home = Home(tmp_path, keyring=ring)
    store = home.store
    stop = threading.Event()
    written: list[int] = [0, 0]
    failures: list[BaseException] = []

    def write(worker: int) -> None:
        mine = SqliteStore(tmp_path / "store.db", KeyRing.open(tmp_path, environ={}), key_cache=5)
        try:
            while not stop.is_set():
                n = written[worker]
                mine.append(
                    [
                        Call(id=f"{worker}-{n}-{j}", messages=[], response={}, origin=f"o_{(n + j) % 40}")
                        for j in range(5)
                    ]
                )
                written[worker] += 1
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failures.append(error)
        finally:
            mine.close()

    def read() -> None:
        mine = SqliteStore(tmp_path / "store.db", KeyRing.open(tmp_path, environ={}))
        try:
            while not stop.is_set():
                list(mine.calls())
        except BaseException as error:  # noqa: BLE001 - reported by the test
            failures.append(error)
        finally:
            mine.close()

    threads = [threading.Thread(target=write, args=(n,)) for n in range(2)] + [threading.Thread(target=read)]
    for thread in threads:
        thread.start()
    while min(written) == 0 and not failures:  # SQLite's lock is not fair: each has its turn before we begin
        time.sleep(0.01)
    for _ in range(4):
        rotate(home)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    fresh = SqliteStore(tmp_path / "store.db", KeyRing.open(tmp_path, environ={}))
    assert len(list(fresh.calls())) == 5 * sum(written)
    fresh.close()
    store.close()


def test_a_rotation_stopped_half_way_is_finished_by_the_next(tmp_path: Path) -> None:
    ring = KeyRing.open(tmp_path, environ={})
    home = Home(tmp_path, keyring=ring)
    store = home.store
    store.append(calls("a"))
    ring.begin_rotation()
    store.append(calls("b"))
    store.close()
    again = KeyRing.open(tmp_path, environ={})
    home = Home(tmp_path, keyring=again)
    store = home.store
    assert {c.id for c in store.calls()} == {"a", "b"}
    rotate(home)
    store.close()
    assert {
        c.id for c in Home(tmp_path, keyring=KeyRing.open(tmp_path, environ={})).open_store().calls()
    } == {"a", "b"}


def test_one_rotation_at_a_time(tmp_path: Path) -> None:
    import fcntl

    ring = KeyRing.open(tmp_path, environ={})
    home = Home(tmp_path, keyring=ring)
    store = home.store
    descriptor = os.open(tmp_path / "keys" / "rotation.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(StoreError, match="under way"):
        rotate(home)
    os.close(descriptor)
    rotate(home)
    store.close()


def test_a_writer_with_open_keys_hears_of_a_rotation(tmp_path: Path) -> None:
    """Data keys that another process keeps open and makes after a rotation are wrapped with the new wrapping key."""
    ring = KeyRing.open(tmp_path, environ={})
    home = Home(tmp_path, keyring=ring)
    store = home.store
    other = SqliteStore(tmp_path / "store.db", KeyRing.open(tmp_path, environ={}))
    other.append(calls("a"))
    rotate(home)
    other.append(calls("a2", "b"))  # one with a key kept open, one with a new one
    with sqlite3.connect(tmp_path / "store.db") as db:
        assert {row[0] for row in db.execute("SELECT wrapped_by FROM data_keys")} == {ring.wrapping_id}
    assert {
        c.id for c in Home(tmp_path, keyring=KeyRing.open(tmp_path, environ={})).open_store().calls()
    } == {
        "a",
        "a2",
        "b",
    }
    other.close()
    store.close()


ROTATING = """
import sys
from pathlib import Path
from deputize.store.keys.keyring import KeyRing
from deputize.maintenance.rotation import rotate
from deputize.home import Home
home = Home(Path(sys.argv[1]))
store = home.store
print("ready", flush=True)
while True:
    rotate(home)
"""


def test_kill_9_in_the_middle_of_rotations_under_load(tmp_path: Path) -> None:
    """Rotations are killed at random moments while calls are written; nothing is lost and the next one finishes."""
    ring = KeyRing.open(tmp_path)
    home = Home(tmp_path, keyring=ring)
    store = home.store
    store.append(calls(*(f"first{i}" for i in range(150))))
    before = dict(payloads(tmp_path / "store.db"))
    n_written = 0
    for round_ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", ROTATING, str(tmp_path)], stdout=subprocess.PIPE
        ) as rotating:
            assert rotating.stdout is not None and rotating.stdout.readline() == b"ready\n"
            until = time.monotonic() + 0.15 + 0.11 * round_
            while time.monotonic() < until:
                store.append(calls(f"w{n_written}"))
                n_written += 1
                assert len(list(store.calls(tenant="default"))) == 150 + n_written
            rotating.kill()
    again = KeyRing.open(tmp_path)
    home = Home(tmp_path, keyring=again)
    fresh = home.store
    assert len(list(fresh.calls())) == 150 + n_written
    rotate(home)
    assert len(json.loads((tmp_path / "keys" / "ring.json").read_text())["wrapping"]) == 1
    assert len(list(Home(tmp_path, keyring=KeyRing.open(tmp_path)).open_store().calls())) == 150 + n_written
    after = dict(payloads(tmp_path / "store.db"))
    assert all(after[id] == payload for id, payload in before.items()), "no payload was rewritten"
    fresh.close()
    store.close()
