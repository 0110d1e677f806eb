"""Curation from the store into a sealed stream: what a stop in the middle leaves, and what later stages read."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.records import Call, encode
from deputize.home import Home
from deputize.pipeline.conversion import convert, open_run
from deputize.pipeline.run import Run, latest_run, read_state

SYSTEM = "You are the desk of a shop.\nAnswer as JSON with the keys intent and name."
TOOLS = [{"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}]


def calls(n: int) -> Iterator[Call]:
    for i in range(n):
        yield Call(
            id=f"c{i}",
            agent="desk",
            episode=f"e{i // 2}",
            tools=TOOLS,
            messages=[
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"Write to mia.silva{i}@mail.com about order {i}."},
            ],
            response={
                "role": "assistant",
                "content": f'{{"intent": "write", "mail": "mia.silva{i}@mail.com"}}',
            },
        )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    store = Home(tmp_path / "home").open_store()
    store.append(list(calls(400)))
    store.close()
    return tmp_path / "home"


@pytest.mark.timeout(600)
def test_a_stop_in_the_middle_of_s2_costs_s2_and_nothing_else(home: Path) -> None:
    """kill -9 while examples are being written; then it goes through."""
    folder, part = kill_while_writing(home)
    assert part.exists() and not (folder / "curate.sealed").exists()
    opened = Home(home)
    convert(opened, Convert(), stop_after="curate")
    assert latest_run(opened) == folder.name, "the same run went on"
    assert [p.name for p in folder.glob("*curate*")] == ["curate.sealed"]
    run = open_run(opened, Convert(), lambda *_: None)
    curated = run.load("curate", Curated)
    assert [e.call_id for e in curated.examples] == [f"c{i}" for i in range(400)]
    assert b"mia.silva" not in encode(curated) and curated.entities["EMAIL_ADDRESS"] == 800
    assert all(e.request.tools is curated.examples[0].request.tools for e in curated.examples)
    assert read_state(opened, folder.name).timings_s["curate"] > 0
    # written as a whole it holds the same as written one by one
    run.artifact("curate", Curated).write(curated)
    assert run.load("curate", Curated) == curated
    opened.close()


def kill_while_writing(home: Path) -> tuple[Path, Path]:
    """The run's folder, and the file that examples were being written to when the process was killed."""
    program = (
        "import os, signal, sys; from pathlib import Path; from deputize.core.config import Convert\n"
        "from deputize.home import Home; from deputize.store.sealed import SealedStream\n"
        "from deputize.pipeline.conversion import convert\n"
        "add = SealedStream.add\n"
        "def add_or_die(stream, record):\n"
        "    add(stream, record)\n"
        "    if stream._n_written == 100: os.kill(os.getpid(), signal.SIGKILL)\n"
        "SealedStream.add = add_or_die\n"
        "convert(Home(Path(sys.argv[1])), Convert(), stop_after='curate')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(home)], stderr=subprocess.PIPE, check=False, timeout=500
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    (part,) = (home / "runs").glob("*/.curate.sealed.part")
    assert part.stat().st_size > 20_000
    return part.parent, part


def test_a_run_reads_the_store_as_a_stream(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        home.store.append(list(calls(20)))
        run = open_run(home, Convert(), lambda *_: None)
        home.store.append(list(calls(25)))
        reading = run.calls()
        assert next(reading).id == "c0" and not isinstance(reading, list)
        assert len(list(run.calls())) == run.state.n_calls == 20
        other = open_run(home, Convert(), lambda *_: None)
        assert other.state.n_calls == 25 and other.state.run_id != run.state.run_id
        again = open_run(home, Convert(), lambda *_: None)
        assert isinstance(again, Run) and again.state == other.state
