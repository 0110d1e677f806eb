"""Rows of tables: CSV, Parquet and Arrow files, each row as a JSON object."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any, BinaryIO, TextIO

from deputize.core.errors import MissingExtra
from deputize.stages.collect.containers.decompress import Expansion, UnreadableFile
from deputize.stages.collect.containers.json_stream import whole_text
from deputize.stages.collect.containers.text_formats import csv_delimiter

BATCH_ROWS = 256
_SLICE_ROWS = 16
"""Rows of a batch that are taken out of it at a time: each then has a copy of its own of a text that the batch holds
once."""
TOO_LARGE = "a cell of the CSV file is not closed, or larger than allowed"
MAX_TABLE_IN_MEMORY = 512 * 2**20
"""A Parquet or Arrow file that cannot be sought in is read whole up to this size."""


def csv_rows(stream: BinaryIO, head: bytes, max_cell_bytes: int) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line, row) of a CSV file with a header; empty cells are left out. The separator is detected from the header.

    Raises:
        UnreadableFile: a cell is larger than allowed, which is what a quote that is never closed looks like.
    """
    csv.field_size_limit(max_cell_bytes)
    delimiter = csv_delimiter(head.lstrip().partition(b"\n")[0]).decode()
    text = io.TextIOWrapper(stream, "utf-8", errors="replace", newline="")
    reader = csv.DictReader(_lines(text, max_cell_bytes), delimiter=delimiter)
    try:
        for row in reader:
            filled = {
                key: value
                for key, value in row.items()
                if isinstance(key, str) and isinstance(value, str) and value
            }
            yield reader.line_num, filled
    except csv.Error:
        raise UnreadableFile(TOO_LARGE) from None


def _lines(text: TextIO, max_chars: int) -> Iterator[str]:
    """Lines without NUL, none of which is held whole where it is longer than a cell may be."""
    while line := text.readline(max_chars + 1):
        if len(line) > max_chars:
            raise UnreadableFile(TOO_LARGE)
        yield line.replace("\x00", "") if "\x00" in line else line


def parquet_rows(
    stream: BinaryIO, seekable: BinaryIO | None, expansion: Expansion
) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file, batch by batch.

    Raises:
        UnreadableFile: the file is damaged, expands too far, or is too large to be read from a stream that cannot be
            sought in.
        MissingExtra: pyarrow is not installed.
    """
    pyarrow = _pyarrow()
    import pyarrow.parquet as parquet

    try:
        file = parquet.ParquetFile(seekable or _in_memory(stream))
        for batch in file.iter_batches(batch_size=BATCH_ROWS):
            yield from _batch_rows(batch, expansion)
    except (pyarrow.ArrowException, OSError):
        raise UnreadableFile("the Parquet file is damaged or cut off") from None


def arrow_rows(
    stream: BinaryIO, seekable: BinaryIO | None, expansion: Expansion, *, is_stream: bool
) -> Iterator[dict[str, Any]]:
    """Rows of an Arrow (Feather) file or stream, batch by batch.

    Raises:
        UnreadableFile: the file is damaged, expands too far, or is too large to be read from a stream that cannot be
            sought in.
        MissingExtra: pyarrow is not installed.
    """
    pyarrow = _pyarrow()
    import pyarrow.ipc as ipc

    try:
        if is_stream:
            for batch in ipc.open_stream(stream):
                yield from _batch_rows(batch, expansion)
            return
        file = ipc.open_file(seekable or _in_memory(stream))
        for number in range(file.num_record_batches):
            yield from _batch_rows(file.get_batch(number), expansion)
    except (pyarrow.ArrowException, OSError):
        raise UnreadableFile("the Arrow file is damaged or cut off") from None


def _batch_rows(batch: Any, expansion: Expansion) -> Iterator[dict[str, Any]]:
    expansion.enter("table")
    for start in range(0, batch.num_rows, _SLICE_ROWS):
        for row in batch.slice(start, _SLICE_ROWS).to_pylist():
            expansion.unpacked(_n_chars(row))
            yield as_json(row)


def _n_chars(value: Any) -> int:
    """Characters and bytes of the texts in a value of a table."""
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(map(_n_chars, value.values()))
    return sum(map(_n_chars, value)) if isinstance(value, list | tuple) else 0


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise MissingExtra.package("pyarrow", "parquet") from None
    return pyarrow


def _in_memory(stream: BinaryIO) -> io.BytesIO:
    data = stream.read(MAX_TABLE_IN_MEMORY + 1)
    if len(data) > MAX_TABLE_IN_MEMORY:
        raise UnreadableFile("a table of more than 512 MiB that cannot be sought in; unpack it first")
    return io.BytesIO(data)


def as_json(value: Any) -> Any:
    """A value of a table or a YAML document as JSON has it: times as ISO 8601, maps as objects, no empty fields.

    Bytes stay bytes.
    """
    if value is None or isinstance(value, bool | int | float | bytes):
        return value
    if isinstance(value, str):
        return value if value.isascii() else whole_text(value)
    if isinstance(value, dict):
        return {str(k): as_json(v) for k, v in value.items() if v is not None or k == "content"}
    if isinstance(value, list | tuple):
        if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
            return {str(k): as_json(v) for k, v in value}
        return [as_json(item) for item in value]
    if hasattr(value, "isoformat"):
        return value.isoformat()
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)
