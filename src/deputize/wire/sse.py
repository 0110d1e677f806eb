"""Server-sent events: whole frames out of arbitrary reads, and back. Knows nothing of what the frames mean."""

from __future__ import annotations

import re
from typing import NamedTuple

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

    Args:
        max_frame_bytes: a single frame longer than this is refused, so that a peer that never sends a blank line
            cannot fill the memory.
    """

    __slots__ = ("_buffer", "_max")

    def __init__(self, max_frame_bytes: int = 16 * 1024 * 1024) -> None:
        self._buffer = b""
        self._max = max_frame_bytes

    def feed(self, chunk: bytes) -> list[SseFrame]:
        """The frames completed by this read.

        Raises:
            UpstreamError: a frame is longer than allowed.
        """
        buffer = self._buffer + chunk if self._buffer else chunk
        frames: list[SseFrame] = []
        start = 0
        if b"\r" in buffer:
            # a carriage return at the very end may be half of \r\n: the regex still cuts at a blank line there, and the
            # stray \n of the next read becomes an empty frame, which every reader ignores
            for match in _BLANK.finditer(buffer):
                frames.append(parse_frame(buffer[start : match.end()]))
                start = match.end()
        else:
            while (cut := buffer.find(b"\n\n", start)) >= 0:
                frames.append(parse_frame(buffer[start : cut + 2]))
                start = cut + 2
        self._buffer = buffer[start:] if start else buffer
        if len(self._buffer) > self._max:
            raise UpstreamError(f"The upstream sent a stream frame of more than {self._max} bytes.")
        return frames

    def rest(self) -> bytes:
        """The bytes left without a closing blank line (at the end of the stream)."""
        left, self._buffer = self._buffer, b""
        return left


def parse_frame(raw: bytes) -> SseFrame:
    """One frame from its bytes; bytes that are not UTF-8 are replaced in the parsed copy only."""
    if raw.startswith(b"data: ") and raw.find(b"\n") == len(raw) - 2:  # the common case: one data line, \n\n
        return SseFrame(raw, "", raw[6:-2].decode("utf-8", "replace"))
    event, data = "", []
    for line in _LINE.split(raw.decode("utf-8", "replace")):
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
