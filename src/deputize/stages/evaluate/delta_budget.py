"""The budget of delta: the level of each task's test, after what earlier tests on the same groups have spent.

A test is written down before its labels are seen, so that a run that was stopped, or whose result nobody liked, is
paid for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from deputize.core.artifacts import Curated, Discovered, Specialist
from deputize.core.certification import DeltaSpending
from deputize.core.config import Convert
from deputize.core.records import Task, encode
from deputize.scoring.ledger import (
    GroupDigests,
    Ledger,
    RecordedTest,
    digests,
    digests_of_groups,
    earlier_tests,
    level_of_test,
    same_test,
    with_test,
)


class BegunTest(NamedTuple):
    """A test that is written down and may be done."""

    spending: DeltaSpending
    within: frozenset[str]
    """Digests of the calibration groups that it may draw on."""
    n_planned: int
    """Calls to ask, whatever the time: those that are not answered count as errors."""


class TestLedger(Protocol):
    """Where tests are written down (pipeline.ledger_file)."""

    def read(self) -> Ledger: ...

    def add(self, test: RecordedTest) -> None: ...


class InMemoryTestLedger:
    """Tests of this process alone."""

    def __init__(self) -> None:
        self._ledger = Ledger()

    def read(self) -> Ledger:
        """All tests so far."""
        return self._ledger

    def add(self, test: RecordedTest) -> None:
        """Adds a test."""
        self._ledger = with_test(self._ledger, test)


@dataclass(frozen=True)
class DeltaBudget:
    """The tests of a home as a run sees them, and where it writes its own down."""

    run_id: str = ""
    ledger: TestLedger = field(default_factory=InMemoryTestLedger)
    groups: Mapping[str, GroupDigests] = field(default_factory=dict)
    """Task id -> all groups of its calls in the log."""
    clock: Callable[[], float] = time.time
    """Unix seconds."""

    def begin(
        self,
        task: Task,
        calibration_groups: Mapping[str, Iterable[str]],
        specialist: Specialist,
        config: Convert,
        engine: str,
        plan: Callable[[float], int],
    ) -> BegunTest | None:
        """A test that is about to be done; None where no call could be asked: then nothing is written down or spent.

        A test that is done once more, after a stop or because somebody asks for it, asks as many calls as the first time:
        else it could be done with more and more of them until it passes.

        Args:
            task: the task.
            calibration_groups: name of each of its groups in the calibration split -> ids of the calls in it.
            specialist: the one that is tested; one that was trained again, or is compared otherwise, is another test.
            config: delta, and the seed that the calls are drawn with.
            engine: what answers; another one is another test.
            plan: the calls that a test at a level may ask, in the time there is.

        Raises:
            StoreError, Tampered: the test could not be written down: then it may not be done.
        """
        keys, groups = digests(task.keys), digests_of_groups(calibration_groups)
        every = self.groups.get(task.id, {})
        # the same weights judged by another comparison of answers are another test
        contract = encode(specialist.contract).decode()
        tested = digests(
            [f"{specialist.id} {sorted(specialist.checksums.items())} {config.seed} {contract} {engine}"]
        )[0]
        before = self.ledger.read()
        earlier = earlier_tests(before, keys, groups, run_id=self.run_id, specialist=tested)
        spending, used = level_of_test(earlier, groups, config.delta)
        same = same_test(before, self.run_id, task.id, tested)
        if same is not None and same.n_planned is not None:
            return BegunTest(spending, used, same.n_planned)
        n_planned = plan(spending.test_level)
        if n_planned < 1:
            return None
        self.ledger.add(
            RecordedTest(
                run_id=self.run_id,
                task_id=task.id,
                specialist=tested,
                keys=keys,
                groups=sorted({*every, *groups}),
                calls=sorted(set().union(*every.values(), *groups.values())),
                test_level=spending.test_level,
                delta=config.delta,
                at_s=self.clock(),
                n_planned=n_planned,
            )
        )
        return BegunTest(spending, used, n_planned)

    def note_reading(self, task: Task, groups: Mapping[str, Iterable[str]], config: Convert) -> None:
        """Writes down that the run is about to choose by calls which another run could calibrate on: those of a small
        log's reserve.

        Args:
            task: the task.
            groups: name of each of its groups in the reserve -> ids of the calls in it; nothing is written where
                there is none.
            config: delta.

        Raises:
            StoreError, Tampered: it could not be written down: then they may not be read.
        """
        found = digests_of_groups(groups)
        if not found:
            return
        self.ledger.add(
            RecordedTest(
                run_id=self.run_id,
                task_id=task.id,
                specialist="",
                keys=digests(task.keys),
                groups=sorted(found),
                calls=sorted(set().union(*found.values())),
                test_level=0.0,
                delta=config.delta,
                at_s=self.clock(),
                only_read=True,
            )
        )


def groups_by_task(curated: Curated, discovered: Discovered) -> dict[str, GroupDigests]:
    """Task id -> all groups of its calls in the log, in whatever split."""
    calls_of: dict[str, dict[str, list[str]]] = {task.id: {} for task in discovered.tasks}
    for example in curated.examples:
        task_id = discovered.assignment.get(example.call_id, "")
        if task_id in calls_of:
            calls_of[task_id].setdefault(example.group, []).append(example.call_id)
    return {task_id: digests_of_groups(found) for task_id, found in calls_of.items()}
