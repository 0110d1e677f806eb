"""The engine of this package is one."""

from __future__ import annotations

import inspect

from deputize.specialists.serving.base import SpecialistClient
from deputize.specialists.serving.pool import WorkerPoolClient


def test_the_worker_pool_takes_what_the_protocol_gives() -> None:
    for name in ("start", "predict", "stop"):
        wanted = list(inspect.signature(getattr(SpecialistClient, name)).parameters)
        given = inspect.signature(getattr(WorkerPoolClient, name)).parameters
        assert list(given)[: len(wanted)] == wanted
        assert all(p.default is not inspect.Parameter.empty for p in list(given.values())[len(wanted) :])
