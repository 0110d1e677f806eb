"""Feasibility of each task's certificate, before anything is trained: counts of groups and what earlier tests spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from deputize.core.certificate_age import DAY_S
from deputize.core.certification import Feasibility
from deputize.core.config import CROSS_FITTED, Convert
from deputize.core.contracts import needs_judge
from deputize.core.records import Example, Task
from deputize.scoring.feasibility import expected_units, feasibility
from deputize.scoring.ledger import Ledger, digests, digests_of_groups, earlier_tests, level, level_of_test
from deputize.scoring.split_sizes import most_calibration

DOMINANT = 0.1
"""Share of a task's calls from which its largest group is named, where the others give few units beside it."""


@dataclass(frozen=True)
class EarlierTests:
    """The tests that a home has done so far, as a run that is about to do its own sees them."""

    ledger: Ledger = field(default_factory=Ledger)
    run_id: str = ""


def days_of(examples: Sequence[Example]) -> float | None:
    """Days that a log spans; None where it has no times, or one only."""
    times = [e.timestamp for e in examples if e.timestamp is not None]
    return (max(times) - min(times)) / DAY_S or None if times else None


class LogSize(NamedTuple):
    """The whole log, as far as the wait for more episodes depends on it."""

    n_groups: int
    days: float | None
    """That it spans; None where it has no times, or one only."""


def size_of(examples: Sequence[Example]) -> LogSize:
    """Counts of the whole log."""
    return LogSize(len({e.group for e in examples}), days_of(examples))


class TaskFeasibility(NamedTuple):
    """The verdicts on a task, of which planning decides which one holds."""

    alone: Feasibility
    """Where a training reads the reserve of the log, or there is none."""
    with_reserve: Feasibility
    """Where all choices are made by cross-fitting on train, so that the reserve is calibrated on; equal to `alone`
    where there is none."""

    def may_plan(self, method: str, *, explore: bool) -> bool:
        """True where a specialist of the method could be certified, or is trained all the same."""
        if explore or self.alone.possible:
            return True
        return self.with_reserve.possible and method in CROSS_FITTED

    def of_plan(self, planned: Sequence[str]) -> Feasibility:
        """The verdict that holds with the methods of a plan; without any, what more episodes would do."""
        if planned:
            return self.with_reserve if CROSS_FITTED.issuperset(planned) else self.alone
        # where groups were enough, no method that leaves the reserve alone can write the answers
        return self.alone if self.with_reserve.possible else self.with_reserve


def task_feasibility(
    task: Task, mine: Sequence[Example], config: Convert, tests: EarlierTests, log: LogSize
) -> TaskFeasibility:
    """Both verdicts on a task, from the numbers of its groups alone. Arguments as of `feasibility_of`."""
    whole = feasibility_of(task, mine, config, tests, log, with_reserve=True)
    n_units = whole.n_units if any(e.split == "reserve" for e in mine) else 0
    alone = feasibility_of(task, mine, config, tests, log, n_with_reserve=n_units)
    # a judge is tried on the reserve
    return TaskFeasibility(alone, alone if needs_judge(task.contract) else whole)


def feasibility_of(
    task: Task,
    mine: Sequence[Example],
    config: Convert,
    tests: EarlierTests,
    log: LogSize,
    *,
    with_reserve: bool = False,
    n_with_reserve: int = 0,
) -> Feasibility:
    """The verdict on a task.

    Args:
        task: the task.
        mine: its calls, in all splits.
        config: epsilon, delta and scope.
        tests: those of earlier runs, whose groups are paid for.
        log: the whole log.
        with_reserve: the reserve is calibration too.
        n_with_reserve: units there would be then, for the sentence.
    """
    splits = ("calibration", "reserve") if with_reserve else ("calibration",)
    calls_of: dict[str, list[str]] = {}
    for example in mine:
        if example.split in splits:
            calls_of.setdefault(example.group, []).append(example.call_id)
    all_sizes = Counter(e.group for e in mine if e.split and not e.training_only)
    largest = max(all_sizes.values(), default=1)
    groups = digests_of_groups(calls_of)
    earlier = earlier_tests(tests.ledger, digests(task.keys), groups, run_id=tests.run_id)
    spending, used = level_of_test(earlier, groups, config.delta)
    sizes = [len(calls) for group, calls in groups.items() if group in used]
    largest = max([largest, *sizes])
    n_units = expected_units(sizes, largest)
    is_dominated = largest >= DOMINANT * len(mine) and n_units < len(sizes) / 2
    n_groups = len({e.group for e in mine})
    per_group = expected_units([*all_sizes.values()], largest) / max(1, len(all_sizes))
    keeps_reserve = with_reserve and config.may_keep_reserve

    def growth(n: int) -> float:
        in_log = n * max(1, log.n_groups) // max(1, n_groups)
        share = config.split[2] / sum(config.split) if config.split else None
        return n * per_group * (share or most_calibration(in_log, keeps_reserve=keeps_reserve))

    return feasibility(
        n_groups,
        n_units,
        config.epsilon,
        spending,
        fresh_level=level(0, config.delta),
        growth=growth,
        groups_per_day=n_groups / log.days if log.days else None,
        largest_share=largest / len(mine) if is_dominated else None,
        n_with_reserve=n_with_reserve,
    )


def not_certifiable(found: Feasibility) -> str:
    """The refusal of a task that cannot be certified, with the flag that trains it all the same."""
    return (
        f"not trained, since it could not be certified: {found.sentence}. `--explore` trains it all the same"
    )
