"""Weights and exit of a cascade, fitted on validation."""

from __future__ import annotations

import numpy as np
from tests import tiny_tasks

from deputize.specialists.base import ClosedScores, choose_each
from deputize.specialists.cascade import NEVER_ALONE, CascadeSettings, pooled
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.learn_schema import learn_schema
from deputize.stages.finetune.fit_cascade import fit_cascade

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


def test_a_useless_member_gets_little_weight_and_a_good_one_much() -> None:
    sign_N, truth = log(400)
    noise = np.random.default_rng(1).normal(size=(2, 400))
    good, useless = scores(2 * sign_N + noise[0]), scores(3 * noise[1])
    fitted = fit_cascade(ANSWERS, useless, good, truth, CONTRACT, 0.05)
    assert fitted.first < 0.1 < 1.0 < fitted.second
    assert fitted.alone < 0.1, "whoever knows nothing is not sure"


def test_the_first_decides_alone_as_long_as_it_uses_up_a_tenth_of_epsilon() -> None:
    sign_N, truth = log(500)
    strength_N = np.linspace(6, 0.01, 500)
    wrong = [100, 150, 300, 310, 320]
    logit_N = sign_N * strength_N
    logit_N[wrong] *= -1
    first = scores(logit_N)
    fitted = fit_cascade(ANSWERS, first, first, truth, CONTRACT, 0.04)
    said = choose_each(ANSWERS, pooled((first, fitted.alone)))
    alone = [one.raw_confidence.log_p >= fitted.exit_log_p for one in said]
    assert sum(alone) == 300, "500 x .04 / 10 = 2 wrong ones are allowed, the third is not"


def test_nothing_is_fitted_on_a_few_and_nobody_decides_alone_who_errs_where_it_is_surest() -> None:
    sign_N, truth = log(49)
    few = scores(5 * sign_N)
    assert fit_cascade(ANSWERS, few, few, truth, CONTRACT, 0.05) == CascadeSettings()
    sign_N, truth = log(200)
    logit_N = sign_N * np.linspace(6, 0.01, 200)
    logit_N[0] *= -1
    first = scores(logit_N)
    assert fit_cascade(ANSWERS, first, first, truth, CONTRACT, 0.01).exit_log_p == NEVER_ALONE
