"""The engine of this package is one."""

from __future__ import annotations

import inspect

from deputize.specialists.serving.base import Engine
from deputize.specialists.serving.pool import WorkerEngine


def test_the_worker_pool_takes_what_the_protocol_gives() -> None:
    for name in ("start", "predict", "stop"):
        wanted = list(inspect.signature(getattr(Engine, name)).parameters)
        given = inspect.signature(getattr(WorkerEngine, name)).parameters
        assert list(given)[: len(wanted)] == wanted
        assert all(p.default is not inspect.Parameter.empty for p in list(given.values())[len(wanted) :])
