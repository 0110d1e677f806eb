"""A specialist's answers to a set of calls, as arrays that statistics can work on.

Shape letter: N calls.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from deputize.core.contracts import DEFER, action_of, agree, answer_of
from deputize.core.records import Answer, Contract, Example, Prediction
from deputize.scoring import certificates as cert
from deputize.scoring.costs import Prices, llm_spend
from deputize.scoring.intervals import coverage_at


@dataclass(frozen=True)
class Evaluation:
    """One specialist's answers to N calls, compared with the LLM's."""

    groups: list[str]
    episodes: list[str]
    confidence_N: NDArray[np.float64]
    """NEVER where the call would go to the LLM whatever the threshold: no answer, DEFER, out of distribution."""
    right_N: NDArray[np.bool_]
    """True where the answer (DEFER included) is the LLM's."""
    right_action_N: NDArray[np.bool_]
    """The same for the decision alone: tool names without arguments. Equal to right_N for other contracts."""
    counts_N: NDArray[np.bool_]
    """True for a call meant for code, not for a person."""
    llm_usd_N: NDArray[np.float64]
    repeat_loss_N: NDArray[np.float64]
    """Share of the LLM's repeated samples that differ from its recorded answer; NaN where it was asked once."""
    seconds: float
    """Wall time of all predictions."""

    def __len__(self) -> int:
        return len(self.groups)

    @property
    def loss_N(self) -> NDArray[np.float64]:
        """Loss of serving each call: 1 where the answer is not the LLM's."""
        return (~self.right_N).astype(float)

    @property
    def seconds_per_call(self) -> float:
        return self.seconds / len(self) if len(self) else 0.0

    @property
    def accuracy(self) -> float | None:
        return float(self.right_N.mean()) if len(self) else None

    @property
    def action_accuracy(self) -> float | None:
        return float(self.right_action_N.mean()) if len(self) else None

    def take(self, positions: NDArray[np.int64]) -> Evaluation:
        """The same for some of the calls, in that order."""
        return Evaluation(
            groups=[self.groups[i] for i in positions],
            episodes=[self.episodes[i] for i in positions],
            confidence_N=self.confidence_N[positions],
            right_N=self.right_N[positions],
            right_action_N=self.right_action_N[positions],
            counts_N=self.counts_N[positions],
            llm_usd_N=self.llm_usd_N[positions],
            repeat_loss_N=self.repeat_loss_N[positions],
            seconds=self.seconds_per_call * len(positions),
        )

    def share_served(self, threshold: float) -> float:
        """Share of the calls meant for code answered at a threshold; 0 where there are none."""
        n = int(self.counts_N.sum())
        return float(((self.confidence_N >= threshold) & self.counts_N).sum() / n) if n else 0.0

    def servable(self, epsilon: float) -> float:
        """Share of the calls meant for code that hindsight could serve at a loss of epsilon over all calls."""
        return coverage_at(self.confidence_N, self.loss_N, epsilon, self.counts_N)[0]


def compare(
    predictions: Sequence[Prediction],
    examples: Sequence[Example],
    contract: Contract,
    prices: Prices,
    seconds: float,
) -> Evaluation:
    """Predictions compared with the LLM's recorded answers to the first len(predictions) examples."""
    examples = examples[: len(predictions)]
    recorded = [answer_of(e.response, contract) for e in examples]
    pairs = list(zip(predictions, recorded, strict=True))
    return Evaluation(
        groups=[e.group for e in examples],
        episodes=[e.episode for e in examples],
        confidence_N=np.array([served_confidence(p, contract) for p in predictions], dtype=float),
        right_N=np.array([agree(p.answer, truth, contract) for p, truth in pairs], dtype=bool),
        right_action_N=np.array([_same_action(p.answer, truth, contract) for p, truth in pairs], dtype=bool),
        counts_N=np.array([e.audience == "code" for e in examples], dtype=bool),
        llm_usd_N=np.array([llm_spend(e, prices).usd for e in examples], dtype=float),
        repeat_loss_N=np.array([_repeat_loss(e, contract) for e in examples], dtype=float),
        seconds=seconds,
    )


def served_confidence(prediction: Prediction, contract: Contract) -> float:
    """The confidence a threshold is compared with: NEVER where there is nothing to serve."""
    defers = contract.may_defer and prediction.answer == DEFER
    if prediction.answer is None or defers or not prediction.confidence > 0:
        return cert.NEVER
    return float(prediction.confidence)


def _same_action(answer: Answer | None, truth: Answer | None, contract: Contract) -> bool:
    if contract.kind != "tool_call":
        return agree(answer, truth, contract)
    return answer is not None and truth is not None and action_of(answer) == action_of(truth)


def _repeat_loss(example: Example, contract: Contract) -> float:
    if not example.repeated_responses:
        return float("nan")
    recorded = answer_of(example.response, contract)
    others = [answer_of(reply, contract) for reply in example.repeated_responses]
    return 1 - sum(agree(other, recorded, contract) for other in others) / len(others)


def majority_accuracy(
    trained_on: Sequence[Example], asked: Sequence[Example], contract: Contract
) -> float | None:
    """Accuracy of always giving the most frequent answer of `trained_on`; None where there is nothing to count or to ask."""
    answers = [a for a in (answer_of(e.response, contract) for e in trained_on) if a is not None]
    if not answers or not asked:
        return None
    free = set(contract.uncompared)
    keys = [_key(a, free) for a in answers]
    commonest = answers[keys.index(Counter(keys).most_common(1)[0][0])]
    return sum(agree(commonest, answer_of(e.response, contract), contract) for e in asked) / len(asked)


def _key(answer: Answer, free: set[str]) -> str:
    kept = {k: v for k, v in answer.items() if k not in free} if isinstance(answer, dict) else answer
    return json.dumps(kept, sort_keys=True, default=repr)
