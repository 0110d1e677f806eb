"""Calibration calls that a test asks: by the time there is and the speed on validation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.stages.evaluate.conftest import Clock, Slow

from deputize.core.deadline import Deadline
from deputize.scoring.costs import load_prices
from deputize.stages.evaluate.evaluated_method import EvaluatedMethod, EvaluationContext
from deputize.stages.evaluate.plan_calibration import CALIBRATION_SHARE, MOST_CALIBRATION, planned_calls


@pytest.fixture
def one(world: Callable[..., Any], tmp_path: Path) -> tuple[EvaluatedMethod, Clock]:
    """A method that takes a second a call, and has answered validation."""
    w, clock = world(methods={"lora": 0.0}, n_calls=3000), Clock()

    def load(folder: Any) -> Slow:
        return Slow(w.load(folder), clock, lambda n, text: 1.0)

    context = EvaluationContext(
        w.home, load, load_prices(tmp_path), clock, lambda what, done, total=None: None
    )
    made = EvaluatedMethod.load(w.finetuned.specialists[0], w.calls(), context)
    made.evaluate_validation(Deadline.after(None, clock))
    return made, clock


def test_as_many_as_fit_into_a_part_of_the_time_and_more_of_it_where_a_claim_needs_them(
    one: tuple[EvaluatedMethod, Clock],
) -> None:
    method, clock = one
    n = method.calls.n("calibration")

    def planned(seconds: float | None) -> int:
        return planned_calls(method, Deadline.after(seconds, clock), 0.02, 0.05)

    assert planned(1000.0) == 1000 * CALIBRATION_SHARE < n
    assert planned(300.0) == 300 * MOST_CALIBRATION, "149 units at least, and some to err in"
    assert planned(None) == planned(1e9) == n
    assert planned(1.1) == planned(0.0) == 0, (
        "a call fits into the time, but not into its part for calibration"
    )
