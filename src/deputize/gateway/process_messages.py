"""Messages to and from a process of the gateway's own, over its standard input and output: a length, then MessagePack.

The other side is privacy.masking.detector_worker's `read_message` and `write_message`.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from asyncio.subprocess import Process

import msgspec

_LENGTH = struct.Struct(">I")
_END_S = 3.0
"""A process that has not ended so long after its input did is killed."""


def send_value(process: Process, value: object) -> None:
    """Sends a value; it waits in the pipe until the process reads it."""
    assert process.stdin is not None
    data = msgspec.msgpack.encode(value)
    process.stdin.write(_LENGTH.pack(len(data)) + data)


async def receive(process: Process) -> bytes:
    """The next message. Raises IncompleteReadError, which is an EOFError, where the process ends."""
    assert process.stdout is not None
    (n_bytes,) = _LENGTH.unpack(await process.stdout.readexactly(_LENGTH.size))
    return await process.stdout.readexactly(n_bytes)


async def end_process(process: Process) -> None:
    """Ends a process by ending its input, and waits until it is no more."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(_END_S):
            await process.wait()
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
