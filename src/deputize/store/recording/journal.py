"""The journal: encrypted, append-only files between the gateway and the store.

What is appended survives the death of the process at once (it is in the operating system's hands); it is read back
from there into the store, and after a crash by whoever opens the store next. So there is no queue in memory to lose.

    HOME/journal/<owner>-<number>.journal    header: magic, 32 random bytes that the segment's key is derived from
                                             frames: length, counter, kind, AES-256-GCM text

An owner holds a lock on its segments as long as it lives. A segment that has been read into the store is shredded:
its random bytes are overwritten before the file goes, so that no key leads to what remains on the disk. That happens
when it is full, a minute old, or nothing has come for a second, so that an erased person is not to be found here.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from deputize.core.errors import StoreError, Tampered
from deputize.core.records import Call
from deputize.files import make_folder, reason
from deputize.store.base import Entry, Store
from deputize.store.keys.ciphers import TAG_BYTES, decrypt, derived
from deputize.store.keys.keyring import KeyRing

_log = logging.getLogger("deputize.store")

_MAGIC = b"DPJ2"
_SALT_BYTES = 32
_HEADER_BYTES = len(_MAGIC) + _SALT_BYTES
_FRAME = struct.Struct(">IQB")
_SUFFIX = ".journal"
_READ_BYTES = 1 << 18
_RECOVER_FRAMES = 500
_DRAFT_S = 600.0

SEGMENT_S = 60.0
"""A segment takes no more calls after so long: what the store has, and may have to erase, soon goes from here."""

ROOM_BYTES = 1 << 18
"""A disk that was full is one still with less room than that: the next calls would fill it again."""

ENTRIES, INTENTS = 1, 2
"""Kinds of frames: finished calls; calls that have begun."""

_PACK = msgspec.msgpack.Encoder()


class Intent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A call that has begun: what is known of it if the process dies before it ends. No payload."""

    id: str
    tenant: str = "default"
    origin: str = ""
    agent: str = ""
    site: str = ""
    episode: str = ""
    model: str = ""
    timestamp: float | None = None


_ENTRIES = msgspec.msgpack.Decoder(list[Entry])
_INTENTS = msgspec.msgpack.Decoder(list[Intent])


def cut_short(intent: Intent) -> Call:
    """The record of a call whose process died before it ended."""
    return Call(
        id=intent.id,
        tenant=intent.tenant,
        origin=intent.origin,
        agent=intent.agent,
        site=intent.site,
        episode=intent.episode,
        model=intent.model,
        timestamp=intent.timestamp,
        messages=[],
        response={},
        status=0,
        aborted=True,
        finish_reason="process_died",
        source="journal",
    )


