"""The most memory that a process had, and the processes that it started."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil


def peak_mib(pid: int | str = "self") -> float:
    """The most memory a process had; ru_maxrss would count what a parent had before the fork."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("this system does not tell a process its peak memory")


@contextlib.contextmanager
def watching() -> Iterator[dict[int, float]]:
    """pid -> the most memory, MiB, that each process started by this one was seen to have had."""
    seen: dict[int, float] = {}
    done = threading.Event()

    def look() -> None:
        me = psutil.Process()
        while not done.wait(0.5):
            for child in me.children(recursive=True):
                with contextlib.suppress(OSError, RuntimeError, psutil.Error):
                    seen[child.pid] = peak_mib(child.pid)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield seen
    done.set()
    thread.join()
