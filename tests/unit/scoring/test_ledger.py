"""A second test on the same groups is paid for; new groups are free."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from deputize.scoring.certificates import certify, threshold_grid
from deputize.scoring.ledger import (
    Ledger,
    RecordedTest,
    digests,
    digests_of_groups,
    earlier_tests,
    left_after,
    level,
    level_of_test,
    was_read,
    with_test,
)


def named(names: list[str]) -> dict[str, tuple[str, ...]]:
    """Groups of which no call is known."""
    return digests_of_groups(dict.fromkeys(names, ()))


def recorded_test(
    run: str, keys: list[str], groups: list[str], specialist: str = "s", calls: list[str] | None = None
) -> RecordedTest:
    return RecordedTest(
        run_id=run,
        task_id="t",
        specialist=specialist,
        keys=digests(keys),
        groups=digests(groups),
        test_level=0.04,
        delta=0.05,
        at_s=0.0,
        calls=digests(calls or []),
    )


def earlier(
    ledger: Ledger, run: str, keys: list[str], groups: list[str], specialist: str | None = None
) -> list[str]:
    found = earlier_tests(ledger, digests(keys), named(groups), run_id=run, specialist=specialist)
    return [x.run_id for x in found]


def test_tests_of_one_task_never_cost_more_than_delta() -> None:
    assert sum(level(k, 0.05) for k in range(50)) <= 0.05
    assert level(0, 0.05) == pytest.approx(0.04) and left_after(1, 0.05) == pytest.approx(0.01)
    assert level(2, 0.05) + left_after(3, 0.05) == pytest.approx(left_after(2, 0.05))


def test_a_test_counts_where_key_and_group_are_shared() -> None:
    ledger = Ledger(tests=[recorded_test("r1", ["a"], ["g1", "g2"]), recorded_test("r2", ["b"], ["g1"])])
    assert earlier(ledger, "r3", ["a"], ["g2"]) == ["r1"]
    assert earlier(ledger, "r3", ["a"], ["g9"]) == earlier(ledger, "r3", ["c"], ["g1"]) == []


def test_a_group_is_known_again_by_its_calls_whatever_it_and_the_task_are_called() -> None:
    ledger = Ledger(tests=[recorded_test("r1", ["a"], ["e1", "e2"], calls=["c1", "c2"])])
    groups = digests_of_groups({"renamed": ["c2", "c7"], "new": ["c8"]})
    found = earlier_tests(ledger, digests(["another key"]), groups, run_id="r2")
    assert [one.run_id for one in found] == ["r1"]
    _, used = level_of_test(found * 4, groups, 0.05)
    assert used == frozenset(digests(["new"]))
    assert earlier_tests(ledger, digests(["b"]), digests_of_groups({"e1": ["c9"]}), run_id="r2") == []


def test_a_resumed_run_tests_once_and_a_run_that_trains_again_twice() -> None:
    ledger = Ledger(tests=[recorded_test("r1", ["a"], ["g1"], "s1")])
    assert earlier(ledger, "r1", ["a"], ["g1"], "s1") == earlier(ledger, "r1", ["a"], ["g1"]) == []
    assert earlier(ledger, "r1", ["a"], ["g1"], "s2") == ["r1"]


def test_groups_that_a_run_read_and_did_not_test_count_as_tested_once() -> None:
    read = msgspec.structs.replace(recorded_test("r1", ["a"], ["g1"], "", ["c1"]), only_read=True)
    ledger = with_test(with_test(Ledger(), read), read)
    assert len(ledger.tests) == 1
    groups = digests_of_groups({f"g{i}": [f"c{i}"] for i in range(60)})
    found = earlier_tests(ledger, digests(["a"]), groups, run_id="r2")
    spending, used = level_of_test(found, groups, 0.05)
    assert used == groups.keys() - digests(["g1"]) and spending.test_level == pytest.approx(0.04)
    # where hardly any group is left that was not read, all are tested at what a test would have left
    few = digests_of_groups({"g1": ["c1"], "g2": ["c2"]})
    spending, used = level_of_test(earlier_tests(ledger, digests(["a"]), few, run_id="r2"), few, 0.05)
    assert used == few.keys() and spending.test_level == pytest.approx(level(1, 0.05))
    # once its run has tested, there is one test
    tested = recorded_test("r1", ["a"], [f"g{i}" for i in range(60)])
    both = with_test(ledger, tested)
    assert earlier_tests(both, digests(["a"]), groups, run_id="r2") == [tested]
    other = with_test(ledger, msgspec.structs.replace(tested, task_id="another task"))
    assert len(earlier_tests(other, digests(["a"]), groups, run_id="r2")) == 2
    assert was_read(ledger, {*digests(["c1", "c2"])}, "r1")
    assert not was_read(ledger, {*digests(["c2"])}, "r1") and not was_read(ledger, {*digests(["c1"])}, "r2")
    assert not was_read(Ledger(tests=[tested]), {*tested.calls}, "r1")


def test_a_ledger_holds_no_name() -> None:
    kept = msgspec.json.encode(recorded_test("r1", ["refund template"], ["customer-17"])).decode()
    assert "refund" not in kept and "customer" not in kept


def test_new_groups_are_tested_alone_where_they_carry_more_than_all_at_what_is_left() -> None:
    old, new = [f"old{i}" for i in range(100)], [f"new{i}" for i in range(80)]
    before = [recorded_test("r1", ["a"], old)]
    spent, used = level_of_test([], named(old), 0.05)
    assert spent.test_level == pytest.approx(0.04)
    assert (spent.n_groups, spent.new_groups_only) == (100, False)
    spent, used = level_of_test(before, named(old + new), 0.05)
    assert not spent.new_groups_only and len(used) == 180 and spent.test_level == pytest.approx(0.008)
    three = [recorded_test(f"r{i}", ["a"], old) for i in range(3)]
    spent, used = level_of_test(three, named(old + new), 0.05)
    assert (
        spent.new_groups_only and used == frozenset(digests(new)) and spent.test_level == pytest.approx(0.04)
    )
    assert spent.delta_left == pytest.approx(0.01)
    assert (spent.n_earlier, spent.n_groups) == (0, 80)
    spent, used = level_of_test(three, named(old + new[:9]), 0.05)
    assert not spent.new_groups_only and spent.test_level == pytest.approx(0.05 * 0.8 * 0.008)


def test_ten_tests_on_one_log_certify_a_false_claim_no_more_often_than_promised() -> None:
    """Truth .055 against epsilon .05: unpaid tests break the promise, paid ones keep it (1,000 logs, delta .10)."""
    rng = np.random.default_rng(3)
    broken = {"paid": 0, "free": 0}
    for _ in range(1000):
        errors = rng.random((100, 10)) < rng.beta(1.1, 18.9, (100, 1))  # groups of ten alike calls
        confidence = np.ones(100)
        grid = threshold_grid(confidence)
        any_paid = any_free = False
        for k in range(10):
            drawn = errors[np.arange(100), rng.integers(10, size=100)]
            any_free |= certify("not_worse_than_llm", confidence, drawn, grid, 0.05, 0.10).n_passed > 0
            any_paid |= (
                certify("not_worse_than_llm", confidence, drawn, grid, 0.05, level(k, 0.10)).n_passed > 0
            )
        broken["paid"] += any_paid
        broken["free"] += any_free
    assert broken["paid"] / 1000 <= 0.10
    assert broken["free"] / 1000 > 0.10