class Segment:
    """One journal file, held by this process."""

    def __init__(self, path: Path, descriptor: int, aead: AESGCM, size: int) -> None:
        self.path, self._descriptor, self._aead = path, descriptor, aead
        self.size = size
        """Bytes of whole frames, header included."""
        self.made_at = time.monotonic()
        self._counter = 0

    @classmethod
    def create(cls, path: Path, key: bytes) -> Segment:
        """A new, locked segment. Raises OSError."""
        make_folder(path.parent)
        # locked before it has its name: whoever looks for orphans never meets it unlocked
        draft = path.with_suffix(".new")
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            salt = os.urandom(_SALT_BYTES)
            _write_all(descriptor, _MAGIC + salt, 0)
            draft.rename(path)
        except OSError:
            os.close(descriptor)
            draft.unlink(missing_ok=True)
            raise
        return cls(path, descriptor, _segment_key(key, salt), _HEADER_BYTES)

    @classmethod
    def peek(cls, path: Path, key: bytes, size: int) -> Segment:
        """A segment whose owner lives and says that `size` bytes of it are whole: to be read, nothing else.

        Raises:
            Tampered: not a journal file.
            FileNotFoundError: it is not there, or has been shredded.
            OSError: it cannot be opened.
        """
        descriptor = os.open(path, os.O_RDONLY)
        try:
            header = os.pread(descriptor, _HEADER_BYTES, 0)
            if header == bytes(_HEADER_BYTES):
                raise FileNotFoundError(f"{path} has been shredded.")
            if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
                raise Tampered(f"{path} is not a journal file.")
        except (OSError, Tampered):
            os.close(descriptor)
            raise
        return cls(path, descriptor, _segment_key(key, header[len(_MAGIC) :]), size)

    @classmethod
    def adopt(cls, path: Path, key: bytes) -> Segment | None:
        """The segment of an owner that is no more; None where it lives, or another process was faster.

        Raises:
            Tampered: not a journal file.
            OSError: it cannot be opened.
        """
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            found = os.fstat(descriptor)
            if not found.st_nlink:
                os.close(descriptor)
                return None
            header = os.pread(descriptor, _HEADER_BYTES, 0)
            if header == bytes(_HEADER_BYTES):  # its owner died between shredding and removing it
                path.unlink(missing_ok=True)
                os.close(descriptor)
                return None
            if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
                raise Tampered(f"{path} is not a journal file.")
        except BlockingIOError:
            os.close(descriptor)
            return None
        except (OSError, Tampered):
            os.close(descriptor)
            raise
        return cls(path, descriptor, _segment_key(key, header[len(_MAGIC) :]), found.st_size)

    def append(self, kind: int, data: bytes) -> int:
        """Writes one frame and returns its bytes on the disk; a frame is there whole or not at all. Raises OSError."""
        # a counter is never used twice under a segment's key, not even for a frame that failed
        self._counter += 1
        sealed = self._aead.encrypt(_nonce(self._counter), data, bytes([kind]))
        frame = _FRAME.pack(len(sealed), self._counter, kind) + sealed
        _write_all(self._descriptor, frame, self.size)
        self.size += len(frame)
        return len(frame)

    def read(self, offset: int, limit: int = _READ_BYTES) -> tuple[list[tuple[int, bytes]], int]:
        """Frames from `offset` on, at least one where there is one, about `limit` bytes, and where to go on.

        A frame cut short at the end of the file (the process died while writing it) is not there.

        Raises:
            Tampered: a frame was changed.
            OSError: the file cannot be read.
        """
        end = self.size
        offset = max(offset, _HEADER_BYTES)
        frames: list[tuple[int, bytes]] = []
        start = offset
        chunk, at = b"", 0
        while offset + _FRAME.size <= end and (not frames or offset - start < limit):
            if len(chunk) - at < _FRAME.size:
                chunk, at = os.pread(self._descriptor, max(limit, _FRAME.size), offset), 0
            length, counter, kind = _FRAME.unpack_from(chunk, at)
            if length < TAG_BYTES or offset + _FRAME.size + length > end:
                break
            if len(chunk) - at < _FRAME.size + length:
                chunk, at = os.pread(self._descriptor, max(limit, _FRAME.size + length), offset), 0
            sealed = chunk[at + _FRAME.size : at + _FRAME.size + length]
            what = f"The frame at byte {offset} of {self.path}"
            frames.append((kind, decrypt(self._aead, _nonce(counter) + sealed, bytes([kind]), what)))
            offset += _FRAME.size + length
            at += _FRAME.size + length
        return frames, offset

    def entries(self, offset: int, limit: int) -> tuple[list[Entry], int]:
        """The finished calls among the frames from `offset` on, and where to go on; as `read`."""
        frames, next_offset = self.read(offset, limit)
        return [e for kind, data in frames if kind == ENTRIES for e in _ENTRIES.decode(data)], next_offset

    def sync(self) -> None:
        """Syncs what was appended to the disk, so that it survives a power cut. Raises OSError."""
        os.fdatasync(self._descriptor)

    def shred(self) -> None:
        """Makes the content unreadable and removes the file."""
        try:
            flags = fcntl.fcntl(self._descriptor, fcntl.F_GETFL)
            # O_APPEND would turn pwrite into append
            fcntl.fcntl(self._descriptor, fcntl.F_SETFL, flags & ~os.O_APPEND)
            os.pwrite(self._descriptor, bytes(_HEADER_BYTES), 0)
            os.fdatasync(self._descriptor)
        except OSError as error:
            _log.warning("%s could not be overwritten before it was removed: %s", self.path, reason(error))
        self.path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


Take: TypeAlias = Callable[[Segment, int, int], tuple[int, int]]
"""(segment, offset, limit) -> (entries taken from there, where to go on)."""


def _write_all(descriptor: int, data: bytes, size: int) -> None:
    """Appends all of `data` or, where the disk is full half-way, nothing: the file is cut back to `size`."""
    try:
        n_written = os.write(descriptor, data)
        while n_written < len(data):
            n_written += os.write(descriptor, data[n_written:])
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _nonce(counter: int) -> bytes:
    return counter.to_bytes(12, "big")


