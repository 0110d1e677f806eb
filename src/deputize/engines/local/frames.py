"""What client and worker say to each other: length-prefixed MessagePack frames. Knows no model."""

from __future__ import annotations

import asyncio
import struct
from typing import Any, TypeVar

import msgspec

from deputize.core.errors import BadInput
from deputize.core.records import Prediction, Record, Request

MAX_FRAME_BYTES = 64 * 2**20
_LENGTH = struct.Struct(">I")


class Question(Record):
    """One request for one specialist; `request` None asks only that it be loaded."""

    id: int
    specialist: str
    request: Request | None = None


class Reply(Record):
    """The answer to a question: a prediction, or why there is none. Neither: it is loaded."""

    id: int
    prediction: Prediction | None = None
    error: str = ""
    """A sentence without payload text."""


T = TypeVar("T", Question, Reply)


def pack(record: Question | Reply) -> bytes:
    """A record as one frame."""
    body = msgspec.msgpack.encode(record)
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader, kind: type[T]) -> T:
    """The next record of a stream.

    Raises:
        asyncio.IncompleteReadError: the other side has gone.
        BadInput: the frame is too large or not a record.
    """
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > MAX_FRAME_BYTES:
        raise BadInput(f"a frame of {length} bytes is larger than {MAX_FRAME_BYTES}")
    body: Any = await reader.readexactly(length)
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.DecodeError as error:
        raise BadInput(f"a frame is not a {kind.__name__}") from error
