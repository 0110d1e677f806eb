"""The route file on disk: replaced as a whole, atomically, with a checksum and a generation that only grows."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from deputize.core.errors import BadInput, StoreError, Tampered
from deputize.core.records import Record, RouteFile, encode


class _Sealed(Record, frozen=True):
    sha256: str
    file: RouteFile


def read_routes(path: Path) -> RouteFile:
    """The route file at `path`; an empty one (generation 0) where there is none.

    Raises:
        BadInput: it cannot be read or is not a route file.
        Tampered: it does not match its checksum.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return RouteFile(run_id="")
    except OSError as error:
        raise BadInput(f"The route file {path} cannot be read: {error.strerror}.") from error
    try:
        sealed = msgspec.json.decode(data, type=_Sealed)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{path} is not a route file: {error}") from error
    if _checksum(sealed.file) != sealed.sha256:
        raise Tampered(f"The route file {path} does not match its checksum; no route of it is used.")
    return sealed.file


def write_routes(path: Path, file: RouteFile) -> RouteFile:
    """Replaces the route file atomically and durably, whatever was there before.

    Returns:
        What was written: `file` with the generation after that of the file it replaces.

    Raises:
        StoreError: the file cannot be written; the old one is as it was.
    """
    try:
        return _write(path, lambda _: file, forgiving=True)
    except OSError as error:
        raise StoreError(f"The route file {path} cannot be written: {error.strerror}.") from error


def update_routes(path: Path, change: Callable[[RouteFile], RouteFile]) -> RouteFile:
    """Reads, changes and replaces the route file with nobody else writing in between.

    Returns:
        What was written, one generation on.

    Raises:
        BadInput: the file there is not a route file; nothing is written.
        Tampered: the file there does not match its checksum; nothing is written.
        StoreError: the file cannot be written; the old one is as it was.
    """
    try:
        return _write(path, change, forgiving=False)
    except OSError as error:
        raise StoreError(f"The route file {path} cannot be written: {error.strerror}.") from error


def _write(path: Path, change: Callable[[RouteFile], RouteFile], *, forgiving: bool) -> RouteFile:
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path):
        try:
            old = read_routes(path)
        except (BadInput, Tampered):
            if not forgiving:
                raise
            # a generation no reader has seen: the time the damaged file was written
            old = RouteFile(run_id="", generation=int(path.stat().st_mtime))
        new = msgspec.structs.replace(change(old), generation=old.generation + 1)
        sealed = _Sealed(sha256=_checksum(new), file=new)
        _replace(path, msgspec.json.format(msgspec.json.encode(sealed), indent=1))
    return new


def _checksum(file: RouteFile) -> str:
    return hashlib.sha256(encode(file)).hexdigest()


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _replace(path: Path, data: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
