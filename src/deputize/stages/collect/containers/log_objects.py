"""Objects of a log file, whatever it is packed in. What cannot be had is a Skip that says why, never an exception."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput
from deputize.stages.collect.containers.archives import archive_of, members
from deputize.stages.collect.containers.decompress import (
    MAX_NESTING,
    Counted,
    ExpandsTooFar,
    Expansion,
    UnreadableFile,
    buffered,
    damages,
    decompressed,
)
from deputize.stages.collect.containers.json_stream import Oversize, decode_line, decode_value, split_values
from deputize.stages.collect.containers.large_document import large_document_records
from deputize.stages.collect.containers.log_files import LogFile, find_log_files, open_log, shown_name
from deputize.stages.collect.containers.otlp_protobuf import is_otlp_name, otlp_exports
from deputize.stages.collect.containers.tabular import arrow_rows, csv_rows, parquet_rows
from deputize.stages.collect.containers.text_formats import text_form, without_bom
from deputize.stages.collect.containers.yaml_text import yaml_documents

MAX_VALUE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class LogObject:
    """One object of a log and where it stands."""

    file: str
    """Name of the file; of a member of an archive: archive!member."""
    line: int
    value: dict[str, Any] | Skip
    around: dict[str, Any] = field(default_factory=dict)
    """Fields of the document that the object is in, such as the trace of an observation."""


def read_path(path: Path, *, max_value_bytes: int = MAX_VALUE_BYTES) -> Iterator[LogObject]:
    """The objects of one file. Raises BadInput where it cannot be opened or read."""
    for file in find_log_files([path]).files:
        yield from read_objects(file, max_value_bytes=max_value_bytes)


def read_objects(
    file: LogFile, *, max_value_bytes: int = MAX_VALUE_BYTES, unpack_all: bool = False
) -> Iterator[LogObject]:
    """The objects of a file: of lines, arrays, documents, tables and the members of archives.

    Read as a stream: memory holds one object at a time, of a table one batch.

    Args:
        file: the file.
        max_value_bytes: a larger object is skipped.
        unpack_all: unpack a file however far it expands.

    Raises:
        BadInput: the file cannot be opened or read, or it expands too far (decompress.Expansion).
        MissingExtra: a package that its form needs is not installed.
    """
    with open_log(file) as stream:
        is_seekable = stream.seekable()
        expansion = Expansion(_size(stream) if is_seekable else 0, is_bounded=not unpack_all)
        reader = _Reader(max_value_bytes, expansion)
        try:
            whole = stream if is_seekable else buffered(Counted(stream, expansion.read))
            yield from reader.read(file.name, whole, stream if is_seekable else None)
        except ExpandsTooFar as why:
            raise BadInput(
                f"{shown_name(file.address)} {why}; it was read to line {reader.line} of {reader.file}. "
                "Where it is an honest log, `deputize import --unpack-all` reads it whole."
            ) from None
        except UnreadableFile as why:
            # a file of another kind in a folder of logs is left out, one that was named could not be read
            is_other = not file.named and reader.line == 0
            skip = Skip(file=reader.file or file.name, line=reader.line, reason=str(why), is_no_call=is_other)
            yield LogObject(skip.file, reader.line, skip)
        except tuple(damages()):
            reason = "the compressed data are damaged or cut off here"
            yield LogObject(
                reader.file or file.name,
                reader.line + 1,
                Skip(file=reader.file or file.name, line=reader.line + 1, reason=reason),
            )
        except OSError as error:
            text = (error.strerror or str(error)).rstrip(".")
            raise BadInput(f"{file.address} cannot be read after line {reader.line}: {text}.") from error


class _Reader:
    """Reads one file, and remembers how far it came."""

    def __init__(self, max_value_bytes: int, expansion: Expansion) -> None:
        self._max, self._expansion = max_value_bytes, expansion
        self.file, self.line = "", 0

    def read(
        self, name: str, stream: BinaryIO, seekable: BinaryIO | None, depth: int = 0
    ) -> Iterator[LogObject]:
        self.file, self.line = name, 0
        if depth > MAX_NESTING:
            raise UnreadableFile(f"archives packed in each other more than {MAX_NESTING} times")
        head, stream, compressed = decompressed(stream, self._expansion)
        if compressed:
            seekable = None
        if kind := archive_of(head):
            if kind == "zip" and seekable is not None:
                seekable.seek(0)
            for member, inner in members(kind, stream, seekable, self._expansion):
                yield from self._read_member(f"{name}!{shown_name(member)}", inner, depth)
            return
        if is_otlp_name(name):
            yield from self._numbered(name, otlp_exports(stream, self._max, self._expansion))
            return
        head, stream = without_bom(head, stream)
        form = text_form(head, name.removesuffix(".gz"))
        if form in ("parquet", "arrow") and seekable is not None:
            seekable.seek(0)
        if form == "json":
            yield from self._json(name, stream)
        elif form == "csv":
            for number, row in csv_rows(stream, head, self._max):
                self.line = number
                yield LogObject(name, number, row)
        elif form == "yaml":
            yield from self._numbered(name, yaml_documents(stream))
        elif form == "parquet":
            yield from self._numbered(name, parquet_rows(stream, seekable, self._expansion))
        elif form in ("arrow", "arrow_stream"):
            yield from self._numbered(
                name, arrow_rows(stream, seekable, self._expansion, is_stream=form == "arrow_stream")
            )

    def _read_member(self, name: str, stream: BinaryIO, depth: int) -> Iterator[LogObject]:
        """The objects of a member; one that cannot be read costs no other."""
        try:
            yield from self.read(name, stream, None, depth + 1)
        except ExpandsTooFar:
            raise
        except UnreadableFile as why:
            yield self._skip(str(why))

    def _skip(self, reason: str) -> LogObject:
        return LogObject(self.file, self.line, Skip(file=self.file, line=self.line, reason=reason))

    def _numbered(self, name: str, rows: Iterator[Any]) -> Iterator[LogObject]:
        for self.line, row in enumerate(rows, 1):
            yield from self._object(name, row)

    def _json(self, name: str, stream: BinaryIO) -> Iterator[LogObject]:
        for number, found in split_values(stream, self._max):
            self.line = number
            if isinstance(found, Oversize):
                if found.rest is None or found.head.lstrip()[:1] != b"{":
                    yield self._skip(f"longer than {_in_words(self._max)}")
                    continue
                for self.line, (record, around) in enumerate(
                    large_document_records(found.head, found.rest), 1
                ):
                    yield LogObject(name, self.line, record, around)
            elif isinstance(found, str):
                yield self._skip(found)
            else:
                for value, reason in decode_line(found):
                    if reason:
                        yield self._skip(reason)
                    else:
                        yield from self._object(name, value)

    def _object(self, name: str, value: Any) -> Iterator[LogObject]:
        """The object, or the objects of a list that stands where an object is wanted."""
        if isinstance(value, str) and value[:1] in ("{", "["):  # JSON that was written as JSON once more
            value = decode_value(value.encode("utf-8", "replace"))[0]
        if isinstance(value, dict):
            yield LogObject(name, self.line, value)
        elif isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
            for item in value:
                yield LogObject(name, self.line, item)
        else:
            yield self._skip("not a JSON object")


def _size(stream: BinaryIO) -> int:
    n_bytes = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    return n_bytes


def _in_words(n_bytes: int) -> str:
    return f"{n_bytes // 2**20} MiB" if n_bytes >= 2**20 else f"{n_bytes} bytes"
