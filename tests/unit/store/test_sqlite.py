from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.core.errors import StoreError, Tampered
from deputize.core.records import Call
from deputize.home import Home
from deputize.store.filing import episode_digest
from deputize.store.keys.data_keys import DataKey
from deputize.store.keys.keyring import KeyRing
from deputize.store.sql import load_queries
from deputize.store.sqlite import SqliteStore


def a_call(id: str, **fields: object) -> Call:
    base: dict[str, object] = {
        "messages": [{"role": "user", "content": "hi"}],
        "response": {"content": "yes"},
    }
    return Call(id=id, **{**base, **fields})  # type: ignore[arg-type]


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.open(tmp_path, environ={})


@pytest.fixture
def store(tmp_path: Path, ring: KeyRing) -> Iterator[SqliteStore]:
    made = SqliteStore(tmp_path / "store.db", ring, busy_timeout_s=0.2)
    yield made
    made.close()


def raw(store: SqliteStore) -> sqlite3.Connection:
    return sqlite3.connect(store.path, isolation_level=None)


SECRETS = [f"CANARY-{i:03d}-{i * 7919 % 1000:03d}" for i in range(60)]


def test_no_text_of_a_caller_lies_on_the_disk_in_clear(tmp_path: Path, store: SqliteStore) -> None:
    places = iter(SECRETS)
    for i in range(5):
        store.append(
            [
                Call(
                    id=next(places),
                    messages=[{"role": "user", "content": next(places)}],
                    response={"content": next(places)},
                    agent=next(places),
                    site=next(places),
                    episode=next(places),
                    group=next(places),
                    model=next(places),
                    origin=next(places),
                    params={"user": next(places)},
                    timestamp=1.7e9 + i,
                )
            ]
        )
    store.add_feedback(episode=next(places), metric=next(places), value=1.0)
    store.add_feedback(call_id=next(places), metric=next(places), value=1.0)
    on_disk = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert [s for s in SECRETS if s.encode() in on_disk] == []
    store.close()
    on_disk = b"".join(p.read_bytes() for p in tmp_path.rglob("*") if p.is_file())
    assert [s for s in SECRETS if s.encode() in on_disk] == []


def test_the_file_is_for_its_owner_only(store: SqliteStore) -> None:
    store.append([a_call("a")])
    modes = {p.name: p.stat().st_mode & 0o077 for p in store.path.parent.glob("store.db*")}
    assert len(modes) == 3
    assert set(modes.values()) == {0}


def test_a_key_per_tenant_subject_and_month(store: SqliteStore) -> None:
    january, february = 1_768_000_000.0, 1_770_000_000.0
    store.append(
        [
            a_call("a", origin="o_1", timestamp=january),
            a_call("b", origin="o_1", timestamp=january + 60),
            a_call("c", origin="o_1", timestamp=february),
            a_call("d", origin="o_2", timestamp=january),
            a_call("e", origin="o_1", timestamp=january, tenant="t2"),
            a_call("f", timestamp=None),
        ]
    )
    with raw(store) as db:
        keys = db.execute("SELECT tenant, month FROM data_keys ORDER BY id").fetchall()
        assert keys == [
            ("default", "2026-01"),
            ("default", "2026-02"),
            ("default", "2026-01"),
            ("t2", "2026-01"),
            ("default", "undated"),
        ]
        assert db.execute("SELECT count(DISTINCT key) FROM calls").fetchone() == (5,)


