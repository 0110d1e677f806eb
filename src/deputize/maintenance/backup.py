"""Backup of a home into one file, while a gateway may serve it, and the way back.

The file is a tar archive of a home's files as they lie there (sealed ones stay sealed), with their SHA-256 at its end.
Left out are the keys unless asked for, logs, traces of errors and locks. Databases are copied by SQLite itself. The
order makes the copy whole: journals before the store, so that no call is missed between the two, and the audit log
last, together with the files that it vouches for.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import sqlite3
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from deputize.core.errors import BadInput, Tampered, UsageError
from deputize.core.progress import Progress, silent
from deputize.core.records import Record
from deputize.core.version import VERSION
from deputize.files import locked, make_folder, new_file
from deputize.home import Home
from deputize.store.access.generations import EVIDENCE, ROUTES

MANIFEST = "deputize-backup.json"
_LEFT_OUT = frozenset({"traces", "gateway"})
"""Folders that are of no use elsewhere, or quote texts."""
_FIRST, _LOG = ("journal", "spill"), ("audit.log", "audit.head")
_VOUCHED_FOR = (EVIDENCE, ROUTES)
"""Files of which the audit log knows the newest version: one that changes between its copy and that of the log would be
refused."""
_LAST = (*_VOUCHED_FOR, *_LOG)
_BLOCK = 1 << 20


class BackupManifest(Record):
    """The end of a backup."""

    version: str
    """Of the package that wrote it."""
    created_s: float
    with_keys: bool
    sha256: dict[str, str]
    """File, relative to the home -> its digest."""


def back_up(home: Home, out: Path, *, with_keys: bool = False, progress: Progress = silent) -> BackupManifest:
    """Writes a backup; a conversion, which changes many files, may not run meanwhile.

    Args:
        home: the home.
        out: the file, which must not be there yet and may not lie in the home.
        with_keys: also the folder `keys`: whoever has the file can then read everything.
        progress: called after each file.

    Raises:
        BadInput: the file cannot be made.
        UsageError: it would lie in the home, a conversion is under way, or a link in the home leads to other files.
        StoreError: the home has no keys, so nothing is stored in it.
    """
    home.require_keys()
    if home.path.resolve() in out.resolve().parents:
        raise UsageError(f"{out} lies in the home that is backed up: choose another folder.")
    digests: dict[str, str] = {}
    # before the copy of the log, so that the backup knows of itself
    home.audit.append("backup", subject=out.name, detail={"keys": "yes" if with_keys else "no"})
    with home.exclusive("run"), new_file(out) as file, tarfile.open(fileobj=file, mode="w") as tar:
        files = list(_files(home.path, with_keys=with_keys))
        last = [path for path in files if path.parent == home.path and path.name in _LAST]
        for n_done, path in enumerate(files[: len(files) - len(last)], 1):
            _add(tar, path, path.relative_to(home.path).as_posix(), digests)
            progress("backing up", n_done, len(files))
        with _held(home.path):  # for these files only: whoever has something to enter waits
            for path in last:
                _add(tar, path, path.name, digests)
        manifest = BackupManifest(version=VERSION, created_s=time.time(), with_keys=with_keys, sha256=digests)
        data = msgspec.json.encode(manifest)
        entry = tarfile.TarInfo(MANIFEST)
        entry.size, entry.mode = len(data), 0o600
        tar.addfile(entry, io.BytesIO(data))
    return manifest


def _files(home: Path, *, with_keys: bool) -> Iterator[Path]:
    """The files to copy, in an order that makes the copy whole.

    Raises:
        UsageError: a link. Whoever may write in the home could have any file of its owner taken along, the keys too.
    """
    keys = set() if with_keys else {_inode(path) for path in (home / "keys").rglob("*")} - {None}
    tops = sorted(
        home.iterdir(), key=lambda p: (p.name not in _FIRST, p.name in _LAST, p.name in _LOG, p.name)
    )
    for top in tops:
        if top.name in _LEFT_OUT or (top.name == "keys" and not with_keys):
            continue
        for path in [top] if top.is_symlink() or top.is_file() else sorted(top.rglob("*")):
            if path.is_symlink():
                raise UsageError(
                    f"{path} is a link, and a backup holds what lies in the home. Put the files there, or remove it."
                )
            if path.is_file() and _inode(path) in keys:
                raise UsageError(
                    f"{path} is one of the keys under another name. Remove it, or back up with the keys."
                )
            is_scratch = (
                path.name.startswith(".") or path.suffix in (".lock", ".log") or "-wal" in path.suffix
            )
            if path.is_file() and (path.name in _LAST or not (is_scratch or path.name.endswith("-shm"))):
                yield path


def _inode(path: Path) -> tuple[int, int] | None:
    try:
        found = path.lstat()
    except FileNotFoundError:  # a lock, or an emptied journal
        return None
    return found.st_dev, found.st_ino


def _add(tar: tarfile.TarFile, path: Path, name: str, digests: dict[str, str]) -> None:
    """Adds one file. One that went away meanwhile, such as an emptied journal, is left out."""
    if path.suffix == ".db":
        with tempfile.TemporaryDirectory(prefix="deputize-") as folder:
            copy = Path(folder) / path.name
            with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
                source.backup(target)
            _add_as_it_is(tar, copy, name, digests)
        return
    try:
        _add_as_it_is(tar, path, name, digests)
    except FileNotFoundError:
        return


def _add_as_it_is(tar: tarfile.TarFile, path: Path, name: str, digests: dict[str, str]) -> None:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size  # one that grows is copied up to here
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode, entry.mtime = size, 0o600, int(path.stat().st_mtime)
        reader = _Digesting(file)
        tar.addfile(entry, reader)
        digests[name] = reader.sha256.hexdigest()


class _Digesting(io.RawIOBase):
    """A file whose digest is known once it has been read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file, self.sha256 = file, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.sha256.update(data)
        return data


