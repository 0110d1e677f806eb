"""Successive halving: with made-up scores, with a clock, and with real candidates."""

from __future__ import annotations

import numpy as np
import pytest

from deputize.core.deadline import Deadline
from deputize.stages.select.race import LEAST_S, successive_halving

NAMES = ["a", "b", "c", "d"]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_better_half_goes_on_with_twice_the_examples() -> None:
    asked: list[tuple[str, int]] = []
    skill = {"a": 0.2, "b": 0.9, "c": 0.8, "d": 0.1}

    def trial(name: str, n: int, seconds: float) -> float:
        asked.append((name, n))
        return skill[name]

    race = successive_halving(NAMES, trial, Deadline.after(None), n_train=1000, first=50)
    assert asked == [("a", 50), ("b", 50), ("c", 50), ("d", 50), ("b", 100), ("c", 100)]
    assert race.winner == "b" and set(race.why_lost) == {"a", "c", "d"}
    assert (
        race.why_lost["d"] == "lost round 1 of the race: 10 % of validation right after 50 examples, b 90 %"
    )
    assert "round 2" in race.why_lost["c"]


def test_equals_are_told_apart_by_their_order_and_examples_end_where_there_are_no_more() -> None:
    asked: list[int] = []

    def trial(name: str, n: int, seconds: float) -> float:
        asked.append(n)
        return 0.5

    assert successive_halving(NAMES, trial, Deadline.after(None), n_train=70).winner == "a"
    assert asked == [64] * 4 + [70] * 2


def test_no_trial_is_begun_that_the_time_does_not_allow() -> None:
    clock = Clock()
    given: list[float] = []

    def trial(name: str, n: int, seconds: float) -> float:
        given.append(seconds)
        clock.now += seconds
        return {"a": 0.1}.get(name, 0.6)

    race = successive_halving(NAMES, trial, Deadline.after(24.0, clock), n_train=500)
    assert clock.now <= 24.0 and given == [3.0] * 4 + [6.0] * 2
    assert race.winner == "b" and "a" in race.why_lost
    late = successive_halving(NAMES, trial, Deadline.after(LEAST_S / 2, clock), n_train=500)
    assert late.winner == "a" and late.scores == {} and "more promising" in late.why_lost["b"]


def test_a_candidate_that_could_not_be_tried_loses_with_a_sentence() -> None:
    race = successive_halving(
        ["a", "b"], lambda name, n, s: None if name == "a" else 0.4, Deadline.after(None), n_train=9
    )
    assert race.winner == "b" and race.why_lost == {"a": "round 1 of the race had no time for it; b had 40 %"}


@pytest.mark.parametrize("seed", [0, 1])
def test_real_candidates_of_different_width_are_told_apart(seed: int) -> None:
    """Linear classifiers on the first 1, 2, 8 and 32 dimensions of the data: the widest sees most."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(seed)
    x_NF = rng.normal(size=(600, 32))
    y_N = (x_NF @ np.ones(32) > 0).astype(int)
    widths = {"one": 1, "two": 2, "eight": 8, "all": 32}

    def trial(name: str, n: int, seconds: float) -> float:
        model = LogisticRegression().fit(x_NF[:n, : widths[name]], y_N[:n])
        return float(model.score(x_NF[400:, : widths[name]], y_N[400:]))

    race = successive_halving(list(widths), trial, Deadline.after(60.0), n_train=400)
    assert race.winner == "all" and race.scores["all"] > race.scores["two"]
