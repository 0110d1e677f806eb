"""Whether a task can be certified is said from the numbers of its groups and of earlier tests, and the log's own rate."""

from __future__ import annotations

import msgspec
import pytest
from tests import tiny_tasks

from deputize.core.certification import Feasibility
from deputize.core.config import Convert
from deputize.core.records import Contract, Example, Split, Task
from deputize.core.text_measures import TextMeasure
from deputize.scoring.ledger import Ledger, RecordedTest, digests
from deputize.stages.select.task_feasibility import (
    EarlierTests,
    days_of,
    feasibility_of,
    not_certifiable,
    size_of,
    task_feasibility,
)

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
    return feasibility_of(task, examples, Convert(), tests or EarlierTests(), size_of(examples))


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
    said = "101 independent episodes give about 1 calibration unit, since one episode has 50 % of the calls and each call counts alike; "
    assert found.sentence.startswith(said)
    assert "since" not in verdict(calls({**short, "t": ("train", 10)})).sentence, "nine in a hundred calls"
    assert "since" not in verdict(even(8)).sentence, "few groups, of the same size"


def test_the_wait_is_at_the_rate_of_the_log() -> None:
    found = verdict(even(124, days=31.0))
    assert found.n_more_groups == 137 - 124 and found.days == pytest.approx(13 / 4)
    assert "about 13 more episodes would do, about 4 days at the rate of this log" in found.sentence
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


def short_log(n: int) -> list[Example]:
    """n groups of one call each, split as a small log is."""
    counts = {"calibration": round(0.46 * n), "reserve": round(0.11 * n), "test": round(0.1 * n)}
    splits = [name for name, k in counts.items() for _ in range(k)]
    splits += ["train"] * (n - len(splits))
    return calls({f"g{i}": (split, 1) for i, split in enumerate(splits)})  # type: ignore[misc]


def test_what_methods_that_are_cross_fitted_can_be_tested_on_is_counted_with_the_reserve() -> None:
    log = short_log(112)
    both = task_feasibility(TASK, log, Convert(), EarlierTests(), size_of(log))
    assert (both.alone.n_units, both.with_reserve.n_units) == (52, 64)
    assert not both.alone.possible and both.with_reserve.possible
    planned = [m for m in ("linear", "frozen", "lora") if both.may_plan(m, explore=False)]
    assert planned == ["linear", "frozen"] and both.may_plan("lora", explore=True)
    assert both.of_plan(["linear"]) == both.with_reserve and both.of_plan(["linear", "lora"]) == both.alone
    assert both.of_plan([]) == both.alone, "no such method can write the answers"
    assert both.alone.n_more_groups == 137 - 112
    assert "52 calibration units (64 where no language model is tuned); 63 are needed" in both.alone.sentence

    log = short_log(240)
    both = task_feasibility(TASK, log, Convert(), EarlierTests(), size_of(log))
    assert both.alone.possible and both.may_plan("lora", explore=False)
    assert "110 calibration units (136 where" in both.of_plan(["linear", "lora"]).sentence


def test_what_is_missing_is_what_the_split_of_a_larger_log_would_give() -> None:
    log = calls({f"g{i}": ("calibration" if i % 4 == 3 else "train", 1) for i in range(80)})
    both = task_feasibility(TASK, log, Convert(), EarlierTests(), size_of(log))
    assert both.of_plan([]).n_more_groups == 111 - 80
    without = task_feasibility(TASK, log, Convert(methods=("lora",)), EarlierTests(), size_of(log))
    assert without.of_plan([]).n_more_groups == 137 - 80
    by_hand = task_feasibility(TASK, log, Convert(split=(5, 1, 2, 2)), EarlierTests(), size_of(log))
    assert by_hand.of_plan([]).n_more_groups == 315 - 80


def test_a_task_that_is_left_to_a_judge_does_not_count_the_reserve() -> None:
    log = short_log(112)
    contract = Contract(kind="text", measure=TextMeasure(name="judge", level=1.0))
    judged = msgspec.structs.replace(TASK, contract=contract)
    both = task_feasibility(judged, log, Convert(), EarlierTests(), size_of(log))
    assert both.with_reserve == both.alone and not both.alone.possible
