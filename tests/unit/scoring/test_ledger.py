"""A second look at the same groups is paid for; new groups are free."""

from __future__ import annotations

import numpy as np
import pytest

from deputize.scoring.certificates import certify, threshold_grid
from deputize.scoring.ledger import Ledger, Look, earlier_looks, group_digests, left_after, level


def look(run: str, keys: list[str], groups: list[str]) -> Look:
    return Look(run_id=run, task_id="t", keys=keys, groups=group_digests(groups), delta=0.05, at=0.0)


def test_looks_of_one_task_never_cost_more_than_delta() -> None:
    assert sum(level(k, 0.05) for k in range(50)) <= 0.05
    assert level(0, 0.05) == pytest.approx(0.04) and left_after(1, 0.05) == pytest.approx(0.01)
    assert level(2, 0.05) + left_after(3, 0.05) == pytest.approx(left_after(2, 0.05))


def test_a_look_counts_where_key_and_group_are_shared() -> None:
    ledger = Ledger(looks=[look("r1", ["a"], ["g1", "g2"]), look("r2", ["b"], ["g1"])])
    assert [x.run_id for x in earlier_looks(ledger, "r3", ["a"], group_digests(["g2"]))] == ["r1"]
    assert earlier_looks(ledger, "r3", ["a"], group_digests(["g9"])) == []
    assert earlier_looks(ledger, "r3", ["c"], group_digests(["g1"])) == []


def test_a_resumed_run_looks_once() -> None:
    ledger = Ledger(looks=[look("r1", ["a"], ["g1"])])
    assert earlier_looks(ledger, "r1", ["a"], group_digests(["g1"])) == []


def test_ten_looks_at_one_log_certify_a_false_claim_no_more_often_than_promised() -> None:
    """Truth .055 against epsilon .05: unpaid looks break the promise, paid ones keep it (1,000 logs, delta .10)."""
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
