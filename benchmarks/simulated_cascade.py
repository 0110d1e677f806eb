"""Simulated traffic of a real cascade of three simulated members, whose true loss is known.

The members' log-odds are drawn; that they are pooled, when the next one is asked, and how weights and exits are
fitted is the package's.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.simulated_traffic import CONTRACT, Traffic, call_of
from deputize.specialists.base import ClosedScores, RawPrediction, choose_each
from deputize.specialists.cascade import CascadePredictor
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.learn_schema import learn_schema
from deputize.stages.finetune.fit_cascade import fit_cascade

STRENGTHS = (1.0, 1.4, 1.8)
"""How well the members know the answer, from cheap to expensive."""
SHARED, OWN = 0.8, 0.8
"""Spread of the error that the members share, and of each one's own."""
FITTED_ON = (0.4, 0.6)
"""The part of the log that the cascade is fitted on: validation and the end of train, which are older than calibration."""
N_TRUTH = 20_000
"""Calls that the true loss of a cascade is measured on."""


class SimulatedMember:
    """A member whose log-odds of the LLM's answer stand in the text, in its place."""

    def __init__(self, place: int, answers: ClosedAnswers) -> None:
        self.place, self.answers = place, answers

    def scores(self, texts: Sequence[str]) -> ClosedScores:
        """Log-probabilities of both answers."""
        odds_N = np.array([float(text.split()[self.place]) for text in texts])
        sign_C = np.array(
            [1.0 if choice == "right" else -1.0 for choice in self.answers.questions[0].choices]
        )
        log_p_NC = -np.logaddexp(0, -odds_N[:, None] * sign_C)
        return ClosedScores([log_p_NC.astype(np.float32)], [0] * len(texts))

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text."""
        return choose_each(self.answers, self.scores(texts))


def three_voters(rng: Generator, n: int) -> Traffic:
    """Independent calls, each an episode; the LLM's answer is always "right", so whoever says so is."""
    answers = closed(learn_schema(CONTRACT, CONTRACT.labels))
    assert answers is not None
    members = [SimulatedMember(place, answers) for place in range(len(STRENGTHS))]
    texts = _drawn(rng, n)
    fitted_on = texts[int(FITTED_ON[0] * n) : int(FITTED_ON[1] * n)]
    scores = [member.scores(fitted_on) for member in members]
    settings = fit_cascade(answers, scores, ["right"] * len(fitted_on), CONTRACT, 0.05)
    cascade = CascadePredictor(members, settings)
    confidence_N, wrong_N = _answered(cascade, texts)
    every_confidence, every_wrong = _answered(cascade, _drawn(rng, N_TRUTH))
    return Traffic(
        [call_of(i, f"c{i}", episode=f"e{i}") for i in range(n)],
        confidence_N,
        wrong_N,
        lambda threshold: float((every_wrong & (every_confidence >= threshold)).mean()),
    )


def _drawn(rng: Generator, n: int) -> list[str]:
    easy_N = 1.9 - 3 * rng.random(n) ** 2
    shared_N = SHARED * rng.normal(size=n)
    odds_MN = [strength * easy_N + shared_N + OWN * rng.normal(size=n) for strength in STRENGTHS]
    return [" ".join(f"{odds:.6f}" for odds in row) for row in zip(*odds_MN, strict=True)]


def _answered(cascade: CascadePredictor, texts: list[str]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    said = cascade.predict(texts)
    confidence_N = np.exp([one.raw_confidence.log_p for one in said])
    return confidence_N, np.array([one.answer != "right" for one in said])
