"""Rows of a result: what was not read is None, and sums by group add up to the loss."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.stages.evaluate.test_certify import COSTS, GRID, changed, outcomes, reading

from deputize.core.artifacts import Candidate, Specialist
from deputize.core.records import Certificate, Contract, PromptRecipe, Task
from deputize.stages.evaluate import certify, rows

NOTHING = outcomes(0)
LABEL = Contract(kind="label", labels=["a"])


def certificate(kind: str = "not_worse_than_llm", threshold: float = 0.5) -> Certificate:
    return Certificate(
        id="c",
        kind=kind,
        epsilon=0.02,
        delta=0.05,
        n_calibration=200,
        threshold=threshold,
        share_served=1.0,
        p_value=0.01,
        claim="",
    )


def probe(model: str, accuracy: float | None, n_probe: int = 40, method: str = "") -> Candidate:
    return Candidate(model=model, probe_accuracy=accuracy, n_probe=n_probe, method=method)


def test_baselines_are_what_was_probed_often_enough() -> None:
    probed = [probe("m", 0.4), probe("m", 0.5, 3), probe("n", None), probe("", 0.6, method="majority")]
    found = rows.baseline_rows([*probed, probe("n", 0.7, method="few-shot")], 0.55)
    assert [(r.method, r.model, r.test_accuracy, r.probe_accuracy) for r in found] == [
        ("majority", "", 0.55, None),
        ("probe: as it is", "m", None, 0.4),
        ("probe: few-shot", "n", None, 0.7),
    ]
    assert not any(r.trained or r.chosen for r in found)


def test_the_base_accuracy_is_the_best_probe_of_the_same_model() -> None:
    task = Task(id="t", name="t", contract=LABEL, recipe=PromptRecipe(), keys=[])
    chosen = Specialist(
        id="s",
        task_id="t",
        method="lora",
        model="m",
        kind="head",
        contract=LABEL,
        task=task,
        n_train=1,
        train_s=1.0,
    )
    probed = [probe("m", 0.4), probe("m", 0.5, method="few-shot"), probe("n", 0.9)]
    assert rows.base_accuracy(chosen, probed) == 0.5
    assert rows.base_accuracy(chosen, [probe("n", 0.9), probe("m", 0.99, method="linear")]) == 0.9
    assert rows.base_accuracy(chosen, [probe("m", 0.9, 3)]) is None


def test_held_out_calls_are_served_from_the_threshold_on() -> None:
    of = outcomes(10, 2)
    of = changed(of, confidence_N=np.where(np.arange(10) < 5, 0.9, 0.1), counts_N=np.arange(10) != 0)
    held, groups = rows.held_out(of, certificate(), 0)
    assert held is not None and (held.n_calls, held.n_code_calls, held.n_served) == (10, 9, 5)
    assert held.share_served == pytest.approx(4 / 9) and held.agreement_of_served == pytest.approx(3 / 5)
    assert held.loss_difference == pytest.approx(0.2) and held.errors_on_calls_for_people == 1
    assert sum(n for n, _ in groups.values()) == held.n_code_calls
    assert sum(lost for _, lost in groups.values()) == pytest.approx(held.loss_difference * held.n_calls)
    assert held.share_of_cost_served == pytest.approx(4 / 9)
    assert rows.held_out(of, None, 0) == rows.held_out(NOTHING, certificate(), 0) == (None, {})


def test_the_loss_of_an_average_episode_stands_next_to_that_of_all_calls() -> None:
    """A long episode of eight calls, four of them wrong, and two short ones without an error."""
    of = changed(outcomes(10), right_N=np.arange(10) >= 4, groups=["long"] * 8 + ["a", "b"])
    held, _ = rows.held_out(of, certificate(), 0)
    assert held is not None and held.loss_difference == pytest.approx(0.4)
    assert held.loss_per_episode == pytest.approx((0.5 + 0 + 0) / 3)


def test_the_llms_own_disagreement_is_subtracted_only_where_that_was_certified() -> None:
    of = outcomes(10, 5, repeat_loss=0.5)
    plain, _ = rows.held_out(of, certificate(), 0)
    against, _ = rows.held_out(of, certificate("not_worse_than_repeats"), 0)
    assert plain is not None and against is not None
    assert (plain.loss_difference, against.loss_difference) == (0.5, 0.0)


def test_a_row_for_an_epsilon_that_was_refused_serves_nothing() -> None:
    shown = outcomes(50, 1)
    refused = rows.by_epsilon(
        certify.attempt(reading(outcomes(20)), GRID, 0.02, 0.05, COSTS), outcomes(20), shown
    )
    assert not refused.certified and refused.threshold is None and refused.share_held_out == 0.0
    assert refused.loss_held_out == 0.0 and refused.units_needed == 149 and refused.reason
    made = rows.by_epsilon(
        certify.attempt(reading(outcomes(200)), GRID, 0.02, 0.05, COSTS), outcomes(200), shown
    )
    assert made.certified and made.share_held_out == 1.0 and made.loss_held_out == pytest.approx(0.02)


def test_what_was_not_read_has_no_score() -> None:
    assert rows.test_score(NOTHING, 0.5, 0.5) is None
    score = rows.test_score(outcomes(20, 5), 0.5, None)
    assert score is not None and score.tuned_accuracy == 0.75 and score.majority_accuracy == 0.5
    assert rows.action_accuracy(outcomes(4, 1), LABEL) is None
    assert rows.action_accuracy(outcomes(4, 1), Contract(kind="tool_call", tools=["f"])) == 0.75


def test_self_agreement_counts_the_calls_that_were_asked_again() -> None:
    again = changed(outcomes(10), repeat_loss_N=np.where(np.arange(10) < 4, 0.25, np.nan))
    found = rows.self_agreement(again, outcomes(5))
    assert found is not None and found.agreement == 0.75 and found.n_calls == 4
    assert rows.self_agreement(outcomes(5)) is None


def test_the_record_of_calibration_says_which_calls_were_units() -> None:
    known = changed(outcomes(4, 1), call_ids=list("0123"), answers=[""] * 4)
    tried = certify.attempt(reading(outcomes(200)), GRID, 0.02, 0.05, COSTS)
    made = rows.calibration_calls(certify.CalibrationResult(known, 2, 0, ""), tried)
    assert [(one.call_id, one.is_unit, one.right, one.served) for one in made] == [
        ("0", True, False, True),
        ("1", True, True, True),
        ("2", False, True, True),
        ("3", False, True, True),
    ]
    refused = certify.attempt(reading(outcomes(4)), GRID, 0.02, 0.05, COSTS)
    assert not any(one.served for one in rows.calibration_calls(reading(known), refused))


def test_bands_of_confidence_hold_every_asked_call_once() -> None:
    of = outcomes(60, 6)
    confidence_N = np.repeat([-np.inf, 0.2, 0.5, 0.5, 0.9, 1.0], 10)
    found = rows.by_confidence(changed(of, confidence_N=confidence_N), most=4)
    assert sum(band.n_calls for band in found) == 50, "a call left to the LLM is in none"
    assert sum(band.n_agreed for band in found) == int(of.right_N[10:].sum())
    assert [band.lowest_confidence for band in found] == sorted({b.lowest_confidence for b in found})
    assert max(band.n_calls for band in found if band.highest_confidence == 0.5) >= 20, (
        "equals are not parted"
    )
    assert rows.by_confidence(NOTHING) == []
