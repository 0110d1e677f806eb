"""Lines of log files: JSON lines or one JSON array, plain or gzip (detected by the first bytes, not by the name).

A line that cannot be had is a Skip that names it, never an exception. Knows nothing of what the lines mean.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput

MAX_LINE_BYTES = 64 * 2**20
MAX_ARRAY_BYTES = 512 * 2**20
_GZIP_MAGIC = b"\x1f\x8b"


def read_objects(
    path: Path, *, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[tuple[int, dict[str, Any] | Skip]]:
    """(line number, JSON object) of every line that is not empty; a Skip in the place of a line that holds none.

    Read as a stream: memory holds one line at a time, but a file that is one JSON array is read whole. The items of
    an array are numbered like lines.

    Args:
        path: the file.
        max_line_bytes: a longer line is skipped, and no more than this of it is in memory.

    Raises:
        BadInput: the file cannot be opened or read.
    """
    for number, line in _read_lines(path, max_line_bytes):
        found = line if isinstance(line, str) else _decode(line)
        yield number, Skip(file=path.name, line=number, reason=found) if isinstance(found, str) else found


def check_readable(path: Path) -> None:
    """Raises BadInput where a file cannot be opened."""
    try:
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist.") from None
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error


def _read_lines(path: Path, max_line_bytes: int) -> Iterator[tuple[int, bytes | str]]:
    """(line number, bytes) of every line that is not empty; a str in the place of bytes is the reason for a skip."""
    check_readable(path)
    number = 0
    try:
        with path.open("rb") as raw:
            is_gzip = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
            raw.seek(0)
            stream: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if is_gzip else raw
            while line := stream.readline(max_line_bytes + 1):
                number += 1
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if len(line) > max_line_bytes:
                    _skip_rest_of_line(stream, line, max_line_bytes)
                    yield number, f"longer than {_in_words(max_line_bytes)}"
                elif number == 1 and line.lstrip().startswith(b"["):
                    yield from _array_items(line + stream.read(MAX_ARRAY_BYTES))
                    return
                elif line := line.strip():
                    yield number, line
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield number + 1, "the compressed data are damaged or cut off here"
    except OSError as error:
        raise BadInput(f"{path} cannot be read after line {number}: {error.strerror or error}.") from error


def _skip_rest_of_line(stream: io.BufferedIOBase, line: bytes, max_line_bytes: int) -> None:
    while line and not line.endswith(b"\n"):
        line = stream.readline(max_line_bytes)


def _in_words(n_bytes: int) -> str:
    return f"{n_bytes // 2**20} MiB" if n_bytes >= 2**20 else f"{n_bytes} bytes"


def _array_items(data: bytes) -> Iterator[tuple[int, bytes | str]]:
    try:
        items = msgspec.json.decode(data, type=list[msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError):
        yield 1, "starts like a JSON array but is not one"
        return
    for number, item in enumerate(items, 1):
        yield number, bytes(item)


def _decode(line: bytes) -> dict[str, Any] | str:
    """The object that a line holds, or the reason why it holds none."""
    try:
        value = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return "not JSON"
    return value if isinstance(value, dict) else "not a JSON object"
