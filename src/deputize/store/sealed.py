"""Artifacts in files that only this home can read, replaced as a whole."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from deputize.core.errors import BadInput, StoreError, Tampered
from deputize.core.records import Record, decode, encode
from deputize.store.ciphers import pack
from deputize.store.files import write_atomic
from deputize.store.keys import KeyRing

R = TypeVar("R", bound=Record)


def write_sealed(path: Path, record: Record, keyring: KeyRing) -> None:
    """Writes a record, encrypted and bound to its kind and file name.

    Raises:
        StoreError: the disk is full or the folder cannot be written; what was there before is unchanged.
    """
    write_atomic(path, keyring.seal(encode(record), _aad(path, type(record))))


def read_sealed(path: Path, kind: type[R], keyring: KeyRing) -> R:
    """The record that was written.

    Raises:
        BadInput: no such file, or it holds a record of an older, unreadable form.
        Tampered: changed, renamed, of another kind, or sealed by another home.
        StoreError: the file cannot be read.
    """
    try:
        blob = path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"{path} is not there.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error
    try:
        return decode(keyring.unseal(blob, _aad(path, kind)), kind)
    except Tampered as error:
        raise Tampered(f"{path} cannot be trusted. {error}") from None
    except msgspec.DecodeError as error:
        raise BadInput(
            f"{path} does not hold a {kind.__name__} of this version; delete it to make it again."
        ) from error


def _aad(path: Path, kind: type[Record]) -> bytes:
    return pack("artifact", kind.__name__, path.name)
