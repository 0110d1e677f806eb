"""Whole files: written atomically, locked between processes, read as TOML. The one copy of each."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from deputize.core.errors import BadInput, StoreError


def make_folder(path: Path) -> None:
    """Makes a folder and those above it that are missing, each for its owner alone, whatever the umask.

    Raises:
        OSError: it cannot be made.
    """
    missing = [path]
    while not missing[-1].exists() and missing[-1].parent != missing[-1]:
        missing.append(missing[-1].parent)
    for folder in reversed(missing):
        folder.mkdir(mode=0o700, exist_ok=True)


def make_file(path: Path) -> None:
    """Makes an empty file for its owner alone, whatever the umask; one that is there already is not opened, for closing
    it would give up the locks that this process has on it.

    Raises:
        OSError: it cannot be made.
    """
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


def open_log(path: Path) -> BinaryIO:
    """A log to append to, for its owner alone. A link in its place is not followed: it would lead what is written, and
    what an erasure empties, to another file.

    Raises:
        OSError: it cannot be opened, or is a link.
    """
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600), "ab")


def empty_log(path: Path) -> None:
    """Empties a log that `open_log` opens; a link in its place is removed.

    Raises:
        OSError: it cannot be emptied.
    """
    if path.is_symlink():
        path.unlink()
        return
    with suppress(FileNotFoundError):
        os.close(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW))


@contextmanager
def private_files() -> Iterator[None]:
    """A block in which files are made for their owner alone, also by libraries; it holds for the whole process."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Writes `data` to `path` so that a reader, a crash or a full disk never meets a part of it.

    Raises:
        StoreError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    temporary = ""
    try:
        temporary = _written_next_to(path, data, mode)
        Path(temporary).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
        raise StoreError(
            f"{path} could not be written: {reason(error)}. What was there before is unchanged."
        ) from error


def coming(path: Path) -> Path:
    """Where a version of `path` that the audit log has to know lies, whole, from before it is noted until it is in its
    place: whatever ends the writer in between, what was noted can be read."""
    return path.with_name(f"{path.name}.coming")


def put_in_place(path: Path) -> None:
    """Gives what lies at `coming(path)` its place.

    Raises:
        StoreError: it cannot be moved; `path` is as it was.
    """
    try:
        coming(path).replace(path)
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {reason(error)}.") from error


def read_noted(path: Path, is_newest: Callable[[bytes], bool]) -> bytes | None:
    """The version of `path` that was noted last, though it may not be in its place yet (or, its writer killed, never);
    else what is in its place, for the caller to refuse; None where there is nothing.

    Raises:
        OSError: a file cannot be read.
    """
    in_place = _bytes(path)
    if in_place is not None and is_newest(in_place):
        return in_place
    noted = _bytes(coming(path))
    if noted is not None and is_newest(noted):
        return noted
    return _bytes(path)  # it may have been put there meanwhile


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def write_new(path: Path, data: bytes, *, mode: int = 0o600) -> bool:
    """Writes `data` to `path` unless there is a file already; of two writers at once exactly one wins.

    Returns:
        Whether this call wrote it.

    Raises:
        StoreError: the disk is full or the folder cannot be written.
    """
    temporary = ""
    try:
        temporary = _written_next_to(path, data, mode)
        try:
            os.link(temporary, path)  # unlike a rename, a link fails where the name is taken
        except FileExistsError:
            return False
        sync_folder(path.parent)
    except OSError as error:
        raise StoreError(f"{path} could not be written: {reason(error)}.") from error
    finally:
        if temporary:
            Path(temporary).unlink(missing_ok=True)
    return True


def _written_next_to(path: Path, data: bytes, mode: int) -> str:
    """A synced temporary file with `data` in the folder of `path`; removed again where writing fails."""
    make_folder(path.parent)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(mode)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    return temporary


@contextmanager
def new_file(path: Path) -> Iterator[BinaryIO]:
    """A file that was not there, for this user alone, safe on the disk at the end; gone again where writing it fails.

    Raises:
        BadInput: it is there already, or cannot be made.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise BadInput(f"{path} cannot be made: {error.strerror}.") from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def replaced(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` when the block ends, and is gone where the block fails.

    For what is too large to be held whole. What a killed process left of earlier tries is removed first, so only one
    process at a time may write a `path`.

    Raises:
        StoreError: the disk is full or the folder cannot be written; `path` is as it was.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        make_folder(path.parent)
        with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StoreError(
            f"{path} could not be written: {reason(error)}. What was there before is unchanged."
        ) from error
    except BaseException:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def sync_folder(folder: Path) -> None:
    """Makes names in a folder survive a power cut, as fsync does for a file's bytes."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class FileStamp(NamedTuple):
    """Tells whether a file has changed since. The last field is the kernel's: whoever writes a file in place, or puts
    an older one back, can set its time of change, and not that one."""

    mtime_ns: int
    size: int
    inode: int
    ctime_ns: int


def stamp_of(path: Path) -> FileStamp | None:
    """The stamp of a file; None where there is none."""
    if not os.access(path, os.F_OK):
        return None  # asked at each request, of files that are rarely there: it costs no exception
    try:
        found = path.stat()
    except OSError:
        return None
    return FileStamp(found.st_mtime_ns, found.st_size, found.st_ino, found.st_ctime_ns)


def reason(error: OSError) -> str:
    """An operating system error in words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full"
    return error.strerror or str(error)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds `path`.lock, so that of several processes one at a time reads, changes and writes `path`; waits for it.

    Raises:
        StoreError: the lock file cannot be made.
    """
    with _lock_file(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield


@contextmanager
def locked_at_once(path: Path) -> Iterator[None]:
    """As `locked`, without waiting.

    Raises:
        BlockingIOError: another process holds it.
        StoreError: the lock file cannot be made.
    """
    with _lock_file(path) as descriptor:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


@contextmanager
def _lock_file(path: Path) -> Iterator[int]:
    """An open descriptor; closing it, or the end of the process, gives the lock back."""
    try:
        make_folder(path.parent)
        descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise StoreError(f"{path} cannot be locked: {reason(error)}.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict, {} where there is none.

    Raises:
        BadInput: the file cannot be read or is not TOML.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadInput(f"{path} cannot be used as configuration: {error}") from error
    return parse_toml(path, data)


def parse_toml(path: Path, data: bytes) -> dict[str, Any]:
    """The dict in the bytes of a TOML file; {} for none. Raises BadInput where they are not TOML."""
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path} cannot be used as configuration: {error}") from error
