"""Whole episodes in calibration: which, by which bet, and what time did not allow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from msgspec.structs import replace
from tests.unit.stages.evaluate.conftest import Clock
from tests.unit.stages.evaluate.test_certify import COSTS, GRID, PRICES, outcomes

from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.episode_bet import EpisodeBet
from deputize.core.progress import silent
from deputize.scoring.ledger import digests
from deputize.stages.evaluate import certify
from deputize.stages.evaluate.evaluated_method import EvaluatedMethod, EvaluationContext
from deputize.stages.evaluate.population import Population
from deputize.stages.evaluate.task_calls import TaskCalls
from deputize.stages.evaluate.whole_episodes import WholeEpisodes, bets_by_epsilon

BET = EpisodeBet(stake=0.9, start=0.9, largest=4)


def test_episodes_are_numbered_and_those_of_earlier_tests_left_out() -> None:
    groups = ["b", "a", "b", "c"]
    made = WholeEpisodes.of(groups, frozenset(digests(["b", "c"])), {0.05: BET})
    assert made is not None and made.numbers_N.tolist() == [0, -1, 0, 1]
    assert WholeEpisodes.of(groups, None, {}) is None
    answered = outcomes(3)
    used = made.used(answered, 0.05)
    assert used is not None and (used.n_episodes, used.not_evaluated) == (2, [1])
    assert made.used(answered, 0.1) is None
    test = made.test(answered, 0.05, 0.05, None)
    assert (test.n_units, test.n_episodes) == (3, 2) and test.n_errors_L[0] == 1, (
        "the one not answered is wrong"
    )


def test_a_task_of_long_episodes_is_tested_whole_and_says_so(world: Callable[..., Any]) -> None:
    one = world(methods={"lora": 0.6}, n_calls=3600, per_group=6)
    (result,) = one.run(Convert(epsilon=0.05))
    found = result.certificate
    assert found is not None and found.episodes is not None
    n_calls = sum(c.split == "calibration" for c in one.population.of(result.task_id))
    assert found.n_calibration == n_calls == 6 * found.episodes.n_episodes
    assert (
        f"among the {n_calls} calls of {found.episodes.n_episodes} independent episodes of at most 6 calls"
        in found.claim
    )
    assert all(call.is_unit and call.episode is not None for call in result.calibration)
    assert result.evaluation.n_calibration_groups == found.episodes.n_episodes


def test_numbers_alone_decide_which_calls_are_asked(world: Callable[..., Any]) -> None:
    one = world(methods={"lora": 0.6}, n_calls=1800, per_group=6)
    calls, clock = one.calls(), Clock()
    context = EvaluationContext(one.home, one.load, PRICES, clock, silent)
    method = EvaluatedMethod.load(one.finetuned.specialists[0], calls, context)
    method.evaluate_validation(Deadline.after(None, clock))
    validation, config = method.on_validation(), Convert(epsilon=0.05)
    bets = bets_by_epsilon(validation, calls, [0.05], config, 0.04, None)
    few = bets_by_epsilon(validation, calls, [0.05], config, 0.04, frozenset())
    assert few == {}, "no group of calibration is left"
    assert set(bets) == {0.05} and bets[0.05].largest == 6
    # a validation group that withheld calls make longer than any group of curated calls
    first = validation.groups[0]
    more = [replace(c, call_id=f"withheld {c.call_id}") for c in calls.all if c.group == first]
    population = Population({calls.task.id: [*calls.all, *more]}, one.population)
    longer = TaskCalls(calls.task, population, 0, calls.largest_group)
    with_more = validation.take(np.array([*range(len(validation)), *range(len(more))]))
    found = bets_by_epsilon(with_more, longer, [0.05], config, 0.04, None)
    assert longer.largest == 12 and all(bet.largest == 12 for bet in found.values())
    some = frozenset(digests({c.group for c in calls.split("calibration")[:180]}))
    units = certify.calibration_units(calls, 0, some)
    made = certify.evaluate_calibration(
        method, Deadline.after(None, clock), units, planned=10**6, within=some, bets=bets
    )
    assert made.whole is not None and int((made.whole.numbers_N >= 0).sum()) == 180
    tried = certify.attempt(made, GRID, 0.05, 0.04, COSTS, served_limit=0.15)
    assert tried.sequence.n_episodes == 30 and tried.sequence.n_units == 180
    other = certify.attempt(made, GRID, 0.1, 0.04, COSTS, served_limit=0.3)
    assert other.sequence.n_episodes == 0, "no bet was chosen at this epsilon: one call of each episode"
    assert np.isin(made.units.groups, [c.group for c in calls.split("calibration")[:180]]).all()
