"""The route file on disk: replaced as a whole, atomically, with a checksum and a generation that only grows."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from deputize.core.errors import BadInput, Tampered
from deputize.core.records import Record, RouteFile, encode
from deputize.files import coming, locked, put_in_place, write_atomic

T = TypeVar("T")


class RouteFileSeal(Protocol):
    """Knows the newest version of a route file, so that a forged or an older one is refused
    (store.access.generations)."""

    def sending_first(self, work: Callable[[], T]) -> T:
        """Does `work`, which locks the file and calls `change`; again where specialists had to be sent to other homes
        first."""
        ...

    def change(self, work: Callable[[], T]) -> T:
        """Does `work`, which reads, notes and writes a version, on top of the newest one that other homes have
        published.

        `work` is done again where another home was faster.
        """
        ...

    def note(self, generation: int, sha256: str, data: bytes) -> None:
        """Notes a version before it is written, and publishes it where homes share. Raises StoreError where that cannot
        be done: it is not written then."""
        ...

    def is_newest(self, sha256: str) -> bool:
        """True where this version was noted last."""
        ...

    def check(self, generation: int, sha256: str) -> None:
        """Raises Tampered unless this is the version that was noted last."""
        ...


_WRITE_S = (0.02, 0.1, 0.4)
"""How long a version that was noted may take to be on the disk; a file that is older is looked at again."""


class _ChecksummedFile(Record, frozen=True):
    sha256: str
    file: RouteFile


def read_routes(path: Path, seal: RouteFileSeal | None = None) -> RouteFile:
    """The route file at `path`; an empty one (generation 0) where there is none.

    Args:
        path: the file.
        seal: of its home; None: only the checksum is looked at.

    Raises:
        BadInput: it cannot be read or is not a route file.
        Tampered: it does not match its checksum, or is not the version that the seal knows.
    """
    sealed = _read(path)
    if sealed is None:
        return RouteFile(run_id="")
    if seal is not None:
        # another process may just be writing: a version is noted before it is written
        for wait_s in _WRITE_S:
            if seal.is_newest(sealed.sha256):
                break
            time.sleep(wait_s)
            sealed = _read(path) or sealed
        if not seal.is_newest(sealed.sha256):
            sealed = _stopped(path, seal) or sealed
        seal.check(sealed.file.generation, sealed.sha256)
    return sealed.file


def _stopped(path: Path, seal: RouteFileSeal) -> _ChecksummedFile | None:
    """The version that was noted last, where its writer was killed before it was in its place."""
    try:
        found = _read(coming(path))
    except (BadInput, Tampered):
        return None
    return found if found is not None and seal.is_newest(found.sha256) else None


def _read(path: Path) -> _ChecksummedFile | None:
    """The file, which matches its checksum; None where there is none."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadInput(f"The route file {path} cannot be read: {error.strerror}.") from error
    return _parsed(path, data)


def parse_routes(path: Path, data: bytes) -> tuple[RouteFile, str]:
    """The route file in the bytes of one, and its checksum.

    Args:
        path: for messages.
        data: of a file that `update_routes` wrote.

    Raises:
        BadInput: it is no route file.
        Tampered: it does not match its checksum.
    """
    found = _parsed(path, data)
    return found.file, found.sha256


def _parsed(path: Path, data: bytes) -> _ChecksummedFile:
    try:
        sealed = msgspec.json.decode(data, type=_ChecksummedFile)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"{path} is not a route file: {error}") from error
    if _checksum(sealed.file) != sealed.sha256:
        raise Tampered(f"The route file {path} does not match its checksum; no route of it is used.")
    return sealed


def write_routes(path: Path, file: RouteFile, seal: RouteFileSeal | None = None) -> RouteFile:
    """Replaces the route file atomically and durably, whatever was there before.

    Returns:
        The file as it was written: `file` with the generation after that of the file it replaces.

    Raises:
        StoreError: the file cannot be written; the old one is as it was.
    """

    def written() -> RouteFile:
        try:
            generation = read_routes(path).generation
        except (BadInput, Tampered):
            # a generation no reader has seen: the time the damaged file was written
            generation = int(path.stat().st_mtime)
        return _write(path, file, generation + 1, seal)

    return _alone(path, written, seal)


def update_routes(
    path: Path, change: Callable[[RouteFile], RouteFile], seal: RouteFileSeal | None = None
) -> RouteFile:
    """Reads, changes and replaces the route file with nobody else writing in between.

    Returns:
        The file as it was written, one generation on.

    Raises:
        BadInput: the file there is not a route file; nothing is written.
        Tampered: the file there does not match its checksum, or is not the newest; nothing is written.
        StoreError: the file cannot be written; the old one is as it was.
    """

    def changed() -> RouteFile:
        old = read_routes(path, seal)
        return _write(path, change(old), old.generation + 1, seal)

    return _alone(path, changed, seal)


def _alone(path: Path, work: Callable[[], T], seal: RouteFileSeal | None) -> T:
    """Does `work` with nobody else writing the file, here or in another home."""

    def locked_work() -> T:
        with locked(path):
            return work() if seal is None else seal.change(work)

    return locked_work() if seal is None else seal.sending_first(locked_work)


def _write(path: Path, file: RouteFile, generation: int, seal: RouteFileSeal | None) -> RouteFile:
    new = msgspec.structs.replace(file, generation=generation)
    sealed = _ChecksummedFile(sha256=_checksum(new), file=new)
    data = msgspec.json.format(msgspec.json.encode(sealed), indent=1)
    if seal is None:
        write_atomic(path, data)
        return new
    write_atomic(coming(path), data)
    seal.note(generation, sealed.sha256, data)
    put_in_place(path)
    return new


def _checksum(file: RouteFile) -> str:
    return hashlib.sha256(encode(file)).hexdigest()
