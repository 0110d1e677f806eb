from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize.core.artifacts import Discovered, Skip
from deputize.core.errors import BadInput, StoreError, Tampered
from deputize.core.import_summary import Imported
from deputize.files import write_new
from deputize.store.keys.keyring import KeyRing
from deputize.store.sealed import read_last, read_sealed, read_stream, sealed_stream, write_sealed

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


def _write_in_a_process(path: Path, n_bytes: int, limit: int | None = None) -> str:
    """Writes `path` in a process whose files may have so many bytes (None: any); the error, "" without one."""
    program = (
        "import resource, sys; from pathlib import Path\n"
        "from deputize.core.errors import StoreError; from deputize.files import write_atomic\n"
        "path, n_bytes, limit = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])\n"
        "if limit >= 0: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))\n"
        "try: write_atomic(path, b'y' * n_bytes)\n"
        "except StoreError as error: print(error)\n"
    )
    command = [sys.executable, "-c", program, str(path), str(n_bytes), str(-1 if limit is None else limit)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_a_write_that_fails_half_way_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"old")
    assert "unchanged" in _write_in_a_process(path, 100_000, limit=4_096)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]
    assert _write_in_a_process(path, 4_096, limit=4_096) == ""
    assert path.read_bytes() == b"y" * 4_096


def test_a_full_disk_leaves_the_old_file(small_disk: Path) -> None:
    path = small_disk / "x"
    path.write_bytes(b"old")
    said = _write_in_a_process(path, 100_000)
    assert "the disk is full" in said and "unchanged" in said
    assert path.read_bytes() == b"old" and list(small_disk.iterdir()) == [path]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a file system can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_of_two_writers_of_a_new_file_one_wins(tmp_path: Path) -> None:
    assert write_new(tmp_path / "x", b"one")
    assert not write_new(tmp_path / "x", b"two")
    assert (tmp_path / "x").read_bytes() == b"one"
    assert len(list(tmp_path.iterdir())) == 1


# ---------------------------------------------------------------- streams


def written(path: Path, ring: KeyRing, n: int = 4) -> Path:
    with sealed_stream(path, ring) as stream:
        for i in range(n):
            stream.add(Skip(file="secret-name", line=i, reason=""))
        stream.end(Imported(n_calls=n))
    return path


def frames(data: bytes) -> tuple[bytes, list[bytes]]:
    """What comes before the records of a stream, and each record with its length before it."""
    out, at = [], 20
    while at < len(data):
        end = at + 5 + int.from_bytes(data[at + 1 : at + 5], "big")
        out.append(data[at:end])
        at = end
    return data[:20], out


@pytest.mark.parametrize("n", [0, 1, 300])
def test_a_stream_comes_back_record_by_record(tmp_path: Path, ring: KeyRing, n: int) -> None:
    path = written(tmp_path / "run" / "x.sealed", ring, n)
    *items, head = read_stream(path, Skip, Imported, ring)
    assert head == Imported(n_calls=n)
    assert [i.line for i in items if isinstance(i, Skip)] == list(range(n)) and len(items) == n
    assert b"secret-name" not in path.read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["x.sealed"], "no temporary file stays"


@pytest.mark.parametrize("n", [0, 3])
def test_the_last_record_is_read_without_the_others(tmp_path: Path, ring: KeyRing, n: int) -> None:
    path = written(tmp_path / "run" / "x.sealed", ring, n)
    assert read_last(path, Imported, ring) == (Imported(n_calls=n), n)


