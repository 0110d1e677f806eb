"""Files and states as sealed objects."""

from __future__ import annotations

import time
import tracemalloc
from pathlib import Path

import pytest
from msgspec import structs

from deputize.core.errors import StoreError, Tampered
from deputize.store.keys.keyring import KeyRing
from deputize.store.published import sealed_objects
from deputize.store.published.buckets import FolderBucket
from deputize.store.published.sealed_objects import age_s, get_file, get_state, new_name, put_file, put_state
from deputize.store.published.version_pointer import PublishedState


@pytest.mark.parametrize("size", [0, 1, 8, 9, 17])
def test_a_file_of_any_length_comes_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    monkeypatch.setattr(sealed_objects, "_PART", 8)
    ring, bucket = KeyRing.open(tmp_path, environ={}), FolderBucket(tmp_path / "bucket")
    (tmp_path / "f").write_bytes(b"x" * size)
    found = put_file(tmp_path / "f", bucket, ring)
    get_file(found, bucket, ring, tmp_path / "to" / "g")
    assert (tmp_path / "to" / "g").read_bytes() == b"x" * size
    assert [p.name for p in (tmp_path / "to").iterdir()] == ["g"]


def test_a_file_that_was_changed_cut_off_or_exchanged_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_objects, "_PART", 8)
    ring, bucket = KeyRing.open(tmp_path, environ={}), FolderBucket(tmp_path / "bucket")
    (tmp_path / "f").write_bytes(b"0123456789abcdefXYZ")
    found, other = (put_file(tmp_path / "f", bucket, ring) for _ in range(2))
    sealed = tmp_path / "bucket" / found.name
    data = sealed.read_bytes()
    part = len(data) * 11 // 27
    wrong = {
        "changed": data[:20] + bytes([data[20] ^ 1]) + data[21:],
        "cut off": data[:-3],
        "a part left out": data[part:],
        "empty": b"",
        "longer": data + b"x",
        "twice": data + data,
        "parts exchanged": data[part : 2 * part] + data[:part] + data[2 * part :],
        "another object": (tmp_path / "bucket" / other.name).read_bytes(),
    }
    for how, blob in wrong.items():
        sealed.write_bytes(blob)
        with pytest.raises(Tampered, match="was changed"):
            get_file(found, bucket, ring, tmp_path / "to" / "g")
        assert list((tmp_path / "to").iterdir()) == [], how
    sealed.write_bytes(data)
    with pytest.raises(Tampered):
        get_file(structs.replace(found, sha256="0" * 64), bucket, ring, tmp_path / "to" / "g")
    sealed.unlink()
    with pytest.raises(StoreError, match="does not hold"):
        get_file(found, bucket, ring, tmp_path / "to" / "g")


def test_a_large_file_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    ring, bucket = KeyRing.open(tmp_path, environ={}), FolderBucket(tmp_path / "bucket")
    n_bytes = 12 * sealed_objects._PART
    with (tmp_path / "f").open("wb") as file:
        file.truncate(n_bytes)
    tracemalloc.start()
    try:
        found = put_file(tmp_path / "f", bucket, ring)
        sent = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        get_file(found, bucket, ring, tmp_path / "g")
        got = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (tmp_path / "g").stat().st_size == n_bytes
    assert max(sent, got) < 6 * sealed_objects._PART, (sent, got)


def test_what_cannot_be_sent_leaves_no_object(tmp_path: Path) -> None:
    ring, bucket = KeyRing.open(tmp_path, environ={}), FolderBucket(tmp_path / "bucket")
    with pytest.raises(StoreError, match="cannot be published"):
        put_file(tmp_path, bucket, ring)
    assert bucket.names("objects") == []


def test_a_state_comes_back_and_a_changed_one_does_not(tmp_path: Path) -> None:
    ring, bucket = KeyRing.open(tmp_path, environ={}), FolderBucket(tmp_path / "bucket")
    found = put_state(PublishedState(routes=b"r"), bucket, ring)
    assert get_state(found, bucket, ring) == PublishedState(routes=b"r")
    other = put_state(PublishedState(routes=b"s"), bucket, ring)
    path = tmp_path / "bucket" / found.name
    path.write_bytes((tmp_path / "bucket" / other.name).read_bytes())
    with pytest.raises(Tampered):
        get_state(found, bucket, ring)
    path.unlink()
    assert get_state(found, bucket, ring) is None


def test_the_age_of_an_object_is_in_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    name, now = new_name(), time.time()
    monkeypatch.setattr(time, "time", lambda: now + 100)
    assert 99 <= age_s(name) <= 102 and age_s("objects/foreign") == 0
