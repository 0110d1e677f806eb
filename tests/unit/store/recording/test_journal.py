from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize.core.errors import StoreError, Tampered
from deputize.core.records import Call
from deputize.home import Home
from deputize.store.base import Entry
from deputize.store.codec import entry_of
from deputize.store.keys.keyring import KeyRing
from deputize.store.memory import MemoryStore
from deputize.store.recording.journal import ENTRIES, INTENTS, Intent, Journal, left_over, recover


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.open(tmp_path, environ={})


def entries(*ids: str, size: int = 20) -> list[Entry]:
    return [entry_of(Call(id=i, messages=[{"content": "x" * size}], response={})) for i in ids]


def put(journal: Journal, found: Sequence[Entry]) -> None:
    journal.append(ENTRIES, msgspec.msgpack.encode(found))


def begin(journal: Journal, *ids: str) -> None:
    journal.append(INTENTS, msgspec.msgpack.encode([Intent(i, agent="desk", timestamp=5.0) for i in ids]))


def files(folder: Path) -> list[str]:
    return sorted(p.suffix for p in folder.iterdir())


def die(journal: Journal) -> None:
    """What the operating system does when a process ends: descriptors are closed, nothing else happens."""
    for segment in journal._segments:
        segment.close()


def test_what_was_appended_is_read_once_in_order(tmp_path: Path, ring: KeyRing) -> None:
    journal = Journal(tmp_path / "j", ring)
    assert journal.read() == []
    put(journal, entries("a", "b"))
    put(journal, entries("c"))
    assert [e.id for e in journal.read()] == ["a", "b", "c"]
    assert [e.id for e in journal.read()] == ["a", "b", "c"], "until it is taken"
    assert journal.backlog_bytes > 0
    journal.taken()
    assert (journal.read(), journal.backlog_bytes) == ([], 0)
    journal.close()
    assert files(tmp_path / "j") == []


def test_a_journal_cannot_be_read_without_the_key(tmp_path: Path, ring: KeyRing) -> None:
    journal = Journal(tmp_path / "j", ring)
    put(journal, entries("a-secret-id"))
    (path,) = (tmp_path / "j").iterdir()
    assert b"secret" not in path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0
    die(journal)
    recover([tmp_path / "j"], KeyRing.open(tmp_path / "other", environ={}), MemoryStore())
    assert files(tmp_path / "j") == [".damaged"], "another ring's journal is kept, not destroyed"


def test_read_segments_are_shredded(tmp_path: Path, ring: KeyRing) -> None:
    journal = Journal(tmp_path / "j", ring, segment_bytes=2000)
    for n in range(20):
        put(journal, entries(f"c{n}", size=500))
    paths = sorted((tmp_path / "j").iterdir())
    assert len(paths) > 3
    held = paths[0].open("rb")
    seen: list[str] = []
    while found := journal.read():
        seen += [e.id for e in found]
        journal.taken()
    assert seen == [f"c{n}" for n in range(20)]
    assert len(list((tmp_path / "j").iterdir())) == 1
    assert held.read(36) == bytes(36), "the bytes its key was derived from are overwritten"
    held.close()
    journal.close()


def test_a_segment_takes_calls_for_so_long_only(tmp_path: Path, ring: KeyRing) -> None:
    """Where calls never cease, what the store has leaves the journal all the same."""
    journal = Journal(tmp_path / "j", ring, segment_s=0.0)
    for n in range(3):
        put(journal, entries(f"c{n}"))
        time.sleep(0.001)
    assert len(list((tmp_path / "j").iterdir())) == 3
    seen: list[str] = []
    while found := journal.read():
        seen += [e.id for e in found]
        journal.taken()
    assert seen == ["c0", "c1", "c2"] and len(list((tmp_path / "j").iterdir())) == 1
    journal.close()
    patient = Journal(tmp_path / "k", ring)
    put(patient, entries("a"))
    put(patient, entries("b"))
    assert len(list((tmp_path / "k").iterdir())) == 1
    patient.close()


def test_a_dead_owner_is_recovered_and_a_living_one_left_alone(tmp_path: Path, ring: KeyRing) -> None:
    dead, living = Journal(tmp_path / "j", ring, segment_bytes=500), Journal(tmp_path / "j", ring)
    for n in range(7):
        put(dead, entries(f"d{n}"))
    put(living, entries("l"))
    die(dead)
    store = MemoryStore()
    done = recover([tmp_path / "j", tmp_path / "nowhere"], ring, store)
    assert (done.n_calls, done.n_cut_short, done.n_damaged) == (7, 0, 0)
    assert {c.id for c in store.calls()} == {f"d{n}" for n in range(7)}
    assert files(tmp_path / "j") == [".journal"]
    assert [e.id for e in living.read()] == ["l"]
    assert recover([tmp_path / "j"], ring, store).n_calls == 0
    living.close()


def test_calls_that_never_ended_are_recorded_as_cut_short(tmp_path: Path, ring: KeyRing) -> None:
    journal = Journal(tmp_path / "j", ring)
    begin(journal, "a", "b")
    put(journal, entries("a"))
    begin(journal, "c")
    die(journal)
    store = MemoryStore()
    assert recover([tmp_path / "j"], ring, store).n_cut_short == 2
    calls = {c.id: c for c in store.calls()}
    assert not calls["a"].aborted
    for id in ("b", "c"):
        assert (calls[id].aborted, calls[id].finish_reason, calls[id].agent) == (True, "process_died", "desk")


