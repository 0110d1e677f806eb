"""A runner whose workers count as elsewhere: processes of this machine, of which this process does no shard while it
waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deputize.runner.base import Resources
from deputize.runner.local import LocalRunner, LocalWorkers


class _Workers(LocalWorkers):
    @property
    def are_here(self) -> bool:
        return False


class OtherProcesses(LocalRunner):
    """Counts the workers that it has started."""

    n_started = 0

    @property
    def is_here(self) -> bool:
        return False

    def start(
        self,
        make: Callable[[], Callable[[Any], Any]],
        *,
        n: int | None = None,
        resources: Resources = Resources(),  # noqa: B008 - immutable
    ) -> LocalWorkers:
        self.n_started += 1
        return _Workers(make, 1 if n is None else n)
