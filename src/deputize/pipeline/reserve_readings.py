"""The ledger's part in training: that a small log's reserve is about to be read stands there before it is, however
the run ends."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from deputize.core.artifacts import Curated, Discovered
from deputize.core.records import Task
from deputize.pipeline.ledger_file import LedgerFile
from deputize.scoring.ledger import digests, was_read
from deputize.stages.evaluate.delta_budget import DeltaBudget

if TYPE_CHECKING:
    from deputize.pipeline.run import Run


class ReserveReadings:
    """The readings of one run."""

    def __init__(self, run: Run, curated: Curated, discovered: Discovered) -> None:
        """
        Args:
            run: whose readings they are.
            curated: examples with their split.
            discovered: tasks, and which call belongs to which.
        """
        self._config, self._tasks, ledger = run.config, discovered.tasks, LedgerFile(run.home)
        self._budget = DeltaBudget(run.state.run_id, ledger, clock=run.home.now)
        self._reserve: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
        for example in curated.examples:
            if example.split == "reserve" and (task := discovered.assignment.get(example.call_id)):
                self._reserve[task][example.group].append(example.call_id)

    def note(self, task: Task) -> None:
        """Writes down that the reserve of a task is about to be read.

        Raises:
            StoreError, Tampered: it could not be written down: then it may not be read.
        """
        self._budget.note_reading(task, self._reserve.get(task.id, {}), self._config)

    def before(self) -> list[str]:
        """Ids of the tasks whose reserve the run has read before it was stopped."""
        ledger = self._budget.ledger.read()
        return [
            task.id
            for task in self._tasks
            if was_read(ledger, digests(self._calls(task)), self._budget.run_id)
        ]

    def _calls(self, task: Task) -> list[str]:
        return [id for ids in self._reserve.get(task.id, {}).values() for id in ids]
