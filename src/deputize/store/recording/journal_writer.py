"""Moves calls from a journal into the store, in a process of its own, so that the event loop shares its interpreter
with nobody.

The recorder's thread stays in charge: it says which bytes of which segment are whole, this process reads them into the
store and says how many calls they held. Asked twice for the same bytes it adds nothing, for the store keeps one call
per id. It ends when the process that asks is no more, and holds no lock of its own.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from deputize.core.errors import DeputizeError, StoreError, Tampered
from deputize.store.base import Store
from deputize.store.keys.keyring import KeyRing
from deputize.store.recording.journal import Segment

_log = logging.getLogger("deputize.store")

_LENGTH = struct.Struct(">I")
_STDERR = 2


Target = Callable[[], tuple[Store, KeyRing]]
"""Opens the store that calls are moved to, with the keys that the journal is read with."""


class _Task(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Bytes of one segment that are to be moved."""

    path: str
    offset: int
    limit: int
    size: int
    """Bytes of whole frames in the segment."""


class _Done(msgspec.Struct, frozen=True, array_like=True, gc=False):
    n_calls: int = 0
    next_offset: int = 0
    error: str = ""
    tampered: bool = False


_pack = msgspec.msgpack.Encoder().encode
_tasks = msgspec.msgpack.Decoder(_Task)
_dones = msgspec.msgpack.Decoder(_Done)


def move(store: Store, segment: Segment, offset: int, limit: int) -> tuple[int, int]:
    """About `limit` bytes of calls into the store: how many there were, and where to go on.

    Raises:
        Tampered: the segment was changed.
        StoreError: the store cannot take them.
        OSError: the segment cannot be read.
    """
    entries, next_offset = segment.entries(offset, limit)
    if entries:
        try:
            store.append_entries(entries)
        except Tampered as error:  # the store is damaged, the journal is not: it has to wait
            raise StoreError(str(error)) from error
    return len(entries), next_offset


class JournalWriter:
    """The process, seen from the one that asks. One thread at a time."""

    def __init__(self, pid: int, asks: int, hears: int) -> None:
        self.pid, self._asks, self._hears = pid, asks, hears

    @classmethod
    def start(cls, open_target: Target) -> JournalWriter:
        """Forks; to be called before this process has threads, an event loop or an open store.

        Args:
            open_target: opens the store in the new process, when there is something to move.
        """
        hears_task, asks = os.pipe()
        hears, says = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                _keep_only(hears_task, says)
                _serve(open_target, hears_task, says)
                code = 0
            except (DeputizeError, OSError) as error:
                _log.error("the writer process ends: %s", error)
            except BaseException as error:  # noqa: BLE001 - the edge of a process: nothing above it would say anything
                _log.error("the writer process failed: %s", type(error).__name__)
            finally:
                os._exit(code)
        os.close(hears_task)
        os.close(says)
        return cls(pid, asks, hears)

    def move(self, segment: Segment, offset: int, limit: int) -> tuple[int, int] | None:
        """As the function `move`, by the other process; None where that has ended: the calls may or may not be
        there."""
        task = _Task(str(segment.path), offset, limit, segment.size)
        try:
            _send(self._asks, _pack(task))
            answer = _receive(self._hears)
        except OSError:
            answer = None
        if answer is None:
            return None
        done = _dones.decode(answer)
        if done.tampered:
            raise Tampered(done.error)
        if done.error:
            raise StoreError(done.error)
        return done.n_calls, done.next_offset

    def close(self) -> None:
        """Lets it end, and waits until it has."""
        for end in (self._asks, self._hears):
            os.close(end)
        try:
            os.waitpid(self.pid, 0)
        except ChildProcessError:
            return


def _keep_only(*kept: int) -> None:
    """Closes what was inherited: a listening socket would keep its port, a pipe's end would hide that another
    closed."""
    low = _STDERR + 1
    for descriptor in sorted(kept):
        os.closerange(low, descriptor)
        low = descriptor + 1
    os.closerange(low, os.sysconf("SC_OPEN_MAX"))
    # Ctrl-C reaches the whole group, and what is in the journal is still to be written then
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def _serve(open_target: Target, hears: int, says: int) -> None:
    # what was inherited is in memory once for both processes as long as nobody writes to it, and a collection would
    # write to all of it
    gc.freeze()
    writer: _Writer | None = None
    try:
        while (task := _receive(hears)) is not None:
            try:
                writer = writer or _Writer(*open_target())
                done = writer.carry_out(_tasks.decode(task))
            except DeputizeError as error:  # the store cannot be opened now; the next task tries again
                done = _Done(error=str(error))
            if done.error:  # a broken connection is a cycle with its buffers in it, and next to nothing else asks for a collection
                gc.collect()
            _send(says, _pack(done))
    except BrokenPipeError:
        return
    finally:
        if writer is not None:
            writer.store.close()


class _Writer:
    """State of the process once it has something to do."""

    def __init__(self, store: Store, keyring: KeyRing) -> None:
        self.store, self._key = store, keyring.derive("journal")

    def carry_out(self, task: _Task) -> _Done:
        try:
            segment = Segment.peek(Path(task.path), self._key, task.size)
            try:
                n_calls, next_offset = move(self.store, segment, task.offset, task.limit)
            finally:
                segment.close()
        except Tampered as error:
            return _Done(error=str(error), tampered=True)
        except StoreError as error:
            return _Done(error=str(error))
        except OSError as error:
            return _Done(error=f"{task.path} cannot be read: {error.strerror or error}.")
        return _Done(n_calls, next_offset)


def _send(descriptor: int, data: bytes) -> None:
    rest = _LENGTH.pack(len(data)) + data
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _receive(descriptor: int) -> bytes | None:
    """One message; None at the end."""
    head = _exactly(descriptor, _LENGTH.size)
    return None if head is None else _exactly(descriptor, _LENGTH.unpack(head)[0])


def _exactly(descriptor: int, n_bytes: int) -> bytes | None:
    parts: list[bytes] = []
    while n_bytes:
        part = os.read(descriptor, n_bytes)
        if not part:
            return None
        parts.append(part)
        n_bytes -= len(part)
    return b"".join(parts)


__all__ = ["JournalWriter", "move"]
