"""What the gateway and the worker say to each other: length-prefixed msgpack over a unix socket. No torch here."""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
import struct
import tempfile
from pathlib import Path
from typing import TypeVar

import msgspec

from deputize.core.errors import BadInput, StoreError
from deputize.core.records import Prediction, Record, Request

MAX_FRAME = 64 << 20
"""Bytes. A longer frame is an error, not an allocation."""
_LENGTH = struct.Struct(">I")


class PredictRequest(Record):
    """Gateway -> worker: answer this request."""

    id: int
    specialist: str
    """Folder, relative to the home. "": none is asked; the worker says that it is there."""
    request: Request
    within_s: float = 30.0
    """After that nobody waits for the answer any more."""


class WorkerSignals(Record):
    """The load of a worker: what waits and is loaded now, and totals since it began."""

    n_waiting: int = 0
    """Requests that no thread has taken yet."""
    n_loaded: int = 0
    n_threads: int = 0
    """That answer; each can be busy all of the time."""
    loads: int = 0
    evictions: int = 0
    """Specialists that had to go for another one."""
    busy_s: float = 0.0
    """Of all threads together, spent on answering and loading."""
    wait_s: float = 0.0
    """Of all requests together, until a thread took them."""
    n_taken: int = 0

    def after(self, ended: WorkerSignals) -> WorkerSignals:
        """These signals with the totals of a worker before it, which has ended."""
        return WorkerSignals(
            n_waiting=self.n_waiting,
            n_loaded=self.n_loaded,
            n_threads=self.n_threads,
            loads=self.loads + ended.loads,
            evictions=self.evictions + ended.evictions,
            busy_s=self.busy_s + ended.busy_s,
            wait_s=self.wait_s + ended.wait_s,
            n_taken=self.n_taken + ended.n_taken,
        )


class PredictReply(Record):
    """Worker -> gateway: the answer, or why there is none."""

    id: int
    prediction: Prediction | None = None
    error: str = ""
    is_loading: bool = False
    """There is none since specialists are being loaded; without a request: they are."""
    card_sha256: str = ""
    """Of the card of the specialist that answered, as it was loaded."""
    signals: WorkerSignals | None = None
    """In the reply to a request that asks for no specialist."""


F = TypeVar("F", PredictRequest, PredictReply)


def pack(message: Record) -> bytes:
    """A message as one frame.

    Raises:
        BadInput: it is too long, or has what no frame can hold.
    """
    data = encoded(message)
    if len(data) > MAX_FRAME:
        raise BadInput(f"a request of {len(data) >> 20} MiB is more than a specialist is sent")
    return _LENGTH.pack(len(data)) + data


def encoded(message: Record) -> bytes:
    """A message in msgpack.

    Raises:
        BadInput: a request in it has an integer of more than 64 bits, which JSON allows, or is nested too deeply.
    """
    try:
        return msgspec.msgpack.encode(message)
    except (OverflowError, RecursionError) as error:
        raise BadInput(f"a request that cannot be sent to a specialist: {error}") from error


async def read(stream: asyncio.StreamReader, kind: type[F]) -> F | None:
    """The next message of a stream; None at its end.

    Raises:
        BadInput: what came is no frame of this kind.
    """
    try:
        (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
        if length > MAX_FRAME:
            raise BadInput(f"a frame of {length} bytes is longer than any that is sent")
        data = await stream.readexactly(length)
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    try:
        return msgspec.msgpack.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadInput(f"a frame cannot be read: {error}") from error


def socket_folder(home: Path) -> Path:
    """The folder of a home's socket: private to this user, and short, for a socket's path may have some 100 bytes.

    Raises:
        StoreError: a folder of that name belongs to somebody else.
    """
    uid = os.getuid()
    base = Path(os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir())
    digest = hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:16]
    folder = base / f"deputize-{uid}-{digest}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid:
        raise StoreError(f"{folder} belongs to another user; the local engine needs it")
    folder.chmod(0o700)
    return folder
