"""The pointer: a small sealed object for each version of what is published, and the state that it leads to.

Versions are named by their numbers and written once, each with the digest of the one before. So nobody overwrites what
another home has published, an older version cannot pass for the newest with a home that has seen a newer one, and a
history that was begun again is noticed. Sealed with the keys of the homes: who can write the object store, and nothing
else, can forge none.
"""

from __future__ import annotations

import hashlib
from pathlib import Path, PurePosixPath

import msgspec

from deputize.core.errors import Tampered
from deputize.core.records import Record, RouteFile, decode, encode
from deputize.routes_file import parse_routes
from deputize.store.keys.ciphers import pack
from deputize.store.keys.keyring import Sealer

POINTERS = "pointers"
"""Folder of the pointers in the object store."""


class PublishedObject(Record, frozen=True):
    """An object, written once."""

    name: str
    sha256: str
    """Of what is sealed in it."""


class PublishedExport(Record, frozen=True):
    """A specialist in a form for other engines."""

    specialist: str
    """Folder of the specialist, relative to a home: an export goes when no route has that any more."""
    files: dict[str, PublishedObject]
    """By their paths in the folder of the export."""


class PublishedState(Record, frozen=True):
    """Everything that homes share."""

    routes: bytes = b""
    """The route file, with its checksum; empty: none was published."""
    keys: bytes = b""
    """The file of API keys, with its MAC; empty: there has never been a key."""
    folders: dict[str, dict[str, PublishedObject]] = msgspec.field(default_factory=dict)
    """Folder of a specialist, relative to a home -> its files, by their paths in it."""
    runs: dict[str, dict[str, PublishedObject]] = msgspec.field(default_factory=dict)
    """Run -> its files, by their names in its folder."""

    exports: dict[str, PublishedExport] = msgspec.field(default_factory=dict)
    """By route and form, as in "route-1/peft"."""

    def objects(self) -> set[str]:
        """Names of all objects that it leads to."""
        exported = (one.files for one in self.exports.values())
        folders = (*self.folders.values(), *self.runs.values(), *exported)
        return {found.name for files in folders for found in files.values()}


class VersionPointer(Record, frozen=True):
    """One version."""

    version: int = 0
    """From 1 on, without gaps; 0: nothing is published."""
    previous: str = ""
    """SHA-256 of the sealed pointer before."""
    state: PublishedObject = PublishedObject(name="", sha256="")
    at: float = 0.0
    """Unix seconds, by the clock of the home that published it."""


def specialists_of(file: RouteFile) -> list[str]:
    """Folders of the specialists of a route file, relative to the home; those elsewhere are for their machine alone."""
    names = {route.specialist for route in (*file.routes, *file.challengers, *file.previous)}
    return sorted(name for name in names if name and not PurePosixPath(name).is_absolute())


def closed_in(state: PublishedState) -> set[str]:
    """Specialists whose routes are all closed, by a person or by an erasure; their exports are not shared."""
    file = parse_routes(Path(), state.routes)[0] if state.routes else RouteFile(run_id="")
    routes = (*file.routes, *file.challengers)
    open_ = {route.specialist for route in routes if route.state != "closed"}
    return {route.specialist for route in routes} - open_


def pointer_name(version: int) -> str:
    """The object's name; names sort by version."""
    return f"{POINTERS}/{version:012d}"


def sealed_pointer(pointer: VersionPointer, sealer: Sealer) -> bytes:
    """The object of a pointer."""
    return sealer.seal(encode(pointer), _aad(pointer.version))


def opened_pointer(blob: bytes, version: int, sealer: Sealer) -> VersionPointer:
    """The pointer in an object.

    Raises:
        Tampered: it was changed, belongs to another version, or was sealed with other keys.
    """
    try:
        found = decode(sealer.unseal(blob, _aad(version)), VersionPointer)
    except (Tampered, msgspec.DecodeError):
        raise Tampered(
            f"The pointer of version {version} was changed, or sealed with other keys than those of this home. Nothing of it is "
            f"used: put {pointer_name(version)} back, or delete it where it was never a version."
        ) from None
    return found


def digest(blob: bytes) -> str:
    """SHA-256 in hexadecimal digits."""
    return hashlib.sha256(blob).hexdigest()


def _aad(version: int) -> bytes:
    return pack("pointer", version)
