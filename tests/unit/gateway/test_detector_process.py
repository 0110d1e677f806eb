"""The client of the process that looks for personal data: answers, time limits, and a process that dies or does not
start."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from deputize.core.config import Privacy
from deputize.core.errors import BadInput
from deputize.gateway import detector_process
from deputize.gateway.detector_process import DetectorProcess, MaskingFailed

WORKER = """
import os, struct, sys, time, msgspec
def read():
    head = sys.stdin.buffer.read(4)
    return sys.stdin.buffer.read(struct.unpack(">I", head)[0]) if head else None
def write(value):
    data = msgspec.msgpack.encode(value)
    sys.stdout.buffer.write(struct.pack(">I", len(data)) + data); sys.stdout.buffer.flush()
settings = msgspec.msgpack.decode(read())
assert settings["home"] == "here" and len(sys.argv) == 1 and "DEPUTIZE_KEK" not in os.environ
write({"error": ERROR, "warnings": []})
while (message := read()) is not None:
    lines = msgspec.msgpack.decode(message)
    if lines[0][0] == "sleep": time.sleep(30)
    if lines[0][0] == "die": sys.exit(1)
    write([[["PERSON", line, 0.9]] for line, _ in lines] if lines[0][0] != "none" else [])
"""


@asynccontextmanager
async def running(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: str = ""
) -> AsyncIterator[DetectorProcess]:
    (folder / "line_worker.py").write_text(WORKER.replace("ERROR", repr(error)))
    monkeypatch.setenv("PYTHONPATH", f"{folder}:{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("DEPUTIZE_KEK", "secret")
    monkeypatch.setattr(detector_process, "_MODULE", "line_worker")
    process = DetectorProcess(Path("here"), Privacy())
    try:
        yield process
    finally:
        await process.stop()


async def found(process: DetectorProcess, text: str) -> str:
    ((finding,),) = await process.detect([(text, True)])
    return finding.value


async def test_it_answers_in_order_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, monkeypatch) as process:
        await process.start()
        assert await asyncio.gather(*(found(process, f"line {n}") for n in range(3))) == [
            "line 0",
            "line 1",
            "line 2",
        ]
        assert await found(process, "half \ud83d") == "half ?"
        pid = process._process.pid  # type: ignore[union-attr]
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_caller_that_gives_up_costs_the_process_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as process:
        await process.start()
        pid = process._process.pid  # type: ignore[union-attr]
        given_up = asyncio.ensure_future(found(process, "x"))
        await asyncio.sleep(0)
        given_up.cancel()
        assert await found(process, "next") == "next"
        assert process._process.pid == pid  # type: ignore[union-attr]


@pytest.mark.parametrize("how", ["sleep", "die", "none"])
async def test_a_request_without_an_answer_is_refused_and_the_next_one_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with running(tmp_path, monkeypatch) as process:
        await process.start()
        monkeypatch.setattr(detector_process, "LONGEST_S", 0.2)
        with pytest.raises(MaskingFailed, match="no answer"):
            await found(process, how)
        assert await found(process, "again") == "again"


async def test_a_process_killed_between_requests_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, monkeypatch) as process:
        await process.start()
        os.kill(process._process.pid, signal.SIGKILL)  # type: ignore[union-attr]
        with pytest.raises(MaskingFailed, match="no answer"):
            await found(process, "x")
        assert await found(process, "again") == "again"


async def test_it_says_why_it_does_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(tmp_path, monkeypatch, "no such detector") as process:
        with pytest.raises(BadInput, match="no such detector"):
            await process.start()
    monkeypatch.setattr(detector_process, "_MODULE", "no_such_module_at_all")
    with pytest.raises(MaskingFailed, match="did not start"):
        await DetectorProcess(Path("here"), Privacy()).start()