TAMPERING = {
    "a changed byte": "UPDATE calls SET payload = CAST(substr(payload, 1, 20) || x'00' || substr(payload, 22) AS BLOB)",
    "bytes as text": "UPDATE calls SET payload = CAST(payload AS TEXT)",
    "a text": "UPDATE calls SET payload = 'a text' WHERE seq = 1",
    "a cut payload": "UPDATE calls SET payload = substr(payload, 1, 10) WHERE seq = 1",
    "a payload of another call": "UPDATE calls SET payload = (SELECT payload FROM calls WHERE seq = 2) WHERE seq = 1",
    "another id": "UPDATE calls SET id = zeroblob(16) WHERE seq = 1",
    "another schema": "UPDATE calls SET schema = 2 WHERE seq = 1",
    "another time": "UPDATE calls SET time = 5 WHERE seq = 1",
    "another key": "UPDATE calls SET key = 2 WHERE seq = 1",
    "another tenant": "UPDATE data_keys SET tenant = 'x' WHERE id = 1",
    "another subject": "UPDATE data_keys SET subject = zeroblob(16) WHERE id = 1",
    "another month": "UPDATE data_keys SET month = '1999-01' WHERE id = 1",
    "a key of another subject": "UPDATE data_keys SET wrapped = (SELECT wrapped FROM data_keys WHERE id = 2) WHERE id = 1",
}


@pytest.mark.parametrize("change", TAMPERING.values(), ids=TAMPERING)
def test_tampering_is_noticed(store: SqliteStore, change: str) -> None:
    store.append([a_call("a", origin="o_1", timestamp=1.0), a_call("b", origin="o_2", timestamp=2.0)])
    with raw(store) as db:
        db.execute(change)
    with pytest.raises(Tampered):
        list(store.calls())


@pytest.mark.parametrize("changed", ["tenant", "key id", "record", "schema", "kind", "key"])
def test_a_payload_is_bound_to_each_of_its_names(changed: str) -> None:
    """Of (tenant, kind, record id, schema, key id) each alone: one that is left out of the AAD would go unnoticed."""
    right: dict[str, Any] = {
        "tenant": "a",
        "key id": 7,
        "record": b"r" * 16,
        "schema": 1,
        "kind": b"call",
        "key": bytes(32),
    }
    wrong: dict[str, Any] = {
        "tenant": "b",
        "key id": 8,
        "record": b"s" * 16,
        "schema": 2,
        "kind": b"feedback",
        "key": b"k" * 32,
    }

    def key(of: dict[str, Any]) -> DataKey:
        return DataKey(of["key id"], of["tenant"], of["key"])

    sealed = key(right).encrypt(right["kind"], right["record"], right["schema"], b"text")
    assert key(right).decrypt(right["kind"], right["record"], right["schema"], sealed) == b"text"
    other = {**right, changed: wrong[changed]}
    with pytest.raises(Tampered):
        key(other).decrypt(other["kind"], other["record"], other["schema"], sealed)


def test_what_was_said_of_the_erased_goes_too(store: SqliteStore) -> None:
    store.append([a_call("a", origin="o_ann", episode="ea"), a_call("b", origin="o_bob", episode="eb")])
    told: tuple[dict[str, Any], ...] = ({"episode": "ea"}, {"call_id": "a"}, {"episode": "eb"})
    for about in told:
        store.add_feedback(metric="success", value=1.0, **about)
    with raw(store) as db:
        said = [row[0] for row in db.execute("SELECT payload FROM feedback ORDER BY seq")]
    store.erase("o_ann")
    with raw(store) as db:
        assert [row[0] for row in db.execute("SELECT payload FROM feedback")] == said[2:]


def test_an_erased_key_is_gone_from_every_byte_of_the_store(tmp_path: Path, store: SqliteStore) -> None:
    store.append([a_call(f"a{i}", origin="o_ann", timestamp=1.7e9 + i) for i in range(50)])
    store.append([a_call("b", origin="o_bob", timestamp=1.7e9)])
    with raw(store) as db:
        wrapped, payload = db.execute(
            "SELECT k.wrapped, c.payload FROM data_keys k JOIN calls c ON c.key = k.id WHERE c.seq = 7"
        ).fetchone()
    db.close()

    def bytes_on_disk() -> bytes:
        return b"".join(p.read_bytes() for p in tmp_path.glob("store.db*"))

    assert wrapped in bytes_on_disk()
    store.erase("o_ann")
    assert wrapped not in bytes_on_disk()
    assert payload not in bytes_on_disk()
    assert [c.id for c in store.calls()] == ["b"]