def test_calls_under_way_move_on_to_the_next_segment(tmp_path: Path, ring: KeyRing) -> None:
    journal = Journal(tmp_path / "j", ring, segment_bytes=300)
    begin(journal, "long")
    for n in range(5):
        journal.append(ENTRIES, msgspec.msgpack.encode(entries(f"c{n}", size=300)), lambda: [Intent("long")])
    while journal.read():
        journal.taken()
    die(journal)
    store = MemoryStore()
    assert recover([tmp_path / "j"], ring, store).n_cut_short == 1
    assert {c.id for c in store.calls() if c.aborted} == {"long"}


def test_what_a_crash_left_while_making_or_shredding_a_segment_is_cleared_away(
    tmp_path: Path, ring: KeyRing
) -> None:
    folder = tmp_path / "j"
    folder.mkdir()
    (folder / "1-a-00000001.journal").write_bytes(bytes(36) + b"what the lost key sealed")
    for name, age_s in (("old", 3600), ("young", 1)):
        (folder / f"{name}.new").write_bytes(b"")
        os.utime(folder / f"{name}.new", (time.time() - age_s,) * 2)
    done = recover([folder], ring, MemoryStore())
    assert (done.n_calls, done.n_damaged) == (0, 0)
    assert [p.name for p in folder.iterdir()] == ["young.new"], "a living process may be about to name it"


@pytest.mark.parametrize("n_cut", [1, 5, 20, 60])
def test_a_frame_cut_short_by_a_crash_is_not_there(tmp_path: Path, ring: KeyRing, n_cut: int) -> None:
    journal = Journal(tmp_path / "j", ring)
    put(journal, entries("a"))
    put(journal, entries("b"))
    die(journal)
    (path,) = (tmp_path / "j").iterdir()
    path.write_bytes(path.read_bytes()[:-n_cut])
    store = MemoryStore()
    done = recover([tmp_path / "j"], ring, store)
    assert [c.id for c in store.calls()] == ["a"]
    assert (done.n_damaged, files(tmp_path / "j")) == (0, [])


def test_a_changed_frame_is_set_aside_with_its_elders_saved(tmp_path: Path, ring: KeyRing) -> None:
    journal = Journal(tmp_path / "j", ring)
    for id in "abc":
        put(journal, entries(id))
    die(journal)
    (path,) = (tmp_path / "j").iterdir()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    store = MemoryStore()
    assert recover([tmp_path / "j"], ring, store).n_damaged == 1
    assert [c.id for c in store.calls()] == ["a"]
    assert files(tmp_path / "j") == [".damaged"]
    assert not left_over([tmp_path / "j"])


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(rubbish=st.binary(max_size=200))
def test_rubbish_files_never_stop_a_start(tmp_path: Path, ring: KeyRing, rubbish: bytes) -> None:
    folder = tmp_path / "j"
    folder.mkdir(exist_ok=True)
    (folder / "x-1.journal").write_bytes(rubbish)
    recover([folder], ring, MemoryStore())
    for left in folder.iterdir():
        left.unlink()


def test_a_change_under_our_hands_is_noticed(tmp_path: Path, ring: KeyRing) -> None:
    journal = Journal(tmp_path / "j", ring, segment_bytes=100)
    put(journal, entries("a"))
    put(journal, entries("b"))
    path = sorted((tmp_path / "j").iterdir())[0]
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(Tampered):
        journal.read()
    kept = journal.set_aside()
    assert kept is not None and kept.exists()
    assert [e.id for e in journal.read()] == ["b"]
    journal.close()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path, ring: KeyRing) -> None:
    (tmp_path / "file").write_bytes(b"")
    journal = Journal(tmp_path / "file" / "j", ring)
    with pytest.raises(StoreError, match="cannot be written"):
        put(journal, entries("a"))
    assert (journal.read(), journal.backlog_bytes) == ([], 0)


def test_opening_the_store_reads_the_journal_in(tmp_path: Path, ring: KeyRing) -> None:
    journal = Journal(tmp_path / "journal", ring)
    put(journal, entries("a", "b"))
    die(journal)
    store = Home(tmp_path, keyring=ring).open_store()
    assert store.count() == 2
    assert files(tmp_path / "journal") == []
    store.close()


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    batches=st.lists(st.lists(st.integers(0, 3000), max_size=4), max_size=12),
    segment_bytes=st.integers(50, 5000),
    limit=st.integers(1, 4000),
)
def test_any_sizes_come_back_in_order(
    tmp_path: Path, ring: KeyRing, batches: list[list[int]], segment_bytes: int, limit: int
) -> None:
    journal = Journal(tmp_path / "j", ring, segment_bytes=segment_bytes)
    written = []
    for n, sizes in enumerate(batches):
        made = [entries(f"{n}-{m}", size=size)[0] for m, size in enumerate(sizes)]
        put(journal, made)
        written += made
    seen: list[Entry] = []
    while found := journal.read(limit):
        seen += found
        journal.taken()
    assert seen == written
    assert journal.backlog_bytes == 0
    journal.close()
    assert files(tmp_path / "j") == [] if (tmp_path / "j").exists() else True
