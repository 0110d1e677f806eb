"""Functions that workers make; in a module, so that another process can import them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


def squares() -> Callable[[int], int]:
    return lambda n: n * n


def slow_squares() -> Callable[[int], tuple[int, int]]:
    """(square, id of the process)."""

    def do(n: int) -> tuple[int, int]:
        time.sleep(0.05)
        return n * n, os.getpid()

    return do


def strict_roots() -> Callable[[int], float]:
    def do(n: int) -> float:
        if n < 0:
            raise ValueError(f"{n} has no root")
        return float(n**0.5)

    return do


class DieOnce:
    """Makes a function that kills its process the first time that shard 0 comes to a worker."""

    def __init__(self, mark: Path, parent: int) -> None:
        self.mark, self.parent = mark, parent

    def __call__(self) -> Callable[[int], int]:
        def do(n: int) -> int:
            if n == 0 and os.getpid() != self.parent and not self.mark.exists():
                self.mark.write_text("died")
                os.kill(os.getpid(), signal.SIGKILL)
            return n * n

        return do


class DieAlways(DieOnce):
    """The same whenever a worker gets shard 0."""

    def __call__(self) -> Callable[[int], int]:
        def do(n: int) -> int:
            if n == 0 and os.getpid() != self.parent:
                os.kill(os.getpid(), signal.SIGKILL)
            return n * n

        return do
