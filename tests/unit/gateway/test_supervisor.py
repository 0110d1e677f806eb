"""Worker processes under one parent."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

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