def test_another_process_notices_an_erasure(tmp_path: Path, ring: KeyRing, store: SqliteStore) -> None:
    other = SqliteStore(store.path, KeyRing.open(tmp_path, environ={}))
    other.append([a_call("a", origin="o_ann", timestamp=time.time() - 9)])
    store.erase("o_ann")
    later = a_call("b", origin="o_ann", timestamp=time.time() + 9)
    assert other.append([later]) == 1, "its cached key is not used again"
    assert list(store.calls()) == [later]
    assert other.append([a_call("c", origin="o_ann", timestamp=time.time() - 5)]) == 0
    other.close()


def test_retention_drops_keys_that_are_left_without_calls(store: SqliteStore) -> None:
    store.append([a_call("a", origin="o_1", timestamp=1.7e9), a_call("b", origin="o_1", timestamp=1.75e9)])
    assert store.expire(tenant="default", before=1.74e9) == 1
    with raw(store) as db:
        assert db.execute("SELECT count(*) FROM data_keys").fetchone() == (1,)
    store.append([a_call("c", origin="o_1", timestamp=1.7e9)])
    assert {c.id for c in store.calls()} == {"b", "c"}


def test_other_keys_are_refused(tmp_path: Path, store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="restore the keys folder"):
        SqliteStore(store.path, KeyRing.open(tmp_path / "other", environ={}))


@pytest.mark.parametrize(
    "content", [b"this is not a database, not at all" * 200, b"SQLite format 3\0" + bytes(5000)]
)
def test_a_damaged_file_is_said(tmp_path: Path, ring: KeyRing, content: bytes) -> None:
    (tmp_path / "store.db").write_bytes(content)
    with pytest.raises(StoreError, match="damaged"):
        Home(tmp_path, keyring=ring).open_store()


def test_damage_inside_is_said(tmp_path: Path, ring: KeyRing) -> None:
    store = SqliteStore(tmp_path / "store.db", ring)
    store.append([a_call(f"c{i}", params={"x": "y" * 500}) for i in range(200)])
    store.close()
    data = bytearray(store.path.read_bytes())
    data[4096:] = b"\xaa" * (len(data) - 4096)
    store.path.write_bytes(data)
    with pytest.raises(Tampered, match=r"damaged|does not match"):
        list(SqliteStore(store.path, ring).calls())


def test_a_database_of_somebody_else_is_left_alone(tmp_path: Path, ring: KeyRing) -> None:
    with sqlite3.connect(tmp_path / "store.db") as db:
        db.execute("CREATE TABLE t (x)")
    db.close()
    with pytest.raises(StoreError, match="not a store of this version"):
        Home(tmp_path, keyring=ring).open_store()


def test_a_store_of_an_earlier_version_is_left_alone(store: SqliteStore) -> None:
    with raw(store) as db:
        db.execute("PRAGMA user_version = 1")
    db.close()
    with pytest.raises(StoreError, match="begin a new home"):
        SqliteStore(store.path, store.keyring)


def test_the_digest_of_an_erased_episode_is_nowhere(store: SqliteStore) -> None:
    """Neither in a row nor in a page of its index, nor in the write-ahead log."""
    store.append([a_call(f"c{i}", origin=f"o_{i % 2}", episode=f"e{i % 2}") for i in range(200)])
    erased, kept = (episode_digest(store.keyring, "default", f"e{i}") for i in range(2))

    def on_disk() -> bytes:
        return b"".join(path.read_bytes() for path in store.path.parent.glob("store.db*"))

    assert erased in on_disk()
    store.erase("o_0")
    assert erased not in on_disk() and kept in on_disk()
    assert not store.has_episode("default", "e0") and store.has_episode("default", "e1")


def test_an_episode_is_looked_up_in_its_index(store: SqliteStore) -> None:
    with raw(store) as db:
        plan = db.execute(f"EXPLAIN QUERY PLAN {load_queries('sqlite')['has_episode']}", (b"x",)).fetchall()
    db.close()
    assert "calls_by_episode" in plan[0][3]


