"""The ledger of tests: what was certified on which groups at which level, so that a second test on the same groups is
paid for.

Each test on groups that were tested before gets a share of what is left of delta; all tests on the same groups together
cost at most delta (a union bound). Groups are new where no earlier run had them in its log, in whatever split. They
are known again by their calls, since a group has another name once a retry joins it, its first call is deleted or the
log is split by person. Pure: tests in, levels out. The home keeps the file (pipeline.ledger_file).

A run that reads a small log's reserve to choose by it, and would calibrate on its calls if it had not, is written
down as well, before it does. Until that run tests, the reading stands for its test: else runs could be ended until
their choices look well on those calls.

References:
    Foster and Stine, "Alpha-investing", 2008, for the idea of a level that is spent; here by the plain union bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import TypeAlias

import msgspec

from deputize.core.certification import DeltaSpending
from deputize.core.records import Record

SPENT_SHARE = 0.8
"""Of what is left of delta, the share that one test spends: .8, .16, .032, ... of delta."""


GroupDigests: TypeAlias = Mapping[str, Sequence[str]]
"""Digest of a group's name -> digests of the ids of its calls."""


class RecordedTest(Record):
    """One test of one task on calibration groups, or a run's reading of groups that another run could calibrate on."""

    run_id: str
    task_id: str
    specialist: str
    """Digest of the specialist that was tested, and of how its calls were drawn: the same test again is no second one."""
    keys: list[str]
    """Digests of the template keys of the task: the same calls under another task id are still the same evidence."""
    groups: list[str]
    """Digests of all groups of the task in the log of the run, in whatever split: it has seen their labels."""
    test_level: float
    """The part of delta that was spent."""
    delta: float
    """For all tests on these groups together."""
    at_s: float
    """When, in seconds since the epoch."""
    calls: list[str] = msgspec.field(default_factory=list)
    """Digests of the ids of all calls of the task in these groups."""
    n_planned: int | None = None
    """Calibration calls that it was to ask; the same test again asks as many. Null in older ledgers."""
    only_read: bool = False
    """No test: the run was about to choose by these groups, a small log's reserve. It has spent nothing, and counts
    as a test of the run until there is one."""


class Ledger(Record):
    """All tests of a home, oldest first."""

    tests: list[RecordedTest] = msgspec.field(default_factory=list)
    version: int = 1


def with_test(ledger: Ledger, test: RecordedTest) -> Ledger:
    """The ledger with one more test; the same test again, after a stop, is there once."""
    if same_test(ledger, test.run_id, test.task_id, test.specialist) is not None:
        return ledger
    return Ledger(tests=[*ledger.tests, test])


def same_test(ledger: Ledger, run_id: str, task_id: str, specialist: str) -> RecordedTest | None:
    """The test of a run, task and specialist that is there already. Arguments as the fields of `RecordedTest`."""
    mine = (run_id, task_id, specialist)
    return next((one for one in ledger.tests if (one.run_id, one.task_id, one.specialist) == mine), None)


def digests(names: Iterable[str]) -> list[str]:
    """Short digests of names, sorted: enough to know a group or key again, not to name it."""
    return sorted({blake2b(n.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest() for n in names})


def digests_of_groups(calls_of: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Digests of groups and of their calls.

    Args:
        calls_of: name of a group -> ids of its calls.
    """
    return {digests([group])[0]: tuple(digests(ids)) for group, ids in calls_of.items()}


def earlier_tests(
    ledger: Ledger, keys: Sequence[str], groups: GroupDigests, *, run_id: str, specialist: str | None = None
) -> list[RecordedTest]:
    """Earlier tests on some of these calls, or on groups of the same name for a task that shares a template key with
    this one.

    Args:
        ledger: all tests.
        keys: digests of the task's keys.
        groups: its calibration groups.
        run_id: the run that is about to test. What it has tested with the same specialist, before a stop, is the same
            test.
        specialist: the one to be tested; None where that is not known yet: then no test of this run counts.
    """
    mine, calls = set(keys), _calls(groups)
    found = [
        test
        for test in ledger.tests
        if not (test.run_id == run_id and specialist in (None, test.specialist))
        and (
            not calls.isdisjoint(test.calls)
            or (not mine.isdisjoint(test.keys) and not groups.keys().isdisjoint(test.groups))
        )
    ]
    tested = {(test.run_id, test.task_id) for test in found if not test.only_read}
    return [test for test in found if not test.only_read or (test.run_id, test.task_id) not in tested]


def was_read(ledger: Ledger, calls: Iterable[str], run_id: str) -> bool:
    """True where a run has been about to choose by some of these calls.

    Args:
        ledger: all tests and readings.
        calls: digests of ids of calls.
        run_id: of the run.
    """
    mine = set(calls)
    return any(
        one.only_read and one.run_id == run_id and not mine.isdisjoint(one.calls) for one in ledger.tests
    )


def _calls(groups: GroupDigests) -> set[str]:
    return set().union(*groups.values())


def level(n_earlier: int, delta: float) -> float:
    """The level of the next test after `n_earlier` on the same groups."""
    return delta * SPENT_SHARE * (1 - SPENT_SHARE) ** n_earlier


def left_after(n_tests: int, delta: float) -> float:
    """Part of delta that is left after so many tests."""
    return delta * (1 - SPENT_SHARE) ** n_tests


def level_of_test(
    earlier: Sequence[RecordedTest], groups: GroupDigests, delta: float
) -> tuple[DeltaSpending, frozenset[str]]:
    """The level of the next test, and the groups that it may draw on, decided by their numbers alone.

    Either all groups, at what earlier tests have left of delta, or those that no test has seen, at the level of a first
    test: whichever could carry the smaller loss.

    Args:
        earlier: tests at some of these groups.
        groups: the task's calibration groups.
        delta: for all tests at the same groups together.

    Returns:
        The level, and digests of the groups.
    """
    n_earlier, every = len(earlier), frozenset(groups)
    seen = frozenset().union(*(test.groups for test in earlier))
    seen_calls = frozenset().union(*(test.calls for test in earlier))
    new = frozenset(g for g, calls in groups.items() if g not in seen and seen_calls.isdisjoint(calls))
    again, first = level(n_earlier, delta), level(0, delta)
    # n units without an error carry a loss of 1 - level ** (1 / n)
    if n_earlier and new and math.log(first) / len(new) > math.log(again) / len(every):
        used, spent, n_tests = new, first, 0
    else:
        used, spent, n_tests = every, again, n_earlier
    return (
        DeltaSpending(
            delta=delta,
            test_level=spent,
            n_earlier=n_tests,
            new_groups_only=used != every,
            n_groups=len(used),
            delta_left=left_after(n_tests + 1, delta),
        ),
        used,
    )
