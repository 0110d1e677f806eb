"""The runner that a home's settings name."""

from __future__ import annotations

from deputize.core.config import RunnerSettings
from deputize.runner.base import Runner
from deputize.runner.local import LocalRunner


def make_runner(settings: RunnerSettings) -> Runner:
    """The runner of `[runner]`.

    Raises:
        MissingExtra: what it needs is not installed.
        UsageError: its cluster cannot be reached.
    """
    if settings.kind == "ray":
        from deputize.runner.ray_cluster import RayRunner

        return RayRunner(settings.address, settings.processes, settings.model_cores)
    return LocalRunner(settings.processes)