def test_a_locked_store_is_said_and_nothing_is_half_done(store: SqliteStore) -> None:
    other = raw(store)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match=r"locked for more than 0\.2 s"):
        store.append([a_call("a")])
    assert store.count() == 0, "reading goes on"
    other.execute("ROLLBACK")
    assert store.append([a_call("a")]) == 1
    other.close()


def test_a_full_store_is_said_and_keeps_what_it_has(tmp_path: Path, ring: KeyRing) -> None:
    store = SqliteStore(tmp_path / "store.db", ring, max_bytes=200_000)
    n_kept = 0
    with pytest.raises(StoreError, match="disk is full"):
        for i in range(1000):
            n_kept += store.append(
                [a_call(f"{i}-{j}", origin=f"o_{i}", params={"x": "y" * 1000}) for j in range(10)]
            )
    assert 0 < n_kept < 200
    assert store.count() == n_kept == len(list(store.calls()))
    store.close()
    again = SqliteStore(tmp_path / "store.db", ring)
    assert again.append([a_call("new", origin=f"o_{n_kept // 10}")]) == 1, (
        "a key of the failed batch is not used"
    )
    assert len(list(again.calls())) == n_kept + 1
    again.close()


def test_a_file_that_may_not_grow_is_said(tmp_path: Path) -> None:
    """RLIMIT_FSIZE in a process of its own: the operating system itself refuses the bytes."""
    code = """
import resource, signal, sys
from pathlib import Path
from deputize.core.errors import StoreError
from deputize.core.records import Call
from deputize.home import Home
store = Home(Path(sys.argv[1])).open_store()
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
n = 0
try:
    while True:
        n += store.append([Call(id=str(n), messages=[], response={"content": "x" * 5000})])
except StoreError as error:
    assert "disk" in str(error), error
    sys.stdout.write(str(n))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
        env=_environ(),
    )
    store = Home(tmp_path).open_store()
    assert store.count() == int(done.stdout) > 3
    store.close()


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path, ring: KeyRing) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be made"):
        SqliteStore(tmp_path / "file" / "store.db", ring)


def test_a_closed_store_says_so(store: SqliteStore) -> None:
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.append([a_call("a")])


def test_kill_9_costs_nothing_that_append_returned_for(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from deputize.core.records import Call
from deputize.home import Home
store = Home(Path(sys.argv[1])).open_store()
i = 0
while True:
    store.append([Call(id=f"{i}-{j}", messages=[{"content": "x" * 300}], response={}, origin=f"o{j}") for j in range(7)])
    sys.stdout.write(f"{i}\\n"); sys.stdout.flush()
    i += 1
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=_environ()
    )
    assert process.stdout is not None
    for _ in range(25):
        process.stdout.readline()
    process.kill()
    acknowledged = 25 + len([line for line in process.stdout.read().splitlines() if line])
    process.stdout.close()
    process.wait()
    store = Home(tmp_path).open_store()
    n_calls = len(list(store.calls()))
    assert n_calls % 7 == 0, "a batch is there whole or not at all"
    assert acknowledged * 7 <= n_calls <= (acknowledged + 1) * 7
    store.close()


def _environ() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("DEPUTIZE_")}


def test_data_keys_are_kept_open_within_bounds(tmp_path: Path, ring: KeyRing) -> None:
    store = SqliteStore(tmp_path / "store.db", ring, key_cache=10)
    for start in range(0, 60, 20):
        store.append([a_call(f"c{i}", origin=f"o_{i % 30}", timestamp=1.0) for i in range(start, start + 20)])
    assert len(store._keys) <= 10
    assert len(list(store.calls())) == 60
    store.close()


def test_feedback_is_bound_to_its_row(store: SqliteStore) -> None:
    store.append([a_call("a", episode="good"), a_call("b", episode="bad")])
    store.add_feedback(episode="good", metric="success", value=1.0)
    store.add_feedback(episode="bad", metric="success", value=0.0)
    assert len(list(store.calls())) == 2
    with raw(store) as db:
        db.execute(
            "UPDATE feedback SET payload = (SELECT payload FROM feedback AS other WHERE other.seq = 3 - feedback.seq)"
        )
    with pytest.raises(Tampered):
        list(store.calls())
