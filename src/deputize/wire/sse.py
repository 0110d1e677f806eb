"""Server-sent events: whole frames out of arbitrary reads, and back. Knows nothing of what the frames mean."""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from deputize.core.errors import UpstreamError

# a blank line under every mix of the three line ends the standard allows
_BLANK = re.compile(rb"(?:\r\n|\n|\r(?!\n))(?:\r\n|\n|\r)")
_LINE = re.compile(r"\r\n|\n|\r")


class SseFrame(NamedTuple):
    """One event as it came: the raw bytes with their closing blank line, and what was parsed from a copy."""

    raw: bytes
    event: str
    data: str
    """The `data:` lines joined by a newline; "" for comments, heartbeats and anything else without data."""


class FrameSplitter:
    """Cuts a byte stream into SSE frames; every byte that goes in comes out exactly once, in order.

    Some servers end their frames with one line end in place of two: a line of data that is whole JSON is a frame of its
    own where another one follows it.

    Args:
        max_frame_bytes: a single frame longer than this is refused; None where whoever feeds it bounds the stream.
    """

    __slots__ = ("_buffer", "_max", "_searched")

    def __init__(self, max_frame_bytes: int | None = None) -> None:
        self._buffer = bytearray()
        self._searched = 0
        """Bytes of the buffer in which no frame ends."""
        self._max = max_frame_bytes

    def feed(self, chunk: bytes) -> list[SseFrame]:
        """The frames completed by this read.

        Raises:
            UpstreamError: a frame is longer than allowed.
        """
        buffer = self._buffer
        if buffer:
            buffer += chunk
            frames, start = _cut(buffer, max(0, self._searched - 3))
            if start:
                del buffer[:start]
        else:
            frames, start = _cut(chunk, 0)
            buffer += chunk[start:] if start else chunk
        self._searched = len(buffer)
        if buffer:
            if buffer.startswith(b"data:") and b"\n" in chunk:
                self._cut_lines(frames)
            if self._max is not None and len(buffer) > self._max:
                raise UpstreamError(f"The upstream sent a stream frame of more than {self._max} bytes.")
        return frames

    def _cut_lines(self, frames: list[SseFrame]) -> None:
        """Takes lines of data that are frames of their own."""
        buffer, start = self._buffer, 0
        while (end := buffer.find(b"\n", start)) >= 0 and buffer.startswith(b"data:", end + 1):
            line = bytes(buffer[start : end + 1])
            if not _is_whole(line[5:].strip()):
                break
            frames.append(parse_frame(line))
            start = end + 1
        if start:
            del buffer[:start]
            self._searched = len(buffer)

    def rest(self) -> bytes:
        """The bytes left without a closing blank line (at the end of the stream)."""
        left = bytes(self._buffer)
        self._buffer.clear()
        self._searched = 0
        return left


def _cut(buffer: bytes | bytearray, searched: int) -> tuple[list[SseFrame], int]:
    """The whole frames in a buffer, and where they end.

    Args:
        buffer: begins with a frame.
        searched: no frame ends before this place.
    """
    frames: list[SseFrame] = []
    start = 0
    if buffer.find(b"\r", searched) >= 0:  # not from the start: a long frame comes in many pieces
        # a carriage return at the very end may be half of \r\n: the regex still cuts at a blank line there, and the
        # stray \n of the next read becomes an empty frame, which every reader ignores
        for match in _BLANK.finditer(buffer, searched):
            frames += frames_of(bytes(buffer[start : match.end()]))
            start = match.end()
    else:
        cut = buffer.find(b"\n\n", searched)
        while cut >= 0:
            frames += frames_of(bytes(buffer[start : cut + 2]))
            start = cut + 2
            cut = buffer.find(b"\n\n", start)
    return frames, start


def _is_whole(data: bytes) -> bool:
    """True where a line of data is an end mark or a JSON value of its own."""
    if data == b"[DONE]":
        return True
    if not data.startswith(b"{"):
        return False
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def frames_of(raw: bytes) -> list[SseFrame]:
    """The frame that bytes up to a blank line are; one for each line of data where each is a JSON value of its own."""
    whole = parse_frame(raw)
    if "\n" not in whole.data:
        return [whole]
    lines = raw.splitlines(keepends=True)
    if not all(_is_whole(line[5:].strip()) for line in lines if line.startswith(b"data:")):
        return [whole]
    return [parse_frame(line) for line in lines]


def parse_frame(raw: bytes) -> SseFrame:
    """One frame from its bytes; bytes that are not UTF-8 are replaced in the parsed copy only."""
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2:  # the common case: one data line, \n\n
        return SseFrame(raw, "", raw[6:-2].decode("utf-8", "replace"))
    event, data = "", []
    # a byte order mark may stand before the first frame of a stream
    for line in _LINE.split(raw.decode("utf-8", "replace").removeprefix("\ufeff")):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            event = value
    return SseFrame(raw, event, "\n".join(data))


def encode_data(data: bytes) -> bytes:
    """An unnamed frame that carries one line of data."""
    return b"data: " + data + b"\n\n"


def encode_event(event: str, data: bytes) -> bytes:
    """A named frame that carries one line of data."""
    return b"event: " + event.encode() + b"\ndata: " + data + b"\n\n"


DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
"""A comment: keeps proxies and clients awake, invisible to every parser."""
