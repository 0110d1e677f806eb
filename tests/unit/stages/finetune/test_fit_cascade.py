"""Weights and exit of a cascade, fitted on validation."""

from __future__ import annotations

import numpy as np
from tests import tiny_tasks

from deputize.scoring.intervals import coverage_around
from deputize.specialists.base import ClosedScores, choose_each
from deputize.specialists.cascade import NEVER_SURE, default_settings, pooled
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.learn_schema import learn_schema
from deputize.stages.finetune.fit_cascade import SOFTER, fit_cascade, servable, softened, softer

CONTRACT = tiny_tasks.CONTRACTS["label"]
FOUND = closed(learn_schema(CONTRACT, ["yes", "no"]))
assert FOUND is not None
ANSWERS: ClosedAnswers = FOUND
YES = ANSWERS.questions[0].choices.index("yes")


def scores(logit_N: np.ndarray) -> ClosedScores:
    """Scores of a member whose log-odds of yes are given."""
    p_N = 1 / (1 + np.exp(-np.clip(logit_N, -13, 13)))
    p_NC = np.stack([1 - p_N, p_N] if YES else [p_N, 1 - p_N], axis=1)
    return ClosedScores([np.log(p_NC).astype(np.float32)], [0] * len(logit_N))


def log(n: int, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    rng = np.random.default_rng(seed)
    sign_N = rng.choice([-1.0, 1.0], size=n)
    return sign_N, ["yes" if sign > 0 else "no" for sign in sign_N]


def each(n: int) -> list[str]:
    """Groups of one text."""
    return [f"g{i}" for i in range(n)]


def test_a_useless_member_gets_little_weight_and_a_good_one_much() -> None:
    sign_N, truth = log(400)
    noise = np.random.default_rng(1).normal(size=(2, 400))
    good, useless = scores(2 * sign_N + noise[0]), scores(3 * noise[1])
    alone, both = fit_cascade(ANSWERS, [useless, good], truth, CONTRACT, 0.05).steps
    assert both.weights[0] < 0.1 < 1.0 < both.weights[1]
    assert alone.weights[0] < 0.1, "whoever knows nothing is not sure"


def test_the_first_decides_alone_as_long_as_it_uses_up_a_tenth_of_epsilon() -> None:
    sign_N, truth = log(500)
    strength_N = np.linspace(6, 0.01, 500)
    wrong = [100, 150, 300, 310, 320]
    logit_N = sign_N * strength_N
    logit_N[wrong] *= -1
    first = scores(logit_N)
    step = fit_cascade(ANSWERS, [first, first], truth, CONTRACT, 0.04).steps[0]
    said = choose_each(ANSWERS, pooled([first], step.weights))
    alone = [one.raw_confidence.log_p >= step.exit_log_p for one in said]
    assert sum(alone) == 300, "500 x .04 / 10 = 2 wrong ones are allowed, the third is not"


def test_errors_of_the_first_are_no_errors_of_the_second_step() -> None:
    sign_N, truth = log(500)
    first_N, second_N = sign_N * np.linspace(6, 0.01, 500), sign_N * np.linspace(0.01, 6, 500)
    first_N[[10, 20, 200, 210]] *= -1
    second_N[[490, 300, 295]] *= -1
    three = [scores(first_N), scores(second_N), scores(5 * sign_N)]
    steps = fit_cascade(ANSWERS, three, truth, CONTRACT, 0.04).steps
    assert len(steps) == 3 and steps[2].exit_log_p == NEVER_SURE
    two = choose_each(ANSWERS, pooled(three[:2], steps[1].weights))
    one = choose_each(ANSWERS, pooled(three[:1], steps[0].weights))
    open_ = [a.raw_confidence.log_p < steps[0].exit_log_p for a in one]
    leaves = [b.raw_confidence.log_p >= steps[1].exit_log_p for b in two]
    right = [b.answer == t for b, t in zip(two, truth, strict=True)]
    wrong = [a and b and not c for a, b, c in zip(open_, leaves, right, strict=True)]
    assert 0 < sum(open_) < 500 and any(a and b for a, b in zip(open_, leaves, strict=True))
    assert sum(wrong) <= 2, "a tenth of epsilon for each step"


def test_what_the_first_has_decided_is_no_matter_of_the_second_step() -> None:
    sign_N, truth = log(500)
    first_N, second_N = sign_N * np.linspace(6, 0.01, 500), 3 * sign_N
    first_N[[300, 310, 320]] *= -1
    second_N[280:286] *= -4
    three = [scores(first_N), scores(second_N), scores(5 * sign_N)]
    steps = fit_cascade(ANSWERS, three, truth, CONTRACT, 0.04).steps
    two = choose_each(ANSWERS, pooled(three[:2], steps[1].weights))
    assert all(one.answer != answer for one, answer in zip(two[280:286], truth[280:286], strict=True)), (
        "it would err here"
    )
    one = choose_each(ANSWERS, pooled(three[:1], steps[0].weights))
    open_ = [n for n in range(500) if one[n].raw_confidence.log_p < steps[0].exit_log_p]
    left = [n for n in open_ if two[n].raw_confidence.log_p < steps[1].exit_log_p]
    assert len(open_) > 150 and not left, "and is not asked here, where the first is sure"


def test_the_steps_of_a_smaller_cascade_are_those_of_the_larger_one() -> None:
    sign_N, truth = log(300)
    noise = np.random.default_rng(2).normal(size=(3, 300))
    three = [scores(2 * sign_N + row) for row in noise]
    small = fit_cascade(ANSWERS, three[:2], truth, CONTRACT, 0.05).steps
    large = fit_cascade(ANSWERS, three, truth, CONTRACT, 0.05).steps
    assert large[0] == small[0] and large[1].weights == small[1].weights
    assert small[1].exit_log_p == NEVER_SURE != large[1].exit_log_p


def test_a_member_of_its_own_errors_adds_and_a_copy_or_noise_does_not() -> None:
    sign_N, truth = log(600)
    noise = np.random.default_rng(3).normal(size=(4, 600))
    two = [scores(0.8 * sign_N + row) for row in noise[:2]]

    def share(*more: ClosedScores) -> float:
        return servable(ANSWERS, [*two, *more], truth, each(600), CONTRACT, 0.05)

    assert share(scores(0.8 * sign_N + noise[2])) > share() + 0.03
    assert abs(share(two[1]) - share()) < 0.02 and share(scores(3 * noise[3])) < share() + 0.01


def test_what_a_part_of_validation_could_serve_is_told_by_weights_of_other_groups() -> None:
    _, truth = log(59)
    lucky = [scores(np.random.default_rng(n).normal(size=59)) for n in range(5, 28)]
    share = servable(ANSWERS, lucky, truth, each(59), CONTRACT, 0.05)
    assert share < 0.25, "of noise nothing is servable, however much there is"
    twice = [ClosedScores([np.concatenate([one.log_ps[0]] * 2)], [0] * 118) for one in lucky]
    together = servable(ANSWERS, twice, truth * 2, each(59) * 2, CONTRACT, 0.05)
    apart = servable(ANSWERS, twice, truth * 2, each(118), CONTRACT, 0.05)
    assert together < 0.25 and 2 * together < apart, "the same call in another part would be known by heart"


def test_nothing_is_fitted_on_a_few_and_nobody_decides_alone_who_errs_where_it_is_surest() -> None:
    sign_N, truth = log(49)
    few = scores(5 * sign_N)
    assert fit_cascade(ANSWERS, [few] * 3, truth, CONTRACT, 0.05) == default_settings(3)
    sign_N, truth = log(200)
    logit_N = sign_N * np.linspace(6, 0.01, 200)
    logit_N[0] *= -1
    first = scores(logit_N)
    assert fit_cascade(ANSWERS, [first, first], truth, CONTRACT, 0.01).steps[0].exit_log_p == NEVER_SURE


def test_of_softer_cascades_those_come_first_that_can_serve_most() -> None:
    sign_N, truth = log(400)
    noise = np.random.default_rng(2).normal(size=(2, 400))
    members = [scores(sign_N + 2 * noise[0]), scores(2 * sign_N + 2 * noise[1])]
    settings = fit_cascade(ANSWERS, members, truth, CONTRACT, 0.05)
    whole, *others = softer(ANSWERS, members, truth, CONTRACT, 0.05, settings)
    assert whole == [1.0, 1.0], "as fitted"
    assert sorted(others) == sorted([one, 1.0][::side] for one in SOFTER for side in (1, -1))

    def served(factors: list[float]) -> float:
        last = softened(settings, factors).steps[-1]
        said = choose_each(ANSWERS, pooled(members, last.weights))
        wrong_N = np.array([one.answer != answer for one, answer in zip(said, truth, strict=True)])
        return coverage_around(np.array([one.raw_confidence.log_p for one in said]), wrong_N, 0.05)

    shares = [served(factors) for factors in others]
    assert shares == sorted(shares, reverse=True) and shares[0] > shares[-1]
