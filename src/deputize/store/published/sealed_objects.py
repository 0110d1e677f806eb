"""Files and states as sealed objects: AES-256-GCM part by part, each bound to the object, its place and the end."""

from __future__ import annotations

import hashlib
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from deputize.core.errors import StoreError, Tampered
from deputize.core.records import decode, encode
from deputize.files import make_folder, replaced
from deputize.store.keys.ciphers import pack
from deputize.store.keys.keyring import Sealer
from deputize.store.published.buckets import Bucket, Reads
from deputize.store.published.version_pointer import PublishedObject, PublishedState, digest

OBJECTS = "objects"
"""Folder of the objects in the object store, and of what is under way in a home."""

_PART = 4 << 20
_HEAD = struct.Struct(">BI")
"""Before each part: 1 for the last one, else 0; sealed bytes that follow."""


def new_name() -> str:
    """A name that no object has had: so what is written is never replaced, and what nobody needs can be told by its
    age."""
    return f"{OBJECTS}/{int(time.time()):010x}-{os.urandom(8).hex()}"


def age_s(name: str) -> float:
    """Seconds since an object of `new_name` was named, by our clock."""
    began = name.rsplit("/", 1)[-1].partition("-")[0]
    try:
        return time.time() - int(began, 16)
    except ValueError:
        return 0.0


def put_state(state: PublishedState, bucket: Bucket, sealer: Sealer) -> PublishedObject:
    """Writes a state; returns the object. Raises StoreError."""
    data, name = encode(state), new_name()
    if not bucket.create(name, sealer.seal(data, pack("state", name))):
        raise StoreError(f"{bucket.address} holds {name} already; try again.")
    return PublishedObject(name=name, sha256=digest(data))


def get_state(found: PublishedObject, bucket: Bucket, sealer: Sealer) -> PublishedState | None:
    """A state; None where its object is gone, as it is soon after a newer version.

    Raises:
        Tampered: it was changed, or is another object.
        StoreError: the object store cannot be reached.
    """
    blob = bucket.read(found.name)
    if blob is None:
        return None
    try:
        data = sealer.unseal(blob, pack("state", found.name))
        if digest(data) == found.sha256:
            return decode(data, PublishedState)
    except (Tampered, msgspec.DecodeError):
        pass
    raise Tampered(f"{found.name} in {bucket.address} was changed: nothing of it is used.")


def put_file(path: Path, bucket: Bucket, sealer: Sealer) -> PublishedObject:
    """Writes a file as a sealed object, part by part: in memory are some parts, whatever its length.

    Args:
        path: the file.
        bucket: where to.
        sealer: its keys.

    Raises:
        StoreError: it cannot be read, sealed or sent; there is no object then.
    """
    name, sha256 = new_name(), hashlib.sha256()
    try:
        with path.open("rb") as file, bucket.writing(name) as out:
            part, number = file.read(_PART), 0
            while True:
                following = file.read(_PART)
                sha256.update(part)
                blob = sealer.seal(part, _aad(name, number, not following))
                out.write(_HEAD.pack(not following, len(blob)) + blob)
                if not following:
                    break
                part, number = following, number + 1
    except OSError as error:
        raise StoreError(f"{path} cannot be published: {error.strerror or error}.") from error
    return PublishedObject(name=name, sha256=sha256.hexdigest())


def get_file(found: PublishedObject, bucket: Bucket, sealer: Sealer, path: Path) -> None:
    """Writes what a sealed object holds to a file, part by part as they come.

    Raises:
        Tampered: it was changed, cut off, or is another object.
        StoreError: it is gone, or cannot be fetched or written.
    """
    sha256 = hashlib.sha256()
    try:
        make_folder(path.parent)
        with bucket.reading(found.name) as file, replaced(path) as out:
            for part in _parts(file, found.name, sealer):
                sha256.update(part)
                out.write(part)
            if sha256.hexdigest() != found.sha256:
                raise Tampered("another file")
    except Tampered:
        raise Tampered(f"{found.name} in {bucket.address} was changed: nothing of it is used.") from None
    except FileNotFoundError:
        raise StoreError(f"{bucket.address} does not hold {found.name} any more.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}.") from error


def _parts(file: Reads, name: str, sealer: Sealer) -> Iterator[bytes]:
    """The parts of an object in their order, each opened; Tampered unless they are all there and nothing else."""
    number, is_last = 0, False
    while not is_last:
        flag, n_bytes = _HEAD.unpack(_exactly(file, _HEAD.size))
        if n_bytes > _PART + 1024:
            raise Tampered("changed")
        is_last = flag == 1
        yield sealer.unseal(_exactly(file, n_bytes), _aad(name, number, is_last))
        number += 1
    if file.read(1):
        raise Tampered("longer")


def _exactly(file: Reads, n_bytes: int) -> bytes:
    data = file.read(n_bytes)
    if len(data) < n_bytes:
        raise Tampered("cut off")
    return data


def _aad(name: str, number: int, is_last: bool) -> bytes:
    return pack("object", name, number, int(is_last))
