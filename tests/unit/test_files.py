"""Whole files or none, one writer at a time, and what an operating system error is called."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deputize.core.errors import BadInput, StoreError
from deputize.files import (
    empty_log,
    locked,
    locked_at_once,
    new_file,
    open_log,
    read_toml,
    reason,
    replaced,
    write_atomic,
    write_new,
)


@contextmanager
def files_of_at_most(n_bytes: int) -> Iterator[None]:
    """No file of this process may grow beyond a size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_replaced_whole_and_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.json"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two" and path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["a.json"]


def test_a_full_disk_leaves_the_old_file_and_nothing_next_to_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")
    with files_of_at_most(1000):
        with pytest.raises(StoreError, match="unchanged"):
            write_atomic(path, bytes(5000))
        with pytest.raises(StoreError), replaced(path) as file:
            file.write(bytes(5000))
        with pytest.raises(StoreError):
            write_new(tmp_path / "b", bytes(5000))
    assert path.read_bytes() == b"old" and [p.name for p in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("way", ["write_atomic", "replaced"])
def test_bytes_and_name_reach_the_disk_in_this_order(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut after the rename must not find an empty file under the new name."""
    steps: list[str] = []
    fsync, replace = os.fsync, os.replace

    def noted_fsync(descriptor: int) -> None:
        steps.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def noted_replace(source: Path, target: Path) -> None:
        steps.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(os, "replace", noted_replace)
    if way == "write_atomic":
        write_atomic(tmp_path / "a", b"new")
    else:
        with replaced(tmp_path / "a") as file:
            file.write(b"new")
    assert steps == ["sync file", "replace", "sync folder"]


def test_a_file_that_cannot_take_its_place_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    with pytest.raises(StoreError):
        write_atomic(tmp_path / "a", b"a folder is there")
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_a_file_may_be_for_others_to_read(tmp_path: Path) -> None:
    write_atomic(tmp_path / "a", b"", mode=0o644)
    write_new(tmp_path / "b", b"", mode=0o640)
    assert [(tmp_path / n).stat().st_mode & 0o777 for n in "ab"] == [0o644, 0o640]


def test_of_two_writers_of_a_new_file_the_first_wins(tmp_path: Path) -> None:
    assert write_new(tmp_path / "key", b"first") is True
    assert write_new(tmp_path / "key", b"second") is False
    assert (tmp_path / "key").read_bytes() == b"first"
    assert [p.name for p in tmp_path.iterdir()] == ["key"]


def test_a_block_that_fails_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with replaced(path) as file:
        file.write(b"whole")
        assert not path.exists()
    with pytest.raises(KeyError), replaced(path) as file:
        file.write(b"half")
        raise KeyError
    assert path.read_bytes() == b"whole" and [p.name for p in tmp_path.iterdir()] == ["a"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "routes.json"
    program = (
        "import sys; from pathlib import Path; from deputize.files import locked_at_once\n"
        "with locked_at_once(Path(sys.argv[1])): pass"
    )

    def elsewhere() -> str:
        done = subprocess.run(
            [sys.executable, "-c", program, str(path)],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ,
        )
        return done.stderr

    with locked(path):
        assert "BlockingIOError" in elsewhere()
    assert elsewhere() == ""
    with locked_at_once(path), pytest.raises(BlockingIOError), locked_at_once(path):
        pass


def test_a_folder_that_is_a_file_is_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="cannot be locked"), locked(tmp_path / "file" / "a"):
        pass
    with pytest.raises(StoreError, match="could not be written"):
        write_atomic(tmp_path / "file" / "a", b"")


def test_a_full_disk_is_called_so() -> None:
    assert reason(OSError(errno.ENOSPC, "No space left on device")) == "the disk is full"
    assert reason(OSError(errno.EACCES, "Permission denied")) == "Permission denied"


def test_settings_are_read_and_their_absence_is_none(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    assert read_toml(path) == {}
    path.write_text("[convert]\nseed = 3\n")
    assert read_toml(path) == {"convert": {"seed": 3}}
    for wrong in (b"[convert", b"\xff\xfe"):
        path.write_bytes(wrong)
        with pytest.raises(BadInput, match=r"config\.toml cannot be used"):
            read_toml(path)
    with pytest.raises(BadInput):
        read_toml(tmp_path)


def test_a_new_file_is_never_another_and_goes_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with pytest.raises(RuntimeError), new_file(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert not path.exists()
    with new_file(path) as file:
        file.write(b"whole")
    assert path.read_bytes() == b"whole" and path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(BadInput, match="cannot be made"), new_file(path):
        pass
    assert path.read_bytes() == b"whole"


def test_a_link_in_place_of_a_log_leads_nothing_to_another_file(tmp_path: Path) -> None:
    theirs, log = tmp_path / "theirs", tmp_path / "x.log"
    theirs.write_text("precious")
    log.symlink_to(theirs)
    with pytest.raises(OSError):
        open_log(log)
    empty_log(log)
    assert theirs.read_text() == "precious" and not log.is_symlink()
    empty_log(log)  # nothing is there
    for text in (b"a", b"b"):
        with open_log(log) as file:
            file.write(text)
    assert log.read_bytes() == b"ab" and log.stat().st_mode & 0o077 == 0
    empty_log(log)
    assert log.read_bytes() == b""
