"""The format of a stream of bytes, detected from its first bytes: JSON, CSV, YAML, a table file, or something that is
no log."""

from __future__ import annotations

import codecs
import io
import re
from typing import BinaryIO, Literal

from deputize.stages.collect.containers.decompress import (
    HEAD_BYTES,
    UnreadableFile,
    buffered,
    read_some,
    with_head,
)

TextForm = Literal["json", "csv", "yaml", "parquet", "arrow", "arrow_stream", "empty"]

_TABLES: tuple[tuple[bytes, TextForm], ...] = (
    (b"PAR1", "parquet"),
    (b"ARROW1", "arrow"),
    (b"\xff\xff\xff\xff", "arrow_stream"),
)
_BINARY = {
    b"SQLite format 3\x00": "an SQLite database; export the table as CSV or JSON lines",
    b"%PDF": "a PDF document",
    b"Obj\x01": "an Avro file; export it as JSON lines or Parquet",
    b"ORC": "an ORC file; export it as JSON lines or Parquet",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it first",
    b"Rar!": "a RAR archive; unpack it first",
    b"\x04\x22\x4d\x18": "compressed with lz4; unpack it first",
    b"\x89PNG": "an image",
    b"\xff\xd8\xff": "an image",
    b"\xd0\xcf\x11\xe0": "a document of an office program; save the table as CSV",
    b"\x80\x04\x95": "a Python pickle; export it as JSON lines",
    b"ARC1": "an archive of an unknown kind",
}
_TEXTS = (
    (rb"version https://git-lfs", "a git-lfs pointer, not the data themselves; run git lfs pull"),
    (rb"(?i)<!doctype html|<html", "an HTML page, not a log"),
    (rb"<\?xml|<[a-zA-Z]", "an XML document; export it as JSON lines"),
    (
        rb"# aider chat started",
        "a chat history of Aider (Markdown), which holds neither system prompts nor whole requests",
    ),
    (
        rb"(?:(?:event|id|retry): ?\S[^\r\n]*\r?\n)*data: ?[\[{]",
        "a stream of server-sent events without the request that it answers",
    ),
    (
        rb"\d+:(?:\d+:|.{0,40}(?:;|,|\x00))[\s\S]{0,400}(?:websocket|backup|response|version|intercepted)",
        "a flow file of mitmproxy; export it as HAR (mitmdump --set hardump=FILE)",
    ),
)
_YAML = re.compile(rb"(?:---\s|interactions:|version: \d+\s+interactions:|[A-Za-z_]+:(?: .*)?\r?\n(?:[ -]))")
_CSV_NAME = re.compile(rb'\s*"?[A-Za-z_](?:[\w .:/()\-]{0,60}[\w)])?"?\s*')
CSV_DELIMITERS = b",;\t|"


def without_bom(head: bytes, stream: BinaryIO) -> tuple[bytes, BinaryIO]:
    """(first bytes, stream) as UTF-8 without a byte order mark; UTF-16 and UTF-32 are detected by their mark or
    zeros."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8"),
        (codecs.BOM_UTF32_LE, "utf-32"),
        (codecs.BOM_UTF32_BE, "utf-32"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            if name == "utf-8":
                stream.read(len(mark))
                return head[len(mark) :], stream
            return _recoded(stream, name)
    if len(head) >= 4 and head[0] and not head[1] and head[2] and not head[3]:
        return _recoded(stream, "utf-16-le")
    if len(head) >= 4 and not head[0] and head[1] and not head[2] and head[3]:
        return _recoded(stream, "utf-16-be")
    return head, stream


def _recoded(stream: BinaryIO, encoding: str) -> tuple[bytes, BinaryIO]:
    return with_head(buffered(_Recoded(stream, encoding)))


class _Recoded(io.RawIOBase):
    """A stream of another encoding as UTF-8; what cannot be decoded becomes U+FFFD."""

    def __init__(self, inner: BinaryIO, encoding: str) -> None:
        self._inner = inner
        self._decoder = codecs.getincrementaldecoder(encoding)("replace")
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        while not self._left:
            data = read_some(self._inner, 64 * 1024)
            self._left = self._decoder.decode(data, not data).encode("utf-8", "replace")
            if not data:
                break
        out, self._left = self._left[: len(buffer)], self._left[len(buffer) :]
        buffer[: len(out)] = out
        return len(out)


def text_form(head: bytes, name: str) -> TextForm:
    """The form of a decompressed stream.

    Args:
        head: its first bytes.
        name: of its file, of which only the ending is looked at, and only for text that is no JSON.

    Raises:
        UnreadableFile: it is something that holds no log, or in a form that is not read; says which.
    """
    for magic, form in _TABLES:
        if head.startswith(magic):
            return form
    for magic, what in _BINARY.items():
        if head.startswith(magic):
            raise UnreadableFile(what)
    text = head.lstrip(b" \t\r\n\x1e\x00\x0b\x0c")
    if not text:  # logs that were rotated by cutting them begin with zeros
        return "json" if len(head) >= HEAD_BYTES else "empty"
    for pattern, what in _TEXTS:
        if re.match(pattern, text):
            raise UnreadableFile(what)
    if text[:1] in b"{[":
        return "json"
    ending = name.lower().rsplit(".", 1)[-1]
    if ending in ("yaml", "yml") or _YAML.match(text):
        return "yaml"
    if ending in ("csv", "tsv") or _is_header(text):
        return "csv"
    if sum(byte < 9 or 13 < byte < 32 for byte in text) > len(text) // 50:
        raise UnreadableFile("binary data of an unknown kind")
    if b'{"' in text or text.startswith((b"//", b"#")) or ending in ("json", "jsonl", "ndjson", "log"):
        return "json"
    raise UnreadableFile("text in no form that is read: JSON, JSON lines, CSV, YAML, Parquet or Arrow")


def _is_header(text: bytes) -> bool:
    """Check whether the first line is the header of a CSV file: names, separated by one sign."""
    line, newline, rest = text.partition(b"\n")
    delimiter = csv_delimiter(line)
    cells = line.rstrip(b"\r").split(delimiter)
    is_named = bool(newline) and len(cells) > 1 and all(_CSV_NAME.fullmatch(cell) for cell in cells)
    return is_named and (delimiter in rest or b'"' in rest or not rest)


def csv_delimiter(line: bytes) -> bytes:
    """The sign that separates the cells of a header."""
    return max((CSV_DELIMITERS[i : i + 1] for i in range(len(CSV_DELIMITERS))), key=line.count)
