"""Messages to and from a real process."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process

import msgspec
import pytest

from deputize.gateway.process_messages import end_process, receive, send_value


async def started(code: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdin=PIPE, stdout=PIPE)


async def test_values_come_back_and_the_end_is_an_error() -> None:
    echo = "import sys, shutil; shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
    process = await started(echo)
    values = ({"a": [1, "ü" * 100_000]}, None, b"")
    for value in values:
        send_value(process, value)
    assert process.stdin is not None
    process.stdin.close()
    assert tuple([msgspec.msgpack.decode(await receive(process)) for _ in values]) == values
    with pytest.raises(EOFError):
        await receive(process)
    await end_process(process)
    assert process.returncode == 0


async def test_a_process_that_does_not_end_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deputize.gateway.process_messages._END_S", 0.1)
    process = await started("import time; time.sleep(60)")
    await end_process(process)
    assert process.returncode is not None and process.returncode < 0
