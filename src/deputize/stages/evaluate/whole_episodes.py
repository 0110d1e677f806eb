"""Calibration on whole episodes: which may be tested so, how, and the test (scoring.episode_bets)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from deputize.core.config import Convert
from deputize.core.episode_bet import EpisodeBet
from deputize.scoring import certificates as cert
from deputize.scoring.episode_bets import certify_episodes, choose_bet
from deputize.scoring.ledger import digests
from deputize.stages.evaluate.evaluation import Evaluation
from deputize.stages.evaluate.task_calls import TaskCalls


def bets_by_epsilon(
    validation: Evaluation,
    calls: TaskCalls,
    epsilons: Iterable[float],
    config: Convert,
    level: float,
    within: frozenset[str] | None,
) -> dict[float, EpisodeBet]:
    """How whole episodes are tested at each epsilon, by validation; without those at which one call of each would do as
    well.

    Args:
        validation: answers of the chosen method.
        calls: of the task; of calibration only numbers are looked at.
        epsilons: the losses to be claimed.
        config: the served limits and the seed.
        level: of the test.
        within: digests of the groups that may be tested; None: all.
    """
    groups = {call.group for call in calls.split("calibration")}
    allowed = [g for g in groups if within is None or digests([g])[0] in within]
    found = {
        epsilon: choose_bet(
            validation.confidence_N,
            ~validation.right_N,
            validation.groups,
            n_calibration=len(allowed),
            largest=calls.largest,
            epsilon=epsilon,
            delta=level,
            served_limit=config.served_limit_at(epsilon),
            seed=cert.seed_of(config.seed, "episodes", calls.task.id, f"{epsilon:g}"),
        )
        for epsilon in epsilons
    }
    return {epsilon: bet for epsilon, bet in found.items() if bet is not None}


@dataclass(frozen=True)
class WholeEpisodes:
    """The calibration calls that were to be answered, by episode, in the order in which they were asked."""

    numbers_N: NDArray[np.int64]
    """Of each call the number of its episode; -1 where earlier tests left no part of delta for it."""
    bets: Mapping[float, EpisodeBet]
    """By epsilon; an epsilon that is not there is tested on one call of each episode."""

    @classmethod
    def of(
        cls, groups: Sequence[str], within: frozenset[str] | None, bets: Mapping[float, EpisodeBet]
    ) -> WholeEpisodes | None:
        """None where no epsilon is tested so."""
        if not bets:
            return None
        allowed = [g for g in dict.fromkeys(groups) if within is None or digests([g])[0] in within]
        number = {group: n for n, group in enumerate(allowed)}
        return cls(np.array([number.get(g, -1) for g in groups], dtype=np.int64), bets)

    def used(self, evaluation: Evaluation, epsilon: float) -> EpisodeBet | None:
        """How the episodes were tested, with what there was no time for."""
        bet = self.bets.get(epsilon)
        if bet is None:
            return None
        missing_N = self.numbers_N[len(evaluation) :]
        return msgspec.structs.replace(
            bet,
            n_episodes=int(self.numbers_N.max(initial=-1)) + 1,
            not_evaluated=missing_N[missing_N >= 0].tolist(),
        )

    def test(
        self, evaluation: Evaluation, epsilon: float, delta: float, served_limit: float | None
    ) -> cert.SequenceTest:
        """The test; a call that was not evaluated counts as served and wrong.

        Args:
            evaluation: answers to the first of the calls, or to all.
            epsilon: the loss to be claimed over all calls.
            delta: the level of the test.
            served_limit: the loss to be claimed among the served calls; None: nothing is claimed of them.
        """
        n_missing = self.numbers_N.size - len(evaluation)
        counts_N = self.numbers_N >= 0
        return certify_episodes(
            "not_worse_than_llm",
            np.append(evaluation.confidence_N, np.full(n_missing, np.inf))[counts_N],
            np.append(~evaluation.right_N, np.ones(n_missing, dtype=bool))[counts_N],
            self.numbers_N[counts_N],
            self.bets[epsilon],
            epsilon,
            delta,
            served_limit=served_limit,
        )
