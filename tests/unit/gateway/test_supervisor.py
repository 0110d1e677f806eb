"""Worker processes under one parent."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from deputize.core.errors import UsageError
from deputize.gateway.supervisor import Supervisor


def test_a_worker_that_never_served_ends_everything_with_its_exit_code() -> None:
    def fails(ready: Callable[[], None], parent: int) -> int:
        raise UsageError("no key")

    said: list[str] = []
    assert Supervisor(lambda: fails, 1, drain_s=1, on_serving=lambda: said.append("serves")).run() == 2
    assert not said


def test_workers_end_when_they_are_told_to() -> None:
    def serves(ready: Callable[[], None], parent: int) -> int:
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
        ready()
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()
        return 1

    said: list[str] = []
    assert Supervisor(lambda: serves, 2, drain_s=5, on_serving=lambda: said.append("serves")).run() == 0
    assert said == ["serves"], "once, whatever the number of workers"


def test_a_worker_that_dies_as_all_are_replaced_gets_one_successor(tmp_path: Path) -> None:
    """Two in its place would each stop the other, and nobody would serve for it."""

    def serves(ready: Callable[[], None], parent: int) -> int:
        signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
        (tmp_path / f"{os.getpid()}").touch()
        ready()
        if len(list(tmp_path.iterdir())) == 1:
            os.kill(os.getppid(), signal.SIGHUP)
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(1.0)
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()
        return 1

    assert Supervisor(lambda: serves, 1, drain_s=5).run() == 0
    assert len(list(tmp_path.iterdir())) == 2