@contextmanager
def _held(home: Path) -> Iterator[None]:
    """No entry of the audit log is written meanwhile, nor what it vouches for, so that these files belong together."""
    with locked(home / EVIDENCE), locked(home / ROUTES), (home / "audit.log").open("rb") as log:
        fcntl.flock(log, fcntl.LOCK_SH)
        yield


def restore(backup: Path, home: Path, *, progress: Progress = silent) -> BackupManifest:
    """Makes a home of a backup: all of it, checked, or nothing.

    Args:
        backup: the file.
        home: a folder that is not there yet, or empty.
        progress: called after each file.

    Raises:
        UsageError: the folder has files.
        BadInput: the file is not there, cannot be read, or is no backup.
        Tampered: a file in it is not the one that was backed up, or one is missing.
    """
    if not backup.exists():
        raise BadInput(f"{backup} does not exist.")
    if home.exists() and any(home.iterdir()):
        raise UsageError(f"{home} is not empty. Restore into a new folder (--home), or move this one away.")
    make_folder(home.parent)
    folder = Path(tempfile.mkdtemp(dir=home.parent, prefix=f".{home.name}."))
    try:
        manifest = _unpacked(backup, folder, progress)
        if home.exists():
            home.rmdir()
        folder.rename(home)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return manifest


def _unpacked(backup: Path, folder: Path, progress: Progress) -> BackupManifest:
    found: dict[str, str] = {}
    manifest: BackupManifest | None = None
    try:
        with tarfile.open(backup, "r:") as tar:
            for entry in tar:
                inner = tar.extractfile(entry) if entry.isfile() else None
                target = folder / entry.name
                if inner is None or folder not in target.resolve().parents:
                    raise Tampered(f"{backup} holds {entry.name!r}, which no backup has.")
                if entry.name == MANIFEST:
                    manifest = msgspec.json.decode(inner.read(), type=BackupManifest)
                    continue
                found[entry.name] = _unpack(inner, target)
                progress("restoring", len(found))
    except FileNotFoundError:
        raise BadInput(f"There is no file {backup}.") from None
    except (tarfile.TarError, msgspec.DecodeError, EOFError) as error:
        raise BadInput(f"{backup} is no backup of deputize, or is damaged: {error}") from error
    if manifest is None:
        raise BadInput(f"{backup} is no backup of deputize, or its end is missing.")
    changed = sorted({n for n in {*found, *manifest.sha256} if found.get(n) != manifest.sha256.get(n)})
    if changed:
        raise Tampered(f"{backup} is damaged: {', '.join(changed[:5])} differ from what was backed up.")
    return manifest


def _unpack(source: IO[bytes], target: Path) -> str:
    """Writes one file for its owner alone; its digest."""
    make_folder(target.parent)
    digest = hashlib.sha256()
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        while block := source.read(_BLOCK):
            digest.update(block)
            file.write(block)
    return digest.hexdigest()
