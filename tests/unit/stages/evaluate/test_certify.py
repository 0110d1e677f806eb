"""Calibration: what is planned and not read counts as wrong, and the words of a claim carry its numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from tests.unit.stages.evaluate.conftest import Clock, Recorded, Slow, recorded, split_of

from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.records import RequestLimits
from deputize.scoring.call_costs import CallCosts
from deputize.scoring.costs import load_prices
from deputize.scoring.ledger import digests
from deputize.stages.evaluate import certify
from deputize.stages.evaluate.evaluated_method import EvaluatedMethod, EvaluationContext
from deputize.stages.evaluate.evaluation import Evaluation
from deputize.stages.evaluate.plan_calibration import planned_calls
from deputize.stages.evaluate.population import Population
from deputize.stages.evaluate.task_calls import TaskCalls

PRICES = load_prices()
COSTS = CallCosts(llm_usd=1.0, specialist_usd=0.0)
GRID = np.array([0.9, 0.5])


def outcomes(
    n: int, n_wrong: int = 0, *, confidence: float = 0.95, repeat_loss: float = np.nan
) -> Evaluation:
    """N calls of a group each, the first `n_wrong` answered wrongly."""
    names, right = [str(i) for i in range(n)], np.arange(n) >= n_wrong
    ones = np.ones(n)
    return Evaluation(
        names, names, ones * confidence, right, right, ones.astype(bool), ones, ones * repeat_loss, 1.0
    )


def reading(of: Evaluation, n_not_evaluated: int = 0) -> certify.CalibrationResult:
    return certify.CalibrationResult(
        of, len(of) + n_not_evaluated, n_not_evaluated, "; time was short" if n_not_evaluated else ""
    )


def test_without_an_error_149_units_carry_a_claim_and_148_do_not() -> None:
    made = certify.attempt(reading(outcomes(149)), GRID, 0.02, 0.05, COSTS)
    assert made.threshold == 0.95 and made.share_served == 1.0 and made.reason == ""
    assert made.p_value is not None and made.p_value <= 0.05
    few = certify.attempt(reading(outcomes(148)), GRID, 0.02, 0.05, COSTS)
    assert few.threshold is None and few.p_value is None and few.share_served == 0.0
    assert "149 without an error are needed" in few.reason


def test_units_that_were_not_read_count_as_served_and_wrong() -> None:
    made = certify.attempt(reading(outcomes(400), n_not_evaluated=40), GRID, 0.02, 0.05, COSTS)
    assert made.index is None and made.sequence.n_units == 440
    assert made.sequence.n_errors_L.tolist() == [40]
    assert made.reason.endswith("; time was short")


def test_a_threshold_that_serves_next_to_nothing_is_refused_with_what_stopped_it() -> None:
    of = outcomes(1000)
    of = changed(of, confidence_N=np.where(np.arange(1000) < 30, 0.95, 0.6))
    of = changed(of, right_N=np.arange(1000) < 30)
    made = certify.attempt(reading(of), GRID, 0.02, 0.05, COSTS)
    assert made.index is None and made.share_served == 0.0
    assert made.reason.startswith("only 3 % of the calls") and "970 of 1000 served calls" in made.reason


def changed(of: Evaluation, **given: Any) -> Evaluation:
    """An evaluation with other arrays."""
    return Evaluation(**{**{name: getattr(of, name) for name in Evaluation.__dataclass_fields__}, **given})


def test_repeated_samples_change_the_claim_from_a_fifth_of_the_units_on() -> None:
    some = changed(outcomes(500), repeat_loss_N=np.where(np.arange(500) < 100, 0.5, np.nan))
    made = certify.attempt(reading(some), GRID, 0.02, 0.05, COSTS)
    assert (made.sequence.kind, made.n_repeated) == ("not_worse_than_repeats", 100)
    fewer = changed(some, repeat_loss_N=np.where(np.arange(500) < 99, 0.5, np.nan))
    made = certify.attempt(reading(fewer), GRID, 0.02, 0.05, COSTS)
    assert (made.sequence.kind, made.n_repeated) == ("not_worse_than_llm", 99)


def evaluated_method(world: Any, clock: Clock, seconds: float) -> EvaluatedMethod:
    def load(folder: Any) -> Slow:
        return Slow(world.load(folder), clock, lambda n, t: seconds)

    context = EvaluationContext(world.home, load, PRICES, clock, lambda what, done, total=None: None)
    return EvaluatedMethod.load(world.finetuned.specialists[0], world.calls(), context)


def test_with_time_enough_one_call_of_each_group_comes_first_and_then_the_rest(
    world: Callable[..., Any],
) -> None:
    w, clock = world(methods={"lora": 0.0}, n_calls=900, per_group=3), Clock()
    one = evaluated_method(w, clock, 0.0)
    units = certify.calibration_units(one.calls, 0)
    made = certify.evaluate_calibration(one, Deadline.after(None, clock), units, planned=10**6)
    calibration = [e for e in w.curated.examples if e.split == "calibration"]
    groups = made.evaluation.groups
    assert len(groups) == len(calibration) and made.n_not_evaluated == 0 and made.shortfall == ""
    assert len(set(groups[: made.n_units])) == made.n_units == len({e.group for e in calibration})


def test_units_stand_for_calls_where_groups_are_of_unequal_size(world: Callable[..., Any]) -> None:
    """A fifth of the episodes holds nine tenths of the calls: one call of each would be one call in five from there."""
    w = world(methods={"lora": 0.0}, n_calls=4600)
    long = {f"g{i}": f"long{i % 80}" for i in range(3600)}
    examples = [
        msgspec.structs.replace(e, group=(group := long.get(e.group, e.group)), split=split_of(group))
        for e in w.curated.examples
    ]
    w.curated = msgspec.structs.replace(w.curated, examples=examples)
    clock = Clock()
    calibration = [e for e in examples if e.split == "calibration"]
    share = np.mean([e.group.startswith("long") for e in calibration])
    drawn = []
    one = evaluated_method(w, clock, 0.0)
    for seed in range(20):
        units = certify.calibration_units(one.calls, seed)
        made = certify.evaluate_calibration(one, Deadline.after(None, clock), units, planned=10**6)
        drawn += [g.startswith("long") for g in made.evaluation.groups[: made.n_units]]
    assert share > 0.7 and abs(np.mean(drawn) - share) < 0.05, "the share that they have among the calls"


def test_the_number_of_units_is_fixed_by_the_speed_before_one_is_read(world: Callable[..., Any]) -> None:
    w, clock = world(methods={"lora": 0.0}, n_calls=3000), Clock()
    one = evaluated_method(w, clock, 1.0)
    one.evaluate_validation(Deadline.after(None, clock))
    deadline = Deadline.after(1000.0, clock)
    units = certify.calibration_units(one.calls, 0)
    n_planned = planned_calls(one, deadline, 0.02, 0.05)
    made = certify.evaluate_calibration(one, deadline, units, planned=n_planned)
    assert made.n_units == 600 and made.n_not_evaluated == 0 and len(made.evaluation) == 600
    assert "time allowed for 600 of" in made.shortfall and "1 s a call" in made.shortfall
    short = Deadline.after(300.0, clock)
    assert planned_calls(one, short, 0.02, 0.05) == 255, (
        "more of the time where calibration would not be enough"
    )


def test_a_refusal_for_want_of_time_says_so_where_the_speed_was_not_known(
    world: Callable[..., Any],
) -> None:
    w, clock = world(methods={"linear": 0.0}, n_calls=300), Clock()
    one = evaluated_method(w, clock, 0.0)
    one.evaluate_validation(Deadline.after(None, clock))
    over = Deadline.after(1.0, clock)
    clock.now += 2.0
    made = certify.evaluate_calibration(one, over, certify.calibration_units(one.calls, 0), planned=99)
    assert made.n_not_evaluated == made.n_units > 0
    assert f"the time was over after 0 of {made.n_units} units" in made.shortfall


def test_a_certificate_names_its_specialist_and_its_numbers(world: Callable[..., Any]) -> None:
    (specialist,) = world(methods={"lora": 0.0}, n_calls=100).finetuned.specialists
    made = certify.attempt(reading(outcomes(400, 1)), GRID, 0.02, 0.05, COSTS)
    limits = RequestLimits(models=["gpt-4o"])
    given: dict[str, Any] = {"limits": limits, "mixed": False, "calibration": reading(outcomes(400, 1))}
    certificate = certify.certificate_of(made, specialist, Convert(epsilon=0.02), **given)
    assert certificate is not None and certificate.id.startswith("t1-not_worse_than_llm-0.02-0.05-")
    assert (certificate.n_calibration, certificate.n_served, certificate.n_errors) == (400, 400, 1)
    again = certify.certificate_of(made, specialist, Convert(epsilon=0.02), **given)
    other = certify.certificate_of(
        made, msgspec.structs.replace(specialist, checksums={"a": "b"}), Convert(epsilon=0.02), **given
    )
    assert again == certificate and other is not None and other.id != certificate.id
    few = certify.UnitFacts("none", 5)
    about = certify.certificate_of(made, specialist, Convert(epsilon=0.02), **given, units=few)
    assert about is not None and (about.linked_by, about.n_people) == ("none", 5)
    assert about.claim.startswith(certificate.claim) and "of 5 people" in about.claim
    for_new = certify.certificate_of(
        made,
        specialist,
        Convert(epsilon=0.02),
        **given,
        units=certify.UnitFacts("header", 300, by_person=True),
    )
    assert for_new is not None and for_new.n_people == 300 and for_new.claim == certificate.claim
    refused = certify.attempt(reading(outcomes(10)), GRID, 0.02, 0.05, COSTS)
    assert certify.certificate_of(refused, specialist, Convert(epsilon=0.02), **given) is None


def test_a_refusal_says_what_held_out_calls_showed() -> None:
    refused = certify.attempt(reading(outcomes(10)), GRID, 0.02, 0.05, COSTS)
    said = certify.refusal(refused, outcomes(100, 20), "lora", 0.02)
    assert said.startswith("10 independent calibration groups") and "agreed with the LLM on 80 %" in said
    assert certify.refusal(refused, outcomes(0), "lora", 0.02).endswith("level 0.05.")
    assert (
        certify.refusal(
            certify.attempt(reading(outcomes(200)), GRID, 0.02, 0.05, COSTS), outcomes(9), "lora", 0.02
        )
        == ""
    )


def test_the_served_calls_have_a_limit_of_their_own() -> None:
    """A sixth of the calls served, a fifth of them wrong: 3 % of all, and still no claim."""
    confidence = np.where(np.arange(600) < 100, 0.95, 0.1)
    of = changed(outcomes(600), confidence_N=confidence, right_N=np.arange(600) >= 20)
    assert certify.attempt(reading(of), GRID, 0.05, 0.05, COSTS).index is not None
    assert certify.attempt(reading(of), GRID, 0.05, 0.05, COSTS, served_limit=0.15).index is None


def test_a_walk_starts_where_enough_calls_are_served_whatever_validation_said() -> None:
    """Seven of 111 calls at the strictest threshold, all others at the next, none wrong: too few to start with."""
    of = changed(outcomes(111), confidence_N=np.where(np.arange(111) < 7, 0.95, 0.85))
    made = certify.attempt(reading(of), GRID, 0.05, 0.04, COSTS, served_limit=0.15)
    assert made.threshold == 0.85 and made.share_served == 1.0


def test_the_units_own_confidences_are_walked_but_against_repeated_samples_those_of_validation() -> None:
    of = changed(outcomes(400), confidence_N=np.linspace(0.99, 0.02, 400))
    own = certify.attempt(reading(of), GRID, 0.02, 0.05, COSTS).sequence
    assert own.thresholds_L.tolist() == sorted(of.confidence_N, reverse=True)
    repeated = changed(of, repeat_loss_N=np.zeros(400))
    assert certify.attempt(reading(repeated), GRID, 0.02, 0.05, COSTS).sequence.thresholds_L.tolist() == [
        0.9,
        0.5,
    ]


def test_a_route_that_costs_more_than_it_saves_is_refused_with_the_numbers() -> None:
    dear = CallCosts(llm_usd=1.0, specialist_usd=1.1)
    made = certify.attempt(reading(outcomes(400)), GRID, 0.02, 0.05, dear)
    assert made.index is None and "cost more than it saves" in made.reason and "specialist 1.1" in made.reason
    risky = CallCosts(llm_usd=1.0, specialist_usd=0.0, audit_share=0.02, error_usd=500.0)
    made = certify.attempt(reading(outcomes(400, 1)), GRID, 0.02, 0.05, risky)
    assert made.index is None and "wrong answers 1.2" in made.reason


def test_where_the_llm_has_no_price_a_slower_specialist_is_refused_and_a_faster_one_is_not() -> None:
    slow = CallCosts(llm_usd=0.0, specialist_usd=1e-6, llm_s=0.4, specialist_s=0.5)
    made = certify.attempt(reading(outcomes(400)), GRID, 0.02, 0.05, slow)
    assert made.index is None and "slower than the LLM, and nothing else would be saved" in made.reason
    assert "a call takes 0.5 s here and 0.4 s with the LLM" in made.reason
    fast = CallCosts(llm_usd=0.0, specialist_usd=1e-6, llm_s=0.4, specialist_s=0.05)
    made = certify.attempt(reading(outcomes(400)), GRID, 0.02, 0.05, fast)
    assert made.index is not None and made.share_served == 1.0


def test_newer_calls_that_contradict_a_certificate_block_it() -> None:
    made = certify.attempt(reading(outcomes(400)), GRID, 0.05, 0.05, COSTS)
    assert certify.contradiction(outcomes(300, 15), made, 1, 0) == ""
    said = certify.contradiction(outcomes(300, 54), made, 1, 0)
    assert "of 300 independent held-out calls 54 were served and wrong" in said
    refused = certify.attempt(reading(outcomes(10)), GRID, 0.05, 0.05, COSTS)
    assert (
        certify.contradiction(outcomes(300, 300), refused, 1, 0)
        == ""
        == certify.contradiction(outcomes(0), made, 1, 0)
    )


def test_only_groups_that_may_be_drawn_on_are(world: Callable[..., Any]) -> None:
    calls = world(methods={"lora": 0.0}, n_calls=600, per_group=3).calls()
    groups = [c.group for c in calls.split("calibration")]
    allowed = sorted(set(groups))[:20]
    drawn = certify.calibration_units(calls, 0, frozenset(digests(allowed)))
    assert sorted(groups[at] for at in drawn) == allowed
    assert {groups[at] for at in certify.calibration_units(calls, 0)} == set(groups)


def test_groups_larger_than_any_before_weigh_as_much_as_their_calls(world: Callable[..., Any]) -> None:
    """Episodes of one call until calibration, some of ten calls from then on: these are drawn ten times as often."""
    one = world(methods={"lora": 0.0}, n_calls=3000)
    of_one, split = one.calls(), one.calls().split("calibration")
    long = {c.call_id: f"long{at // 10}" for at, c in enumerate(split[:300])}
    regrouped = [msgspec.structs.replace(c, group=long.get(c.call_id, c.group)) for c in of_one.all]
    population = Population({of_one.task.id: regrouped}, one.population)
    calls = TaskCalls(of_one.task, population, 0, of_one.largest_group)
    drawn = [calls.split("calibration")[at] for at in certify.calibration_units(calls, 0)]
    assert sum(c.call_id in long for c in drawn) == 30
    n_short = len(split) - 300
    assert 0.05 * n_short < len(drawn) - 30 < 0.16 * n_short


def test_a_task_whose_calls_to_choose_by_are_all_left_to_the_llm_says_why(world: Callable[..., Any]) -> None:
    """None of them would be asked, so "not one was answered as the LLM did" would be no evidence."""
    w = world()
    calls = [
        msgspec.structs.replace(c, is_asked=False, not_asked="votes" if i else "listed")
        for i, c in enumerate(w.population.of("t1")[:4])
    ]
    said = certify.none_asked(calls)
    assert said.startswith(
        "the gateway would leave all of its 4 calls to choose by to the LLM. 3 calls: Calibration calls"
    )
    assert "1 calls: The request lists a tool" in said
    one = msgspec.structs.replace(calls[0], is_asked=True)
    assert certify.none_asked([one, *calls]) == certify.none_asked([]) == ""
    every = [msgspec.structs.replace(c, is_asked=False) for c in w.population.of("t1")]
    w.known_population = Population({"t1": every}, Recorded(list(map(recorded, w.curated.examples))))
    (result,) = w.run()
    assert result.certificate is None and "leave all of its" in result.refusal_reason
    assert not any(sim.asked for sim in w.predictors.values())
