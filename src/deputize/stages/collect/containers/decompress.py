"""Compressed streams by their first bytes, nested ones too, with a bound on how much a small file may expand to."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

from deputize.core.errors import MissingExtra

HEAD_BYTES = 512
MAX_NESTING = 4
FREE_BYTES = 32 * 2**20
"""A file may always expand to this much."""
MAX_RATIO = 100
"""Beyond it: to this many times its own bytes. Logs that repeat their prompts were seen at up to 52 with gzip."""
FAR_MAX_RATIO = 200
"""The same for bz2, xz and zstd, which find repeats that lie far apart: the same logs were seen at up to 137 with
xz."""
TABLE_MAX_RATIO = 1000
"""The same for tables, which may hold a text that recurs once."""

_MAGIC = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x5d\x00\x00": "xz",  # LZMA's file format before xz
    b"\x28\xb5\x2f\xfd": "zstd",
}


class UnreadableFile(Exception):
    """The reason why the rest of a file cannot be read; holds nothing of the file."""


class ExpandsTooFar(UnreadableFile):
    """A file expands to far more than logs do; nothing further of it is read."""


class Expansion:
    """How far one file has expanded: the bytes of all its members and of all layers of compression, against its own
    bytes."""

    def __init__(self, n_packed: int = 0, *, is_bounded: bool = True) -> None:
        """
        Args:
            n_packed: the size of the file in bytes; 0 where it is not known before it is read, and `read` is told.
            is_bounded: False: expand without a bound.
        """
        self._n_packed, self._n_unpacked, self._is_bounded = n_packed, 0, is_bounded
        self._max_ratio = MAX_RATIO

    def enter(self, compression: str) -> None:
        """Sets the bound by a compression that was met, or a "table"."""
        if compression != "gzip":
            self._max_ratio = max(
                self._max_ratio, TABLE_MAX_RATIO if compression == "table" else FAR_MAX_RATIO
            )

    def read(self, n_bytes: int) -> None:
        """Counts bytes read of the file itself."""
        self._n_packed += n_bytes

    def unpacked(self, n_bytes: int) -> None:
        """Counts bytes unpacked from it. Raises ExpandsTooFar where they are too many."""
        self._n_unpacked += n_bytes
        if self._is_bounded and self._n_unpacked > max(FREE_BYTES, self._max_ratio * self._n_packed):
            raise ExpandsTooFar(f"unpacks to more than {self._max_ratio} times its size, as no log does")


def compression_of(head: bytes) -> str:
    """The compression of a stream that begins with `head`; "" where there is none that is known."""
    name = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), "")
    # zstd archives may begin with a frame to be skipped: 0x184D2A50 to 0x184D2A5F
    if not name and len(head) >= 4 and head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50:
        return "zstd"
    return "" if name == "bzip2" and head[3:4] not in (*(b"%d" % n for n in range(1, 10)),) else name


def read_some(stream: BinaryIO, n_bytes: int) -> bytes:
    """At least one byte where there is one, without waiting for more: what is whole before a cut is not lost to it."""
    read1 = getattr(stream, "read1", None)
    return bytes(read1(n_bytes) if read1 is not None else stream.read(n_bytes))


class Counted(io.RawIOBase):
    """A stream that tells how many bytes are read from it."""

    def __init__(self, inner: BinaryIO, count: Callable[[int], None]) -> None:
        self._inner, self._count = inner, count

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = read_some(self._inner, len(buffer))
        buffer[: len(data)] = data
        self._count(len(data))
        return len(data)


class _After(io.RawIOBase):
    """Bytes that were read to look at them, then the rest of their stream."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = head, rest

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._head:
            data, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            data = read_some(self._rest, len(buffer))
        buffer[: len(data)] = data
        return len(data)


def buffered(raw: io.RawIOBase) -> BinaryIO:
    """A raw stream with a buffer."""
    return cast(BinaryIO, io.BufferedReader(raw, 256 * 1024))


def with_head(stream: BinaryIO, n_bytes: int = HEAD_BYTES) -> tuple[bytes, BinaryIO]:
    """(the first bytes of a stream, the whole stream)."""
    head = b""
    while len(head) < n_bytes and (more := read_some(stream, n_bytes - len(head))):
        head += more
    return head, buffered(_After(head, stream))


def decompressed(stream: BinaryIO, expansion: Expansion) -> tuple[bytes, BinaryIO, bool]:
    """(first bytes, stream, whether it was compressed) after all layers of compression are taken off.

    Args:
        stream: a file, or a member of one.
        expansion: told what is unpacked.

    Raises:
        UnreadableFile: packed too often, or, here or when the stream is read, expanded too far.
        MissingExtra: zstandard is not installed.
    """
    head, inner = with_head(stream)
    for depth in range(MAX_NESTING + 1):
        kind = compression_of(head)
        if not kind:
            return head, inner, depth > 0
        expansion.enter(kind)
        if depth < MAX_NESTING:
            head, inner = with_head(buffered(Counted(_opened(kind, inner), expansion.unpacked)))
    raise UnreadableFile(f"compressed more than {MAX_NESTING} times")


def _opened(kind: str, stream: BinaryIO) -> BinaryIO:
    if kind == "gzip":
        return cast(BinaryIO, gzip.GzipFile(fileobj=stream))
    if kind == "bzip2":
        return cast(BinaryIO, bz2.BZ2File(stream))
    if kind == "xz":
        return cast(BinaryIO, lzma.LZMAFile(stream))
    return unpacked_zstd(stream)


def unpacked_zstd(stream: BinaryIO) -> BinaryIO:
    """The contents of the frames of a zstd file. Reading it raises EOFError where one is cut off.

    Raises:
        MissingExtra: zstandard is not installed.
    """
    try:
        import zstandard
    except ImportError:
        raise MissingExtra.package("zstandard", "all") from None
    # a frame may ask for a window of gigabytes; 128 MiB is what `zstd --long` writes
    decompressor = zstandard.ZstdDecompressor(max_window_size=2**27)
    return buffered(_ZstdFrames(stream, decompressor.decompressobj))


class _ZstdFrames(io.RawIOBase):
    """The frames of a zstd file one after another; one that is cut off is an error, which the package's own reader
    hides."""

    STEP_BYTES = 1024
    """Read at a time: a kilobyte may stand for 32 MiB."""

    def __init__(self, inner: BinaryIO, new_frame: Callable[[], Any]) -> None:
        self._inner, self._new_frame = inner, new_frame
        self._frame: Any = None
        self._packed, self._left = b"", memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            data = self._packed or self._inner.read(self.STEP_BYTES)
            if not data:
                if self._frame is not None:
                    raise EOFError
                return 0
            frame = self._frame or self._new_frame()
            self._left = memoryview(frame.decompress(data))
            self._packed = frame.unused_data if frame.eof else b""
            self._frame = None if frame.eof else frame
        out, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(out)] = out
        return len(out)


def damages() -> Iterator[type[Exception]]:
    """The errors by which the packages say that compressed data are damaged or cut off."""
    yield from (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError)
    try:
        import zstandard
    except ImportError:
        return
    yield zstandard.ZstdError
