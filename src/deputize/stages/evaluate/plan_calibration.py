"""How many calibration calls a test asks for: by the speed on validation, before one of them is answered."""

from __future__ import annotations

from deputize.core.deadline import Deadline
from deputize.scoring.certificates import units_needed
from deputize.stages.evaluate.evaluated_method import EvaluatedMethod

CALIBRATION_SHARE, MOST_CALIBRATION = 0.6, 0.85
"""Of a task's time: for calibration, and for the units that a claim needs where that is too little."""


def planned_calls(method: EvaluatedMethod, deadline: Deadline, epsilon: float, level: float) -> int:
    """Calibration calls that a method is likely to answer in its part of the time, at most all.

    Args:
        method: the chosen one, whose speed on validation is known.
        deadline: of the task.
        epsilon: the loss to be claimed.
        level: of the test.
    """
    left_s, needed = deadline.left_s(), units_needed(epsilon, level)
    planned = method.timed.affordable(CALIBRATION_SHARE * left_s)
    if planned < 2 * needed:
        planned = min(2 * needed, method.timed.affordable(MOST_CALIBRATION * left_s))
    judge = method.context.judge
    if judge is not None:  # what it has no questions for would count as wrong
        planned = min(planned, judge.affordable("calibration"))
    return int(min(planned, len(method.calls.split("calibration"))))
