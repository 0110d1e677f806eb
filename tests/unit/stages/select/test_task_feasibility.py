"""Whether a task can be certified is said from the numbers of its groups and of earlier tests, and the log's own rate."""

from __future__ import annotations

import msgspec
import pytest
from tests import tiny_tasks

from deputize.core.certification import Feasibility
from deputize.core.config import Convert
from deputize.core.records import Example, Split, Task
from deputize.scoring.ledger import Ledger, RecordedTest, digests
from deputize.stages.select.task_feasibility import EarlierTests, days_of, feasibility_of, not_certifiable

TASK = tiny_tasks.task("label")
DAY = 86_400.0


def calls(sizes: dict[str, tuple[Split, int]], *, days: float | None = None) -> list[Example]:
    """Groups of so many calls, spread evenly over some days."""
    out: list[Example] = []
    n_groups = len(sizes)
    for at, (group, (split, n)) in enumerate(sizes.items()):
        for _ in range(n):
            one = tiny_tasks.example("label", len(out), split)
            when = None if days is None else 1e9 + days * DAY * at / max(1, n_groups - 1)
            out.append(msgspec.structs.replace(one, group=group, timestamp=when))
    return out


def even(n: int, *, days: float | None = None, prefix: str = "g") -> list[Example]:
    """n groups of one call each, a quarter of them for calibration."""
    splits: tuple[Split, ...] = ("train", "train", "test", "calibration")
    return calls({f"{prefix}{i}": (splits[i % 4], 1) for i in range(n)}, days=days)


def verdict(examples: list[Example], tests: EarlierTests | None = None, task: Task = TASK) -> Feasibility:
    return feasibility_of(task, examples, Convert(), tests or EarlierTests(), days_of(examples))


def test_enough_groups_are_enough_at_the_level_of_a_first_test() -> None:
    found = verdict(even(252))
    assert (found.n_groups, found.n_units, found.n_needed, found.possible) == (252, 63, 63, True)
    found = verdict(even(248))
    assert (found.n_units, found.possible) == (62, False) and found.test_level == pytest.approx(0.04)


def test_long_episodes_count_as_the_draw_of_calls_will_count_them() -> None:
    short: dict[str, tuple[Split, int]] = {f"c{i}": ("calibration", 1) for i in range(100)}
    assert verdict(calls({**short, "t": ("train", 1)})).n_units == 100
    assert verdict(calls({**short, "t": ("train", 10)})).n_units == 10
    assert verdict(calls({**short, "t": ("train", 1), "c": ("calibration", 10)})).n_units == 11


def test_an_episode_with_half_of_the_calls_is_named_as_the_reason() -> None:
    short: dict[str, tuple[Split, int]] = {f"c{i}": ("calibration", 1) for i in range(100)}
    for split in ("train", "validation", "test"):
        found = verdict(calls({**short, "t": (split, 100)}))
        assert (found.n_units, found.possible) == (1, False), split
    said = "101 independent episodes give about 1 calibration unit, since one episode has 50% of the calls and each call counts alike; "
    assert found.sentence.startswith(said)
    assert "since" not in verdict(calls({**short, "t": ("train", 10)})).sentence, "nine in a hundred calls"
    assert "since" not in verdict(even(8)).sentence, "few groups, of the same size"


def test_the_wait_is_at_the_rate_of_the_log() -> None:
    found = verdict(even(124, days=31.0))
    assert found.n_more_groups == 63 * 4 - 124 and found.days == pytest.approx(128 / 4)
    assert "about 128 more episodes would do, about 32 days at the rate of this log" in found.sentence
    assert verdict(even(124)).days is None


def test_days_of_a_log() -> None:
    assert days_of(even(5, days=3.0)) == pytest.approx(3.0)
    assert days_of(even(5)) is days_of([]) is days_of(even(1, days=3.0)) is None


def look(run_id: str, examples: list[Example]) -> RecordedTest:
    return RecordedTest(
        run_id=run_id,
        task_id="t",
        specialist="s",
        keys=digests(TASK.keys),
        groups=digests({e.group for e in examples}),
        test_level=0.04,
        delta=0.05,
        at_s=0.0,
    )


def test_what_earlier_runs_spent_on_these_groups_is_missing() -> None:
    log = even(260)
    assert verdict(log).possible
    tests = EarlierTests(Ledger(tests=[look("r1", log), look("r2", log)]), "r3")
    found = verdict(log, tests)
    assert not found.possible and found.n_earlier == 2 and found.n_needed == 126
    assert "2 earlier tests on the same episodes left 0.0016" in not_certifiable(found)
    again = verdict(log, EarlierTests(Ledger(tests=[look("r1", log)]), "r1"))
    assert again.possible and again.n_earlier == 0, "a run that is resumed has not looked yet"
    grown = verdict(log + even(400, prefix="new"), tests)
    assert grown.possible and grown.n_earlier == 0 and grown.n_units == 100, (
        "new episodes are a test of their own"
    )
