"""Time budgets on a clock that only moves when the test says so."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from deputize.core.deadline import Deadline


@dataclass
class _Clock:
    now_s: float = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_time_left_falls_to_zero_and_no_further() -> None:
    clock = _Clock()
    deadline = Deadline.after(10, clock)
    assert deadline.left_s() == 10 and not deadline.passed
    clock.now_s += 4
    assert deadline.left_s() == pytest.approx(6) and not deadline.passed
    clock.now_s += 6
    assert deadline.left_s() == 0 and deadline.passed
    clock.now_s += 50
    assert deadline.left_s() == 0 and deadline.passed


@pytest.mark.parametrize("seconds", [None, math.inf])
def test_without_a_limit_nothing_passes_and_every_part_is_without_a_limit(seconds: float | None) -> None:
    clock = _Clock()
    deadline = Deadline.after(seconds, clock)
    clock.now_s += 1e12
    assert not deadline.is_limited and not deadline.passed
    assert deadline.left_s() == math.inf
    assert deadline.part(0).left_s() == math.inf and deadline.part(0.5, least_s=1).left_s() == math.inf


def test_a_part_is_a_share_of_what_is_left_now_not_of_the_whole() -> None:
    clock = _Clock()
    deadline = Deadline.after(100, clock)
    clock.now_s += 60
    assert deadline.part(0.25).left_s() == pytest.approx(10)
    assert deadline.part(1).left_s() == pytest.approx(40)


def test_equal_parts_one_after_another_use_all_of_the_time() -> None:
    clock = _Clock()
    deadline = Deadline.after(90, clock)
    for n_left in (3, 2, 1):
        part = deadline.part(1 / n_left)
        assert part.left_s() == pytest.approx(30)
        clock.now_s += 30
        assert part.passed
    assert deadline.passed


def test_the_least_of_a_part_is_given_as_far_as_time_goes() -> None:
    clock = _Clock()
    deadline = Deadline.after(20, clock)
    assert deadline.part(0.1, least_s=5).left_s() == pytest.approx(5)
    assert deadline.part(0.5, least_s=5).left_s() == pytest.approx(10)
    assert deadline.part(0.1, least_s=500).left_s() == pytest.approx(20)


def test_a_part_of_a_deadline_that_has_passed_has_passed_too() -> None:
    clock = _Clock()
    deadline = Deadline.after(1, clock)
    clock.now_s += 2
    assert deadline.part(0.5).passed and deadline.part(0.5, least_s=3).passed