def test_a_last_record_of_fewer_or_of_none_is_not_trusted(tmp_path: Path, ring: KeyRing) -> None:
    path = written(tmp_path / "run" / "x.sealed", ring)
    start, parts = frames(path.read_bytes())
    for blob in (
        start + b"".join(parts[1:]),
        start + b"".join(parts[:-1]),
        start + b"".join(parts)[:-3],
        start[:7],
        b"",
        b"X" + start[1:] + b"".join(parts),
    ):
        path.write_bytes(blob)
        with pytest.raises(Tampered, match="cannot be trusted"):
            read_last(path, Imported, ring)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_damage_to_a_stream_goes_unnoticed(tmp_path: Path, ring: KeyRing, data: st.DataObject) -> None:
    path = tmp_path / "run" / "x.sealed"
    start, parts = frames(written(path, ring).read_bytes())
    n = len(parts)
    what = data.draw(st.sampled_from(["flip", "cut", "swap", "drop", "repeat", "append", "drop the end"]))
    i, k = data.draw(st.integers(0, n - 1)), data.draw(st.integers(1, n - 1))
    if what == "swap":
        parts[i], parts[(i + k) % n] = parts[(i + k) % n], parts[i]
    elif what == "drop":
        del parts[i]
    elif what == "drop the end":
        parts = parts[:-k]
    elif what == "repeat":
        parts.insert(i, parts[i])
    blob = bytearray(start + b"".join(parts))
    if what == "flip":
        blob[data.draw(st.integers(0, len(blob) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    elif what == "cut":
        del blob[data.draw(st.integers(0, len(blob) - 1)) :]
    elif what == "append":
        blob += data.draw(st.binary(min_size=1, max_size=40))
    path.write_bytes(blob)
    with pytest.raises(Tampered, match="cannot be trusted"):
        list(read_stream(path, Skip, Imported, ring))


def test_a_record_of_another_stream_run_or_home_does_not_fit(tmp_path: Path, ring: KeyRing) -> None:
    one = written(tmp_path / "one" / "x.sealed", ring)
    before = one.read_bytes()
    written(one, ring)  # the same run and name, written again
    start, parts = frames(one.read_bytes())
    one.write_bytes(start + b"".join([frames(before)[1][0], *parts[1:]]))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "x.sealed").write_bytes(before)
    (tmp_path / "one" / "y.sealed").write_bytes(before)
    strange = KeyRing.open(tmp_path / "strange", environ={})
    (tmp_path / "one" / "z").write_bytes(b"DPF1 too short")
    for path in (one, tmp_path / "two" / "x.sealed", tmp_path / "one" / "y.sealed", tmp_path / "one" / "z"):
        with pytest.raises(Tampered):
            list(read_stream(path, Skip, Imported, ring))
    one.write_bytes(before)
    assert len(list(read_stream(one, Skip, Imported, ring))) == 5
    for head, record, keys in ((Imported, Imported, ring), (Skip, Skip, ring), (Skip, Imported, strange)):
        with pytest.raises(Tampered):
            list(read_stream(one, head, record, keys))


def test_a_stream_that_fails_leaves_what_was_there(tmp_path: Path, ring: KeyRing) -> None:
    path = written(tmp_path / "x.sealed", ring)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), sealed_stream(path, ring) as stream:
        stream.add(RECORD)
        raise KeyboardInterrupt
    with pytest.raises(ValueError, match="not ended"), sealed_stream(path, ring) as stream:
        stream.add(RECORD)
    assert path.read_bytes() == before and [p.name for p in tmp_path.glob("*x*")] == ["x.sealed"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("n", [0, 50_000])
def test_a_full_disk_in_the_middle_of_a_stream(tmp_path: Path, ring: KeyRing, n: int) -> None:
    path = written(tmp_path / "x.sealed", ring)
    before = path.read_bytes()
    (tmp_path / ".x.sealed.part").symlink_to("/dev/full")  # what is written next to the file ends up there
    with pytest.raises(StoreError, match=r"x\.sealed could not be written: the disk is full"):
        written(path, ring, n)
    assert path.read_bytes() == before and [p.name for p in tmp_path.glob("*x*")] == ["x.sealed"]


def test_a_killed_writer_leaves_nothing_that_is_taken_for_whole(tmp_path: Path, ring: KeyRing) -> None:
    path = tmp_path / "x.sealed"
    program = (
        "import sys; from pathlib import Path; from deputize.core.artifacts import Skip\n"
        "from deputize.store.keys.keyring import KeyRing; from deputize.store.sealed import sealed_stream\n"
        "home = Path(sys.argv[1])\n"
        "with sealed_stream(home / 'x.sealed', KeyRing.open(home, environ={})) as stream:\n"
        "    while True: stream.add(Skip(file='f', line=1, reason=''))\n"
    )
    child = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
    part = tmp_path / ".x.sealed.part"
    try:
        for _ in range(3000):
            if part.exists() and part.stat().st_size > 100_000:
                break
            time.sleep(0.01)
    finally:
        child.kill()
        child.wait()
    assert part.stat().st_size > 100_000 and not path.exists()
    *items, _ = read_stream(written(path, ring), Skip, Imported, ring)
    assert len(items) == 4 and not part.exists()
