"""A scorer of candidates: learns what tells the right one, and is the same for the same seed."""

from __future__ import annotations

import numpy as np

from deputize.specialists.candidate_scorer import CandidateScorer, fit_scorer


def test_it_finds_the_candidate_whose_two_features_agree() -> None:
    rng = np.random.default_rng(0)
    drawn = [rng.choice([-1.0, 1.0], size=(6, 4)).astype(np.float32) for _ in range(900)]
    choices = [x for x in drawn if (x[:, 0] * x[:, 1] > 0).any()]
    hits = [x[:, 0] * x[:, 1] > 0 for x in choices]
    made = fit_scorer(choices[:600], hits[:600], seed=1)
    assert made is not None
    right = [h[int(np.argmax(made.scores(x)))] for x, h in zip(choices[600:], hits[600:], strict=True)]
    assert np.mean(right) > 0.8, "no linear model could"
    assert np.isclose(np.exp(made.log_p(choices[0])).sum(), 1.0)
    again = fit_scorer(choices[:600], hits[:600], seed=1)
    assert again is not None and all(np.array_equal(a, again.arrays[n]) for n, a in made.arrays.items())
    assert np.array_equal(CandidateScorer(made.arrays).scores(choices[0]), made.scores(choices[0]))


def test_without_choices_there_is_none() -> None:
    assert fit_scorer([], []) is None
