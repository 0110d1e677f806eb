from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.artifacts import Discovered, Imported
from deputize.core.errors import BadInput, StoreError, Tampered
from deputize.store.files import write_atomic, write_new
from deputize.store.keys import KeyRing
from deputize.store.sealed import read_sealed, write_sealed

RECORD = Imported(n_calls=3, n_skipped=1)


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    return KeyRing.open(tmp_path, environ={})


def test_an_artifact_comes_back_and_cannot_be_read_without_the_key(tmp_path: Path, ring: KeyRing) -> None:
    path = tmp_path / "run" / "x.sealed"
    write_sealed(path, RECORD, ring)
    assert read_sealed(path, Imported, ring) == RECORD
    assert b"n_calls" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["x.sealed"], "no temporary file stays"


def test_an_artifact_is_bound_to_its_kind_and_name(tmp_path: Path, ring: KeyRing) -> None:
    path = tmp_path / "x.sealed"
    write_sealed(path, RECORD, ring)
    with pytest.raises(Tampered, match=r"x\.sealed"):
        read_sealed(path, Discovered, ring)
    path.rename(tmp_path / "y.sealed")
    with pytest.raises(Tampered):
        read_sealed(tmp_path / "y.sealed", Imported, ring)


def test_missing_and_damaged_artifacts_are_said(tmp_path: Path, ring: KeyRing) -> None:
    with pytest.raises(BadInput, match="is not there"):
        read_sealed(tmp_path / "no.sealed", Imported, ring)
    write_sealed(tmp_path / "x.sealed", RECORD, ring)
    data = bytearray((tmp_path / "x.sealed").read_bytes())
    data[-1] ^= 1
    (tmp_path / "x.sealed").write_bytes(data)
    with pytest.raises(Tampered, match="cannot be trusted"):
        read_sealed(tmp_path / "x.sealed", Imported, ring)


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, ring: KeyRing) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    folder = tmp_path / "file-not-folder"
    folder.write_bytes(b"x")
    with pytest.raises(StoreError, match="unchanged"):
        write_atomic(folder / "x", b"data")


def test_of_two_writers_of_a_new_file_one_wins(tmp_path: Path) -> None:
    assert write_new(tmp_path / "x", b"one")
    assert not write_new(tmp_path / "x", b"two")
    assert (tmp_path / "x").read_bytes() == b"one"
    assert len(list(tmp_path.iterdir())) == 1
