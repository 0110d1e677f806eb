"""Artifacts in files that only this home can read, replaced as a whole: one record, or a stream of many.

A stream is for what is too large to be held at once. Each of its records is sealed by itself and bound to the run, the
file, its place, and whether it is the last one (as in the STREAM construction), so that a record that was changed,
moved, left out, or brought in from another stream is noticed, and so is a missing end.

References:
    Hoang, Reyhanitabar, Rogaway and Vizar 2015, Online authenticated-encryption and its nonce-reuse misuse-resistance
    (CRYPTO 2015), section 7: STREAM.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.core.errors import BadInput, StoreError, Tampered
from deputize.core.records import Record, decode, encode
from deputize.files import replaced, write_atomic
from deputize.store.keys.ciphers import decrypt, encrypt, pack
from deputize.store.keys.keyring import Sealer

R = TypeVar("R", bound=Record)
L = TypeVar("L", bound=Record)

_STREAM_MAGIC = b"DPF1"
_ID_BYTES = 16
_HEAD = struct.Struct(">BI")
"""Before each frame: 1 for the last one, else 0; bytes of the sealed record that follow."""


def write_sealed(path: Path, record: Record, keyring: Sealer) -> None:
    """Writes a record, encrypted and bound to its kind and file name.

    Raises:
        StoreError: the disk is full or the folder cannot be written; what was there before is unchanged.
    """
    write_atomic(path, keyring.seal(encode(record), _aad(path, type(record))))


def read_sealed(path: Path, kind: type[R], keyring: Sealer) -> R:
    """The record that was written.

    Raises:
        BadInput: no such file, or it holds a record of an older, unreadable form.
        Tampered: changed, renamed, of another kind, or sealed by another home.
        StoreError: the file cannot be read.
    """
    with _opened(path) as file:
        blob = file.read()
    try:
        return _decoded(path, keyring.unseal(blob, _aad(path, kind)), kind)
    except Tampered as error:
        raise Tampered(f"{path} cannot be trusted. {error}") from None


class SealedStream:
    """A stream that is being written; made by `sealed_stream`."""

    def __init__(self, path: Path, file: BinaryIO, keyring: Sealer) -> None:
        self._path, self._file = path, file
        self._id = os.urandom(_ID_BYTES)
        self._key = _stream_key(keyring, self._id)
        self._n_written = 0
        self.is_whole = False
        file.write(_STREAM_MAGIC + self._id)

    def add(self, record: Record) -> None:
        """The next record."""
        self._write(record, is_last=False)

    def end(self, record: Record) -> None:
        """The last record; nothing comes after it."""
        self._write(record, is_last=True)
        self.is_whole = True

    def _write(self, record: Record, is_last: bool) -> None:
        if self.is_whole:
            raise ValueError("this stream has been ended")
        aad = _frame_aad(self._path, type(record), self._n_written, is_last)
        blob = encrypt(self._key, encode(record), aad)
        self._file.write(_HEAD.pack(is_last, len(blob)))
        self._file.write(blob)
        self._n_written += 1


@contextmanager
def sealed_stream(path: Path, keyring: Sealer) -> Iterator[SealedStream]:
    """Writes many records to one file, each as it comes; the file is there only once the block has ended well.

    The block calls `add` for each record and `end` for the last.

    Raises:
        StoreError: the disk is full or the folder cannot be written; what was there before is unchanged.
    """
    with replaced(path) as file:
        stream = SealedStream(path, file, keyring)
        yield stream
        if not stream.is_whole:
            raise ValueError(f"{path.name} was not ended")


def read_stream(path: Path, kind: type[R], last: type[L], keyring: Sealer) -> Iterator[R | L]:
    """The records of a stream in their order, one in memory at a time; all but the last one are of `kind`.

    Nothing that came before an error may be taken for the whole.

    Raises:
        BadInput: no such file, or it holds records of an older, unreadable form.
        Tampered: a record was changed, moved, left out or added; cut off; renamed; of another run or home.
        StoreError: the file cannot be read.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        key = _key_of_stream(path, file, keyring)
        number, is_last = 0, False
        while not is_last:
            start = file.read(_HEAD.size)
            if len(start) < _HEAD.size:
                raise Tampered(f"{path} cannot be trusted. It is cut off after {number:,} records.")
            flag, n_bytes = _HEAD.unpack(start)
            is_last = flag == 1
            if flag > 1 or n_bytes > size - file.tell():
                raise Tampered(
                    f"{path} cannot be trusted. It is cut off or changed at record {number + 1:,}."
                )
            wanted: type[R] | type[L] = last if is_last else kind
            aad = _frame_aad(path, wanted, number, is_last)
            try:
                data = decrypt(key, file.read(n_bytes), aad, f"Record {number + 1:,}")
            except Tampered as error:
                raise Tampered(f"{path} cannot be trusted. {error}") from None
            if is_last and file.read(1):
                raise Tampered(f"{path} cannot be trusted. Something was added after its end.")
            yield _decoded(path, data, wanted)
            number += 1


def read_last(path: Path, last: type[L], keyring: Sealer) -> tuple[L, int]:
    """The last record of a stream and the number of records before it, without reading those.

    That the record is the last of so many is authentic; whether those before it are whole is told by reading them.

    Raises:
        As `read_stream`.
    """
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        key = _key_of_stream(path, file, keyring)
        number, is_last, n_bytes = -1, False, 0
        while not is_last:
            file.seek(n_bytes, os.SEEK_CUR)
            start = file.read(_HEAD.size)
            number += 1
            flag, n_bytes = _HEAD.unpack(start) if len(start) == _HEAD.size else (2, 0)
            is_last = flag == 1
            if flag > 1 or n_bytes > size - file.tell():
                raise Tampered(
                    f"{path} cannot be trusted. It is cut off or changed at record {number + 1:,}."
                )
        try:
            data = decrypt(key, file.read(n_bytes), _frame_aad(path, last, number, True), "The last record")
        except Tampered as error:
            raise Tampered(f"{path} cannot be trusted. {error}") from None
    return _decoded(path, data, last), number


def _key_of_stream(path: Path, file: BinaryIO, keyring: Sealer) -> AESGCM:
    head = file.read(len(_STREAM_MAGIC) + _ID_BYTES)
    if len(head) < len(_STREAM_MAGIC) + _ID_BYTES or not head.startswith(_STREAM_MAGIC):
        raise Tampered(f"{path} cannot be trusted. This is not a sealed stream: its first bytes are changed.")
    return _stream_key(keyring, head[len(_STREAM_MAGIC) :])


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        with path.open("rb") as file:
            yield file
    except FileNotFoundError:
        raise BadInput(f"{path} is not there.") from None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}.") from error


def _decoded(path: Path, data: bytes, kind: type[R]) -> R:
    try:
        return decode(data, kind)
    except msgspec.DecodeError as error:
        raise BadInput(
            f"{path} does not hold a {kind.__name__} of this version; delete it to make it again."
        ) from error


def _stream_key(keyring: Sealer, stream_id: bytes) -> AESGCM:
    """A key for one stream: random nonces never come near their limit, and no record fits into another stream."""
    return AESGCM(keyring.derive(f"stream/{stream_id.hex()}"))


def _frame_aad(path: Path, kind: type[Record], number: int, is_last: bool) -> bytes:
    return pack("frame", path.parent.name, path.name, kind.__name__, number, int(is_last))


def _aad(path: Path, kind: type[Record]) -> bytes:
    return pack("artifact", kind.__name__, path.name)
