"""The decision alone: certified where tools are right though arguments are not, and nothing for tasks without tools."""

from __future__ import annotations

import numpy as np
from tests.unit.stages.evaluate.conftest import ACTION, LABEL
from tests.unit.stages.evaluate.test_certify import COSTS, changed, outcomes, reading

from deputize.stages.evaluate.decision_alone import decision_alone


def test_right_tools_with_wrong_arguments_are_certified_apart() -> None:
    """Of 400 answers 100 have wrong arguments and two another tool."""
    shown = changed(outcomes(400, n_wrong=100), right_action_N=np.arange(400) >= 2)
    found = decision_alone(ACTION, reading(shown), shown, 0.05, 0.05, COSTS, 0.15)
    assert found is not None and found.certified
    assert (found.n_units, found.n_served, found.n_errors, found.share_served) == (400, 400, 2, 1.0)
    assert found.p_value is not None and found.p_value < 0.05 and found.loss_held_out == 0.005
    again = changed(shown, repeat_loss_N=np.ones(400))
    other = decision_alone(ACTION, reading(again), again, 0.05, 0.05, COSTS, 0.15)
    assert other == found, "second answers that differ in their arguments excuse no other tool"


def test_wrong_tools_are_refused_with_the_numbers_and_labels_have_no_decision() -> None:
    shown = changed(outcomes(400, n_wrong=100), right_action_N=np.arange(400) >= 90)
    found = decision_alone(ACTION, reading(shown, 10), shown, 0.05, 0.05, COSTS, 0.15)
    assert found is not None and not found.certified and found.threshold is None
    assert "90" in found.reason or "100 of 410" in found.reason
    assert decision_alone(LABEL, reading(shown), shown, 0.05, 0.05, COSTS, 0.15) is None