def _segment_key(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(derived(key, "segment/" + salt.hex()))


class Journal:
    """This process's segments: appended to at one end, read into the store at the other."""

    def __init__(
        self, folder: Path, keyring: KeyRing, *, segment_bytes: int = 16 << 20, segment_s: float = SEGMENT_S
    ) -> None:
        self.folder, self._segment_bytes, self._segment_s = folder, segment_bytes, segment_s
        self._key = keyring.derive("journal")
        self._owner = f"{os.getpid()}-{os.urandom(4).hex()}"
        self._n_segments = 0
        self._lock = threading.Lock()
        self._segments: deque[Segment] = deque()
        self._read_at = self._next = _HEADER_BYTES
        self._n_read_bytes = 0
        self._n_bytes = 0
        self.trouble = ""
        """Why the last call could not be written, until one can be again."""

    @property
    def backlog_bytes(self) -> int:
        """Bytes appended and not yet read into the store."""
        return self._n_bytes - self._n_read_bytes

    def append(self, kind: int, data: bytes, carried: Callable[[], Sequence[Intent]] = tuple) -> None:
        """Appends one frame; it survives the death of the process from here on.

        Args:
            kind: ENTRIES or INTENTS.
            data: msgpack of a list of them.
            carried: the calls under way, written again at the head of a new segment since older segments go.

        Raises:
            StoreError: disk full or not writable; nothing was appended.
        """
        with self._lock:
            try:
                if not self._segments or self._is_full(self._segments[-1]):
                    self._open_segment(carried())
                self._n_bytes += self._segments[-1].append(kind, data)
            except OSError as error:
                self.trouble = f"The journal in {self.folder} cannot be written: {reason(error)}."
                raise StoreError(self.trouble) from error
            if kind == ENTRIES:  # what is shorter may find room where a call finds none
                self.trouble = ""

    def has_room(self) -> bool:
        """False from a call that could not be written until one can be: nobody is to pay for an answer that will be
        refused."""
        if not self.trouble:
            return True
        try:
            disk = os.statvfs(self.folder if self.folder.is_dir() else self.folder.parent)
            if disk.f_bavail * disk.f_frsize < ROOM_BYTES:
                return False
            self.append(INTENTS, _PACK.encode([]))
        except (OSError, StoreError):
            return False
        self.trouble = ""
        return True

    def _is_full(self, segment: Segment) -> bool:
        return segment.size >= self._segment_bytes or time.monotonic() - segment.made_at > self._segment_s

    def _open_segment(self, carried: Sequence[Intent]) -> None:
        self._n_segments += 1
        segment = Segment.create(self.folder / f"{self._owner}-{self._n_segments:08d}{_SUFFIX}", self._key)
        self._segments.append(segment)
        if carried:
            self._n_bytes += segment.append(INTENTS, _PACK.encode(list(carried)))

    def read(self, limit: int = _READ_BYTES) -> list[Entry]:
        """The oldest entries that were not yet taken; the same again until `taken` is called.

        Raises:
            Tampered: the file was changed under our hands.
            StoreError: it cannot be read.
        """
        found: list[Entry] = []

        def keep(segment: Segment, offset: int, limit: int) -> tuple[int, int]:
            nonlocal found
            found, next_offset = segment.entries(offset, limit)
            return len(found), next_offset

        self.hand_over(keep, limit)
        return found

    def hand_over(self, take: Take, limit: int = _READ_BYTES) -> int:
        """Has the oldest entries that were not yet taken read by `take`; the same again until `taken` is called.

        Returns:
            How many there were; 0 when nothing is left.

        Raises:
            Tampered: the file was changed under our hands.
            StoreError: it cannot be read, or `take` could not keep them.
        """
        while True:
            with self._lock:
                if not self._segments:
                    return 0
                segment, offset, last = self._segments[0], self._read_at, len(self._segments) == 1
            try:
                n_entries, self._next = take(segment, offset, limit)
            except OSError as error:
                raise StoreError(f"{segment.path} cannot be read: {reason(error)}.") from error
            at_end = self._next == offset
            if n_entries or (at_end and last):
                return n_entries
            self.taken()
            if at_end:
                self._drop_first()

    def taken(self) -> None:
        """Acknowledges that what `read` gave last is in the store."""
        with self._lock:
            self._n_read_bytes += self._next - self._read_at
            self._read_at = self._next

    def _drop_first(self) -> None:
        with self._lock:
            segment = self._segments.popleft()
            self._read_at = self._next = _HEADER_BYTES
        segment.shred()

    def set_aside(self) -> Path | None:
        """Keeps the oldest segment, which was changed under our hands, as <name>.damaged and goes on with the next."""
        with self._lock:
            if not self._segments:
                return None
            segment = self._segments.popleft()
            self._n_read_bytes += segment.size - self._read_at
            self._read_at = self._next = _HEADER_BYTES
        kept = segment.path.with_suffix(".damaged")
        segment.path.rename(kept)
        segment.close()
        return kept

    def tidy(self, *, min_bytes: int = 1 << 20, busy: bool = False) -> None:
        """Drops the last segment too where all of it has been read, it has grown, and no call is under way."""
        with self._lock:
            if len(self._segments) != 1 or busy:
                return
            segment = self._segments[0]
            if segment.size != self._read_at or segment.size < min_bytes:
                return
            self._segments.clear()
            self._read_at = self._next = _HEADER_BYTES
        segment.shred()

    def sync(self) -> None:
        """Everything appended is on the disk afterwards, a power cut included.

        Raises:
            StoreError: the disk refuses.
        """
        with self._lock:
            segments = list(self._segments)
        try:
            for segment in segments:
                segment.sync()
        except OSError as error:
            raise StoreError(f"The journal in {self.folder} cannot be written: {reason(error)}.") from error

    def close(self) -> None:
        """Drops what has been read; keeps the rest for the next one who opens the store."""
        self.tidy(min_bytes=0)
        with self._lock:
            for segment in self._segments:
                segment.close()
            self._segments.clear()


class Recovered(msgspec.Struct, frozen=True):
    """Result of recovering the journals of processes that have ended."""

    n_calls: int = 0
    """New in the store."""
    n_cut_short: int = 0
    """Calls that had begun and never ended, now recorded as aborted."""
    n_damaged: int = 0
    """Journal files set aside because they were changed."""


def recover(folders: Sequence[Path], keyring: KeyRing, store: Store) -> Recovered:
    """Reads what dead processes left in their journals into the store. Does nothing to journals of living ones.

    A journal file that was changed is kept as <name>.damaged, what can be read of it is stored, and a line is logged.

    Raises:
        StoreError: the store cannot take it; the journals stay for the next time.
    """
    key = keyring.derive("journal")
    n_calls = n_cut_short = n_damaged = 0
    for owned in _orphans(folders, key):
        begun: dict[str, Intent] = {}
        for segment in owned:
            for frames in _frames(segment):
                entries: list[Entry] = []
                for kind, data in frames or ():
                    if kind == ENTRIES:
                        entries += _ENTRIES.decode(data)
                    elif kind == INTENTS:
                        begun |= {i.id: i for i in _INTENTS.decode(data)}
                n_calls += store.append_entries(entries)
                for entry in entries:
                    begun.pop(entry.id, None)
                if frames is None:
                    n_damaged += 1
                    segment.path.rename(segment.path.with_suffix(".damaged"))
        n_cut_short += store.append([cut_short(i) for i in begun.values()])
        for segment in owned:
            if segment.path.exists():
                segment.shred()
            else:
                segment.close()
    return Recovered(n_calls=n_calls, n_cut_short=n_cut_short, n_damaged=n_damaged)


def _orphans(folders: Sequence[Path], key: bytes) -> Iterator[list[Segment]]:
    """Segments of dead owners, one owner at a time, in the order they were written."""
    _remove_drafts(folders)
    by_owner: dict[str, list[Segment]] = {}
    for path in sorted(
        (p for f in folders if f.is_dir() for p in f.glob(f"*{_SUFFIX}")), key=lambda p: p.name
    ):
        try:
            segment = Segment.adopt(path, key)
        except (OSError, Tampered) as error:
            _log.error("A journal file is left alone: %s", error)
            continue
        if segment is not None:
            by_owner.setdefault(path.stem.rpartition("-")[0], []).append(segment)
    yield from by_owner.values()


def _remove_drafts(folders: Sequence[Path]) -> None:
    """Segments whose owner died before they had a name: nothing was ever written to them."""
    for path in [p for f in folders if f.is_dir() for p in f.glob("*.new")]:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _DRAFT_S:
                path.unlink()


def _frames(segment: Segment) -> Iterator[list[tuple[int, bytes]] | None]:
    """Frames, some hundred at a time; None at last where one was changed."""
    offset = 0
    while True:
        batch: list[tuple[int, bytes]] = []
        try:
            while len(batch) < _RECOVER_FRAMES:
                # one at a time, so that a changed frame takes none of its elders with it
                frames, offset = segment.read(offset, 1)
                if not frames:
                    break
                batch += frames
        except Tampered as error:
            _log.error(
                "A journal was changed; what came before is stored, the file is kept as .damaged: %s", error
            )
            yield batch
            yield None
            return
        if not batch:
            if offset < segment.size:
                _log.warning(
                    "%s ends in %d bytes of an unfinished frame.", segment.path, segment.size - offset
                )
            return
        yield batch


def left_over(folders: Sequence[Path]) -> bool:
    """True where there is any journal file at all; cheap enough to ask at every opening."""
    return any(f.is_dir() and any(f.glob(f"*{_SUFFIX}")) for f in folders)


def set_aside(folders: Sequence[Path]) -> list[Path]:
    """Journal files that were kept because they had been changed; nobody knows whose calls are in them."""
    return sorted(p for f in folders if f.is_dir() for p in f.glob("*.damaged"))


__all__ = [
    "ENTRIES",
    "INTENTS",
    "Intent",
    "Journal",
    "Recovered",
    "Segment",
    "Take",
    "cut_short",
    "left_over",
    "recover",
    "set_aside",
]
