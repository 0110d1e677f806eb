"""Evaluation end to end with simulated specialists of known accuracy."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from deputize.core.artifacts import Finetuned, Selected
from deputize.core.config import Convert
from deputize.core.contracts import DEFER
from deputize.core.deadline import Deadline
from deputize.core.records import Contract

ACTION = Contract(kind="tool_call", tools=["find", "book"], may_defer=True)
Make = Callable[..., Any]


def test_a_good_specialist_earns_a_certificate_that_holds(world: Make) -> None:
    (result,) = world().run()
    assert result.refusal_reason == "" and result.certificate is not None and result.held_out is not None
    assert result.chosen == "t1-lora"
    assert result.certificate.kind == "not_worse_than_llm"
    assert result.certificate.share_served > 0.5
    assert result.held_out.share_served == pytest.approx(result.certificate.share_served, abs=0.08)
    assert result.held_out.loss_difference <= 0.02 + 0.01
    low, high = result.held_out.loss_difference_interval
    assert low <= result.held_out.loss_difference <= high
    assert result.test is not None and 0.9 < result.test.tuned_accuracy < 0.95  # 1 - hardness / 4
    assert result.test.base_accuracy == 0.31
    assert 0.5 < result.test.majority_accuracy < 0.7
    assert "at most 2 %" in result.certificate.claim


def test_every_call_served_when_the_specialist_is_perfect(world: Make) -> None:
    (result,) = world(methods={"linear": 0.0}).run()
    assert result.certificate.share_served == 1.0
    assert result.held_out.share_served == 1.0 and result.held_out.loss_difference == 0.0
    assert result.held_out.loss_difference_interval[1] > 0  # no error seen is not no error possible


def test_the_cheaper_method_wins_when_the_more_expensive_one_is_no_better(world: Make) -> None:
    (result,) = world(methods={"linear": 0.3, "lora": 0.3}).run()
    assert result.chosen == "t1-linear"
    trained = [row for row in result.methods if row.trained]
    assert [row.chosen for row in trained] == [True, False]
    assert all(row.test_accuracy is not None for row in trained)


def test_only_the_chosen_method_sees_calibration_and_nobody_sees_test_before(world: Make) -> None:
    w = world(n_calls=1200)
    (result,) = w.run()
    by_split = {e.request.messages[-1]["content"]: e.split for e in w.curated.examples}
    asked = {p: [by_split[t] for t in sim.asked] for p, sim in w.predictors.items()}
    for path, splits in asked.items():
        assert "train" not in splits
        assert ("calibration" in splits) == path.endswith(result.chosen.removeprefix("t1-"))
        order = [key for key, _ in itertools.groupby(splits)]
        assert order in (["validation", "calibration", "test"], ["validation", "test"])


def test_too_few_groups_are_refused_with_the_number_needed(world: Make) -> None:
    (result,) = world(n_calls=1500, per_group=30).run()
    assert result.certificate is None and result.held_out is None
    assert "160 without an error are needed to claim 0.02 at level 0.04" in result.refusal_reason
    assert "with hindsight" in result.refusal_reason
    assert result.evaluation.n_calibration_groups < 30 and result.evaluation.units_needed == 160
    assert result.curve and result.test is not None  # the numbers are shown all the same


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_a_giant_group_leaves_few_units_in_whatever_split_it_is(world: Make, split: str) -> None:
    """It is a part of the traffic that calibration has not seen: calls of small groups alone say little of all calls."""
    w = world(methods={"lora": 0.0}, n_calls=600)
    examples = [
        msgspec.structs.replace(e, group="giant") if e.split == split else e for e in w.curated.examples
    ]
    w.curated = msgspec.structs.replace(w.curated, examples=examples)
    (result,) = w.run(Convert(epsilon=0.1))
    assert result.certificate is None and result.evaluation.n_calibration_groups <= 10


def test_a_bad_specialist_is_refused(world: Make) -> None:
    (result,) = world(methods={"lora": 1e9}).run()
    assert result.certificate is None
    assert result.refusal_reason and "loss of 0.02" in result.refusal_reason


def test_a_mixed_site_counts_replies_to_people_as_errors_and_reports_shares_of_calls_for_code(
    world: Make,
) -> None:
    w = world(contract=ACTION, people=0.5, methods={"lora": 0.5}, n_calls=4000)
    (result,) = w.run(Convert(epsilon=0.05))
    assert result.certificate is not None and "meant for people" in result.certificate.claim
    assert result.evaluation.mixed and result.held_out.errors_on_calls_for_people > 0
    assert result.held_out.n_code_calls < result.held_out.n_calls
    # the same truth served without the calls for people would look better than it is
    assert result.held_out.loss_difference > 0
    assert result.held_out.share_served > 0.5
    assert result.evaluation.action_accuracy >= result.test.tuned_accuracy


def test_defer_is_never_served(world: Make) -> None:
    w = world(contract=ACTION, people=1.0, methods={"lora": 0.0}, n_calls=1500)
    (result,) = w.run()
    assert all(sim.truth[t] == DEFER for sim in w.predictors.values() for t in sim.asked)
    assert result.certificate is None  # always right to defer, and nothing to serve
    assert result.test.tuned_accuracy == 1.0


def test_repeated_samples_give_the_llm_its_own_disagreement(world: Make) -> None:
    """At 6 % error everywhere plain agreement refuses to serve all; against an LLM that differs 10 % from itself it
    may."""
    (repeated,) = world(repeats_differ=0.10, methods={"lora": 0.24}, n_calls=6000).run()
    (plain,) = world(methods={"lora": 0.24}, n_calls=6000).run()
    assert (
        repeated.certificate.kind == "not_worse_than_repeats"
        and "agrees with itself" in repeated.certificate.claim
    )
    assert repeated.certificate.share_served > plain.certificate.share_served
    assert repeated.evaluation.llm_self_agreement.agreement == pytest.approx(0.9, abs=0.02)


def test_other_epsilons_are_reported_in_order(world: Make) -> None:
    (result,) = world().run(Convert(epsilon=0.03))
    rows = result.by_epsilon
    assert [r.epsilon for r in rows] == [0.01, 0.02, 0.03, 0.05, 0.1]
    for kind in ("share_certified", "oracle_coverage"):
        assert [getattr(r, kind) for r in rows] == sorted(getattr(r, kind) for r in rows)
    assert all(r.share_certified <= r.oracle_coverage_calibration_and_test + 0.1 for r in rows)


def test_results_do_not_depend_on_the_order_of_the_log(world: Make) -> None:
    w = world(n_calls=1500)
    (first,) = w.run(clock=lambda: 0.0)
    w.curated = msgspec.structs.replace(w.curated, examples=w.curated.examples[::-1])
    (second,) = w.run(clock=lambda: 0.0)
    assert first == second


def test_without_a_deadline_every_call_of_validation_calibration_and_test_is_read(world: Make) -> None:
    w = world(n_calls=6000)
    (result,) = w.run()
    n = {
        side: sum(e.split == side for e in w.curated.examples)
        for side in ("validation", "calibration", "test")
    }
    assert result.evaluation.n_calibration_calls == n["calibration"] and result.test.n_calls == n["test"]
    assert result.evaluation.n_validation == n["validation"] and all(
        r.n_test == n["test"] for r in result.methods if r.trained
    )


def test_a_certificate_belongs_to_one_specialist(world: Make) -> None:
    w = world(n_calls=1500)
    (first,) = w.run()
    (same,) = w.run()
    again = [msgspec.structs.replace(s, checksums={"adapter": "other"}) for s in w.finetuned.specialists]
    w.finetuned = Finetuned(specialists=again)
    (retrained,) = w.run()
    assert same.certificate == first.certificate
    assert retrained.certificate.threshold == first.certificate.threshold
    assert retrained.certificate.id != first.certificate.id


def test_untrained_tasks_say_why(world: Make) -> None:
    w = world(methods={})
    w.selected = Selected(
        candidates={}, plan={}, base_model="m", refused={"t1": "41 calls are too few to learn from"}
    )
    (result,) = w.run()
    assert result.refusal_reason == "41 calls are too few to learn from" and result.chosen == ""
    w.finetuned = Finetuned(specialists=[], refused={"t1": "out of time"})
    assert w.run()[0].refusal_reason == "out of time"
    w.curated = msgspec.structs.replace(w.curated, examples=[])
    w.finetuned = Finetuned(specialists=[])
    w.selected = Selected(candidates={}, plan={}, base_model="m")
    assert "no specialist" in w.run()[0].refusal_reason


def test_progress_is_told(world: Make) -> None:
    seen: list[tuple[str, int, int | None]] = []
    world(n_calls=600).run(progress=lambda what, done, total=None: seen.append((what, done, total)))
    assert any("calibration" in what for what, _, _ in seen)
    assert all(total is None or done <= total for _, done, total in seen)


def test_a_specialist_that_is_never_right_on_dev_costs_no_calibration(world: Make) -> None:
    w = world(methods={"lora": 1e30})
    (result,) = w.run(deadline=Deadline.after(60.0))
    assert result.certificate is None and "not one of" in result.refusal_reason
    by_split = {e.request.messages[-1]["content"]: e.split for e in w.curated.examples}
    assert {by_split[text] for sim in w.predictors.values() for text in sim.asked} == {"validation"}


def test_a_model_that_is_worse_on_newer_calls_is_refused(world: Make) -> None:
    """Right on validation and calibration, wrong on every fifth held-out call."""
    w = world(methods={"lora": 0.0}, n_calls=3000)
    newer = {e.request.messages[-1]["content"] for e in w.curated.examples if e.split == "test"}
    (sim,) = w.predictors.values()
    truth = dict(sim.truth)
    for text in sorted(newer)[::5]:
        sim.truth[text] = "other" if truth[text] != "other" else "refund"
    (result,) = w.run()
    assert result.certificate is None and result.refusal_reason.startswith(
        "Certified on calibration calls, but newer ones"
    )
    assert result.held_out is None and result.test is not None


def test_the_claim_is_about_the_served_calls_too(world: Make) -> None:
    (result,) = world().run()
    assert result.certificate.served_limit == pytest.approx(0.06)
    assert "and in at most 6 % of those it answers" in result.certificate.claim


def test_a_route_pays_for_its_audits_and_its_errors(world: Make) -> None:
    w = world(methods={"lora": 0.3}, n_calls=2000)
    (free,) = w.run()
    (priced,) = w.run(Convert(epsilon=0.02, error_usd={"t1": 100.0}))
    assert priced.certificate.n_errors < free.certificate.n_errors
    assert priced.certificate.share_served < free.certificate.share_served
    (audited,) = w.run(audit_share=1.0)
    assert audited.certificate is None and "cost more than it saves" in audited.refusal_reason
