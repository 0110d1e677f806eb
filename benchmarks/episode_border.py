"""Tests of whole episodes at the border: simulated traffic whose true loss is just what is claimed not to be reached.

Only the calls are simulated, as numbers: sizes of episodes, confidences, errors. The choice of the test on
validation, the size of the largest group, the draw of units and the test itself are the evaluation's own. The hardest
case of a claim is a loss of exactly epsilon, so a certificate at that loss counts as false here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from benchmarks.recorded_tasks import CopiedCalls
from benchmarks.simulated_traffic import TASK
from deputize.core.config import Convert
from deputize.core.episode_bet import EpisodeBet
from deputize.core.records import Split
from deputize.scoring import certificates as cert
from deputize.scoring.call_costs import CallCosts
from deputize.stages.evaluate.certify import CalibrationResult, attempt, calibration_units
from deputize.stages.evaluate.evaluation import Evaluation
from deputize.stages.evaluate.population import Population, PopulationCall
from deputize.stages.evaluate.task_calls import TaskCalls
from deputize.stages.evaluate.whole_episodes import WholeEpisodes, bets_by_epsilon

EPSILON, LEVEL = 0.1, 0.05
CONFIG = Convert(epsilon=EPSILON, delta=LEVEL)
FREE = CallCosts(llm_usd=1.0, specialist_usd=0.0)
LONGEST = 12
"""Calls of an episode, where sizes are uniform from 1 on."""
RISE = EPSILON * (LONGEST + 1) / 2 / ((LONGEST + 1) * (2 * LONGEST + 1) / 6)
"""Error rate for each call of the episode, where it grows in proportion to the size, so that over calls it is EPSILON."""


@dataclass(frozen=True)
class Episodes:
    """N calls of G episodes, in the order of the episodes."""

    size_G: NDArray[np.int64]
    confidence_N: NDArray[np.float64]
    wrong_N: NDArray[np.bool_]


Draw = Callable[[Generator, int], Episodes]


def harder_when_longer(rng: Generator, n: int) -> Episodes:
    """Calls err by themselves, in long episodes more often."""
    size = rng.integers(1, LONGEST + 1, n)
    wrong = rng.random(size.sum()) < np.repeat(RISE * size, size)
    return Episodes(size, np.full(wrong.size, 0.9), wrong)


def bad_episodes(rng: Generator, n: int) -> Episodes:
    """All errors are in few episodes, long ones mostly, that are wrong from end to end."""
    size = rng.integers(1, LONGEST + 1, n)
    wrong = np.repeat(rng.random(n) < RISE * size, size)
    return Episodes(size, np.full(wrong.size, 0.9), wrong)


def few_long(rng: Generator, n: int) -> Episodes:
    """One episode in ten has twelve calls, the others one; a long one is wrong from end to end or not at all."""
    size = np.where(rng.random(n) < 0.1, LONGEST, 1)
    share_of_long = LONGEST * 0.1 / (LONGEST * 0.1 + 0.9)
    wrong = np.repeat((size > 1) & (rng.random(n) < EPSILON / share_of_long), size)
    return Episodes(size, np.full(wrong.size, 0.9), wrong)


def surest_wrong(rng: Generator, n: int) -> Episodes:
    """Half of the surest fifth is wrong and nothing else: from a confidence of .8 down the loss is EPSILON."""
    size = rng.integers(1, LONGEST + 1, n)
    confidence = rng.random(size.sum())
    return Episodes(size, confidence, (confidence >= 0.8) & (rng.random(confidence.size) < 0.5))


def served_at_limit(rng: Generator, n: int) -> Episodes:
    """A quarter of the calls can be served, and .3 of these are wrong: the loss over all calls is small, that of the
    served at its limit."""
    size = rng.integers(1, LONGEST + 1, n)
    served = rng.random(size.sum()) < 0.25
    wrong = rng.random(served.size) < 0.3
    return Episodes(size, np.where(served, 0.9, cert.NEVER), served & wrong)


def heavy_tail(rng: Generator, n: int) -> Episodes:
    """Sizes with a heavy tail (Pareto, 1.5, cut at 1,000); all errors are in episodes of more than 20 calls."""
    size = _heavy(rng, n)
    wrong = rng.random(size.sum()) < np.repeat(np.where(size > 20, EPSILON / _LONG_SHARE, 0.0), size)
    return Episodes(size, np.full(wrong.size, 0.9), wrong)


def rare_giants(rng: Generator, n: int) -> Episodes:
    """One episode in a thousand has 125 calls, all wrong; the others one call, right: most logs have hardly a giant."""
    size = np.where(rng.random(n) < 0.001, 125, 1)
    wrong = np.repeat(size > 1, size)
    return Episodes(size, np.full(wrong.size, 0.9), wrong)


def _heavy(rng: Generator, n: int) -> NDArray[np.int64]:
    return np.minimum(1000, np.floor(rng.pareto(1.5, n) + 1)).astype(np.int64)


def _long_share() -> float:
    """Share of the calls of `heavy_tail` in episodes of more than 20, from P[size >= s] = s ** -1.5."""
    s = np.arange(1.0, 1001.0)
    at_least = s**-1.5
    share = s * (at_least - np.append(at_least[1:], 0.0))
    return float(share[s > 20].sum() / share.sum())


_LONG_SHARE = _long_share()

KINDS: Mapping[str, tuple[Draw, float, float]] = {
    "errors by themselves, longer is harder": (harder_when_longer, np.inf, 0.3),
    "few episodes wrong from end to end": (bad_episodes, np.inf, 0.3),
    "one in ten long, some of these all wrong": (few_long, np.inf, 0.3),
    "errors among the surest calls": (surest_wrong, 0.8, 0.99),
    "served calls at their limit": (served_at_limit, np.inf, 0.3),
    "heavy tail, errors in the long ones": (heavy_tail, np.inf, 0.3),
    "giants that most logs have not seen": (rare_giants, np.inf, 0.3),
}
"""Name -> (simulation, threshold up to which a certificate is false, served limit)."""
N_CALIBRATION = (60, 300)
"""Episodes of calibration; validation has 60, train and the held-out calls together as many as calibration."""
N_VALIDATION = 60
ALWAYS = EpisodeBet(stake=0.97, start=0.9, largest=1)
"""The boldest bet, for the columns that leave no choice."""


def rows(n_draws: int, seed: int) -> list[dict[str, Any]]:
    """For each kind of traffic and number of episodes, the part of the draws with a false certificate: as evaluated,
    and by either test alone."""
    out = []
    for name, (draw, false_to, limit) in KINDS.items():
        config = CONFIG.model_copy(update={"served_limit": limit})
        for n in N_CALIBRATION:
            found = [
                _false(np.random.default_rng([seed, at, n]), draw, n, config, false_to)
                for at in range(n_draws)
            ]
            whole, *false = np.mean(found, axis=0)
            rates = dict(zip(("as evaluated", "always the bet", "one call of each"), false, strict=True))
            out.append(
                {
                    "traffic (simulated)": name,
                    "in calibration": n,
                    "draws": n_draws,
                    "bet chosen": whole,
                    **rates,
                }
            )
        print(f"{name}: {n_draws} draws each", flush=True)
    return out


def _false(
    rng: Generator, draw: Draw, n: int, config: Convert, false_to: float
) -> tuple[bool, bool, bool, bool]:
    """(the bet was chosen; a false certificate as evaluated, by the boldest bet, by one call of each episode) of one
    draw."""
    seed = int(rng.integers(2**31))
    validation, calibration, others = draw(rng, N_VALIDATION), draw(rng, n), draw(rng, n)
    calls = _task_calls({"validation": validation, "calibration": calibration, "test": others}, seed)
    bets = bets_by_epsilon(_evaluation(validation), calls, [EPSILON], config, LEVEL, None)
    bold = EpisodeBet(stake=ALWAYS.stake, start=0.8 if false_to < 1 else ALWAYS.start, largest=calls.largest)
    asked = [int(call.call_id) for call in calls.split("calibration")]
    units = calibration_units(calls, seed)
    order = [asked[at] for at in [*units, *np.setdiff1d(np.arange(len(asked)), units)]]
    evaluation = _evaluation(calibration).take(np.asarray(order, dtype=np.int64))

    def is_false(use: Mapping[float, EpisodeBet]) -> bool:
        whole = WholeEpisodes.of(evaluation.groups, None, use)
        result = CalibrationResult(evaluation, len(units), 0, "", whole)
        made = attempt(
            result, np.empty(0), EPSILON, LEVEL, FREE, served_limit=config.served_limit_at(EPSILON)
        )
        return made.threshold is not None and made.threshold <= false_to

    return bool(bets), is_false(bets), is_false({EPSILON: bold}), is_false({})


def _task_calls(splits: Mapping[Split, Episodes], seed: int) -> TaskCalls:
    """The calls as the evaluation has them; their ids are their positions in their split."""
    calls = [
        PopulationCall(str(at), group, group, "code", split, True, 1.0, True)
        for split, episodes in splits.items()
        for at, group in enumerate(_groups(episodes, split))
    ]
    return TaskCalls(TASK, Population({TASK.id: calls}, CopiedCalls({})), seed)


def _groups(episodes: Episodes, split: str) -> list[str]:
    return [f"{split} {g}" for g in np.repeat(np.arange(episodes.size_G.size), episodes.size_G)]


def _evaluation(episodes: Episodes) -> Evaluation:
    n, groups = episodes.wrong_N.size, _groups(episodes, "calibration")
    ones = np.ones(n)
    right_N = ~episodes.wrong_N
    return Evaluation(
        groups, groups, episodes.confidence_N, right_N, right_N, ones > 0, ones, ones * np.nan, 1.0
    )
