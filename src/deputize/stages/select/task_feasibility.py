"""Feasibility of each task's certificate, before anything is trained: counts of groups and what earlier tests spent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from deputize.core.certificate_age import DAY_S
from deputize.core.certification import Feasibility
from deputize.core.config import Convert
from deputize.core.records import Example, Task
from deputize.scoring.feasibility import expected_units, feasibility
from deputize.scoring.ledger import Ledger, digests, digests_of_groups, earlier_tests, level, level_of_test

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


def feasibility_of(
    task: Task, mine: Sequence[Example], config: Convert, tests: EarlierTests, days: float | None
) -> Feasibility:
    """The verdict on a task, from the numbers of its groups alone.

    Args:
        task: the task.
        mine: its calls, in all splits.
        config: epsilon, delta and scope.
        tests: those of earlier runs, whose groups are paid for.
        days: that the whole log spans.
    """
    calls_of: dict[str, list[str]] = {}
    for example in mine:
        if example.split == "calibration":
            calls_of.setdefault(example.group, []).append(example.call_id)
    largest = max(Counter(e.group for e in mine if e.split and not e.training_only).values(), default=1)
    groups = digests_of_groups(calls_of)
    earlier = earlier_tests(tests.ledger, digests(task.keys), groups, run_id=tests.run_id)
    spending, used = level_of_test(earlier, groups, config.delta)
    sizes = [len(calls) for group, calls in groups.items() if group in used]
    largest = max([largest, *sizes])
    n_units = expected_units(sizes, largest)
    is_dominated = largest >= DOMINANT * len(mine) and n_units < len(sizes) / 2
    n_groups = len({e.group for e in mine})
    return feasibility(
        n_groups,
        n_units,
        config.epsilon,
        spending,
        fresh_level=level(0, config.delta),
        groups_per_day=n_groups / days if days else None,
        largest_share=largest / len(mine) if is_dominated else None,
    )


def not_certifiable(found: Feasibility) -> str:
    """The refusal of a task that cannot be certified, with the flag that trains it all the same."""
    return (
        f"not trained, since it could not be certified: {found.sentence}. `--explore` trains it all the same"
    )
