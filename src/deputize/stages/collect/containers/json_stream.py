"""JSON values out of a stream: JSON lines, one document, several one after another, or arrays of any size.

Values are cut out of the bytes by a scan for brackets and strings, so that one of them that is broken costs no other,
and memory holds one value at a time.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple, TypeAlias

import msgspec

from deputize.stages.collect.containers.decompress import read_some
from deputize.stages.collect.containers.large_document import holds_records

CHUNK_BYTES = 256 * 1024
MAX_CHUNK_BYTES = 4 * 2**20
DOCUMENT_BYTES = 16 * 2**20
"""A document larger than this is streamed where it holds a list of records; decoded whole it takes several times its
size."""
_SPACE = re.compile(rb"[\s\x1e\x00,]*+")
# everything up to the next bracket; a lone quote is a string whose end has not been read yet
_NEXT = re.compile(rb'(?:[^"{}\[\]]++|"[^"\\]*+(?:\\.[^"\\]*+)*+")*+([{}\[\]"]?)', re.DOTALL)
_SCALAR = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[^\s,\[\]{}"]++', re.DOTALL)
_decode = msgspec.json.Decoder().decode


class Oversize(NamedTuple):
    """A value that is larger than allowed: its first bytes, and the rest of the stream where it can be read further."""

    head: bytes
    rest: BinaryIO | None


Found: TypeAlias = "tuple[int, bytes | str | Oversize]"
"""(number, the bytes of a value, or the reason why there is none, or the start of a value that is too large)."""


def split_values(stream: BinaryIO, max_bytes: int) -> Iterator[Found]:
    """The values of a JSON stream: lines where each line is a value, otherwise values wherever they begin and end.

    Lines are numbered as they are, items of arrays by their place, and other values by the line where they begin.

    Args:
        stream: bytes as UTF-8.
        max_bytes: a larger value is an `Oversize`; nothing of an item of an array that is larger is kept.
    """
    number, line = 0, b""
    limit = min(max_bytes, DOCUMENT_BYTES)
    while not line:
        raw = stream.readline(limit + 1)
        if not raw:
            return
        number += 1
        line = b"" if is_comment(raw.strip()) else raw.strip(b" \t\r\n\x00\x1e")
    if line[:1] == b"[":
        yield from _Splitter(raw, stream, max_bytes, number).values()
        return
    if len(raw) > limit and not raw.endswith(b"\n"):
        yield from _Splitter(raw, stream, max_bytes, number).values()
        return
    if _is_whole(line):
        yield number, line
        yield from split_lines(stream, max_bytes, number)
        return
    second = stream.readline(max_bytes + 1)
    if line[:1] != b"{" or (second[:1] == b"{" and _is_whole(second.strip())):
        yield number, line  # a broken line, and lines after it
        if second.strip():
            yield number + 1, second.strip()
        yield from split_lines(stream, max_bytes, number + 1)
        return
    yield from _Splitter(raw + second, stream, max_bytes, number).values()


def split_lines(stream: BinaryIO, max_bytes: int, number: int = 0) -> Iterator[Found]:
    """Every line that is not empty, and no comment."""
    while line := stream.readline(max_bytes + 1):
        number += 1
        if len(line) > max_bytes:
            while line and not line.endswith(b"\n"):
                line = stream.readline(max_bytes)
            yield number, Oversize(b"", None)
        elif (line := line.strip(b" \t\r\n\x00\x1e")) and not is_comment(line):
            yield number, line


def is_comment(line: bytes) -> bool:
    """Check whether a line is a comment, as people write them into files of samples."""
    return line.startswith((b"//", b"#"))


def _is_whole(line: bytes) -> bool:
    """Check whether brackets and strings of a line close at its end and not before; the rest is not looked at."""
    depth, place, end = 0, 0, len(line)
    while place < end:
        match = _NEXT.match(line, place)
        mark = match[1] if match else b""
        place = match.end() if match else end
        if mark in (b"{", b"["):
            depth += 1
        elif mark in (b"}", b"]"):
            depth -= 1
            if depth <= 0:
                return depth == 0 and place == end
        else:
            return False
    return False


class _Splitter:
    """Cuts values out of a stream that is no stream of lines."""

    def __init__(self, head: bytes, stream: BinaryIO, max_bytes: int, line: int) -> None:
        self._data, self._stream, self._max = head, stream, max_bytes
        self._place = 0
        self._line, self._n_items = line, 0
        self._ended = False
        self._looked_at = -1

    def values(self) -> Iterator[Found]:
        in_array, cut = False, False
        while self._skip_space():
            sign = self._data[self._place : self._place + 1]
            if sign == b"[" and not in_array:
                in_array = True
                self._place += 1
            elif sign == b"]":
                in_array = False
                self._place += 1
            else:
                self._n_items += 1
                number = self._n_items if in_array else self._line
                found = self._value(in_array)
                yield number, found
                cut = isinstance(found, str)
                if isinstance(found, Oversize) and found.rest is self._stream:
                    return
        if in_array and not cut:
            yield self._n_items + 1, "the array is cut off here"

    def _skip_space(self) -> bool:
        """Goes on to the next sign that means something; False at the end of the stream."""
        while True:
            match = _SPACE.match(self._data, self._place)
            end = match.end() if match else self._place
            self._line += self._data.count(b"\n", self._place, end)
            self._place = end
            if end < len(self._data):
                return True
            if not self._more():
                return False

    def _more(self) -> bool:
        """Reads on, and forgets what lies before the current place."""
        # doubled, so that long strings are cheap
        n_wanted = max(CHUNK_BYTES, min(MAX_CHUNK_BYTES, len(self._data) - self._place))
        chunk = b"" if self._ended else read_some(self._stream, n_wanted)
        self._ended = not chunk
        self._data = self._data[self._place :] + chunk
        self._place = 0
        return bool(chunk)

    def _value(self, in_array: bool) -> bytes | str | Oversize:
        if self._data[self._place : self._place + 1] not in (b"{", b"["):
            return self._scalar()
        depth, at, kept = 0, self._place, True
        while True:
            match = _NEXT.match(self._data, at)
            mark = match[1] if match else b""
            if mark in (b"", b'"'):  # the buffer ends in the middle
                at = (match.end() - len(mark) if match else at) - self._place
                if not kept:
                    self._place, at = self._place + at, 0
                    self._forget_string()
                elif not in_array and self._is_to_be_streamed():
                    return Oversize(self._data[self._place :], self._stream)
                elif len(self._data) - self._place > self._max:
                    kept, self._place, at = False, self._place + at, 0
                if not self._more():
                    self._place = len(self._data)
                    return "not JSON: the file is cut off inside this value" if kept else Oversize(b"", None)
                at += self._place
                continue
            at = match.end() if match else at
            depth += 1 if mark in (b"{", b"[") else -1
            if depth == 0:
                value = self._data[self._place : at]
                self._line += value.count(b"\n")
                self._place = at
                if kept and len(value) <= self._max:
                    return value
                # what is whole in memory can be read further too, but for the items of an array
                return Oversize(b"", None) if in_array else Oversize(value, io.BytesIO())

    def _is_to_be_streamed(self) -> bool:
        """Check once whether a document that grows large holds a list of records; one that is too large is given up
        anyway."""
        n_bytes = len(self._data) - self._place
        if n_bytes > self._max:
            return True
        if n_bytes <= DOCUMENT_BYTES or self._looked_at == self._line:
            return False
        self._looked_at = self._line
        return holds_records(self._data[self._place :])

    def _forget_string(self) -> None:
        """Drops what has been read of a string whose end has not come, of a value that is not kept."""
        if self._data[self._place : self._place + 1] == b'"':
            n_escapes = len(self._data) - len(self._data.rstrip(b"\\"))
            self._data, self._place = b'"' + b"\\" * (n_escapes % 2), 0

    def _scalar(self) -> bytes | str:
        """A text, number or word; whatever it is, it is no object."""
        while True:
            match = _SCALAR.match(self._data, self._place)
            if match and match.end() < len(self._data):
                self._place = match.end()
                return match[0]
            if len(self._data) - self._place > self._max or not self._more():
                value = self._data[self._place :] if len(self._data) - self._place <= 64 else b"0"
                self._place = len(self._data)
                return value


def decode_value(data: bytes) -> tuple[Any, str]:
    """(value, "") of a JSON text, or (None, the reason why it is none).

    NaN and infinities become null, and half of a surrogate pair becomes U+FFFD: Python and JavaScript write both.
    """
    try:
        return _decode(data), ""
    except (msgspec.DecodeError, UnicodeDecodeError):
        pass
    except RecursionError:
        return None, "nested too deeply"
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return None, "not UTF-8; convert the file with iconv"
    if text.startswith(("{'", "[{'", "['")):
        return None, "Python's own notation, not JSON; write it with json.dumps"
    try:
        value = json.loads(text, parse_constant=lambda _: None, parse_int=_whole_number, strict=False)
    except ValueError:
        return None, "not JSON"
    except RecursionError:
        return None, "nested too deeply"
    try:
        return whole_text(value), ""
    except RecursionError:
        return None, "nested too deeply"


def _whole_number(digits: str) -> int | None:
    """A whole number; None for one of more digits than a number has that anybody counted."""
    return int(digits) if len(digits) <= 300 else None


def whole_text(value: Any) -> Any:
    """The same value with U+FFFD in the place of halves of surrogate pairs, which no UTF-8 can hold."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [whole_text(item) for item in value]
    if isinstance(value, dict):
        return {whole_text(key): whole_text(item) for key, item in value.items()}
    return value


def decode_line(line: bytes) -> Iterator[tuple[Any, str]]:
    """The values of one line: usually one, several where they stand one after another, and what follows a prefix."""
    value, reason = decode_value(line)
    if not reason:
        yield value, ""
        return
    if reason != "not JSON":
        yield None, reason
        return
    start = line.find(b"{") if line[:1] not in b"{[" else 0
    if start > 0:  # a prefix, as log collectors and terminals write it
        value, reason = decode_value(line[start:].rstrip(b" ,"))
        yield (value, "") if isinstance(value, dict) else (None, "not JSON")
        return
    parts = [part for _, part in _Splitter(line, io.BytesIO(), len(line) + 1, 1).values()]
    decoded = [decode_value(part) for part in parts if isinstance(part, bytes)]
    if line[:1] in b"{" and len(decoded) == len(parts) and all(isinstance(v, dict) for v, _ in decoded):
        yield from decoded
    else:
        yield None, "not JSON"
