"""A guarded program ends with its process, however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from deputize.specialists.writing.guarded_process import end_guarded, start_guarded

SLEEPS = [sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"]


def started(log: Path) -> int:
    for _ in range(400):
        if log.exists() and log.read_text().strip():
            return int(log.read_text())
        time.sleep(0.05)
    raise AssertionError("the program did not start")


def is_gone(pid: int) -> bool:
    for _ in range(200):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


def test_it_ends_when_its_standard_input_closes(tmp_path: Path) -> None:
    process = start_guarded(SLEEPS, os.environ, tmp_path / "log")
    pid = started(tmp_path / "log")
    assert process.poll() is None
    end_guarded(process)
    assert is_gone(pid)


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import os, sys, time; from pathlib import Path; "
        "from deputize.specialists.writing.guarded_process import start_guarded; "
        f"start_guarded({SLEEPS!r}, os.environ, Path({str(tmp_path / 'log')!r})); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program])
    pid = started(tmp_path / "log")
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    assert is_gone(pid)


def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    process = start_guarded([str(tmp_path / "none")], os.environ, tmp_path / "log")
    assert process.wait(20) == 127
    end_guarded(process)
    assert "cannot be started" in (tmp_path / "log").read_text()
