"""A specialist's answers to a set of calls, as arrays that statistics can work on.

Shape letter: N calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields

import numpy as np
from numpy.typing import NDArray

from deputize.core.contracts import (
    DEFER,
    action_of,
    agree,
    agrees_with_itself,
    answer_of,
    measures_of,
    needs_judge,
    served_message,
)
from deputize.core.records import Answer, Contract, Prediction
from deputize.scoring import certificates as cert
from deputize.scoring.intervals import coverage_at
from deputize.stages.evaluate.judge import Judge
from deputize.stages.evaluate.population import PopulationCall, RecordedCall


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
    commonest_N: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """True where the LLM's answer is the most frequent one in training."""
    unlike_N: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """True where the detector takes the request for one unlike those trained on."""
    label_difference_N: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    """Error of the answer less that of the LLM's, in {-1, 0, 1}, by the right answer; NaN where it is not known."""
    has_label_N: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """True where the call has a label, also one that cannot be read; an outcome is none. By default where the
    difference is known."""
    unjudged_N: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """True where a judge would have to compare the answers and did not; such an answer counts as wrong."""
    unseen_N: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """True for a call with a tool or a reply schema that was not in training, where the certificate is to be about such
    calls too."""
    call_ids: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    """Digests of the answers; "" where there is none."""

    def __post_init__(self) -> None:
        if self.label_difference_N.size != len(self.groups):
            object.__setattr__(self, "label_difference_N", np.full(len(self.groups), np.nan))
        if self.has_label_N.size != len(self.groups):
            object.__setattr__(self, "has_label_N", np.isfinite(self.label_difference_N))
        for name in ("unjudged_N", "unseen_N"):
            if getattr(self, name).size != len(self.groups):
                object.__setattr__(self, name, np.zeros(len(self.groups), dtype=bool))

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
            commonest_N=self.commonest_N[positions] if self.commonest_N.size else self.commonest_N,
            unlike_N=self.unlike_N[positions] if self.unlike_N.size else self.unlike_N,
            label_difference_N=self.label_difference_N[positions],
            has_label_N=self.has_label_N[positions],
            unjudged_N=self.unjudged_N[positions],
            unseen_N=self.unseen_N[positions],
            call_ids=[self.call_ids[i] for i in positions] if self.call_ids else [],
            answers=[self.answers[i] for i in positions] if self.answers else [],
        )

    @property
    def share_unlike(self) -> float:
        """Share of the calls that the detector takes for requests unlike those trained on."""
        return float(self.unlike_N.mean()) if self.unlike_N.size else 0.0

    def share_served(self, threshold: float) -> float:
        """Share of the calls meant for code answered at a threshold; 0 where there are none."""
        n = int(self.counts_N.sum())
        return float(((self.confidence_N >= threshold) & self.counts_N).sum() / n) if n else 0.0

    def shares_served(self, thresholds_L: NDArray[np.float64]) -> list[float]:
        """`share_served` at many thresholds."""
        counted = np.sort(-self.confidence_N[self.counts_N])
        if not counted.size:
            return [0.0] * len(thresholds_L)
        return list((np.searchsorted(counted, -thresholds_L, side="right") / counted.size).tolist())

    def coverage_at(self, epsilon: float) -> float:
        """Share of the calls meant for code that hindsight could serve at a loss of epsilon over all calls."""
        return coverage_at(self.confidence_N, self.loss_N, epsilon, self.counts_N)[0]


Digest = Callable[[Answer], str]
"""From an answer to a digest that says nothing of it without its key."""


def no_digest(answer: Answer) -> str:
    """No digest, where nobody will ask for one."""
    return ""


def compare(
    predictions: Sequence[Prediction | None],
    calls: Sequence[PopulationCall],
    recorded: Sequence[RecordedCall | None],
    contract: Contract,
    seconds: float = 0.0,
    digest: Digest = no_digest,
    judge: Judge | None = None,
) -> Evaluation:
    """Predictions compared with the LLM's recorded answers; nothing of either text is kept.

    Args:
        predictions: None where the gateway would not ask the specialist: such a call is not served.
        calls: the calls that were asked.
        recorded: their texts; None for one that left the store while it was read, which counts as served and wrong.
        contract: of the task.
        seconds: wall time of the predictions.
        digest: of the answers, for comparing them later with what is served.
        judge: compares texts that are not the same, where the contract leaves them to it.
    """
    told = [answer_of(r.call.response, contract) if r is not None else None for r in recorded]
    answers = [p.answer if p is not None else None for p in predictions]
    confidence = [
        np.inf if r is None else cert.NEVER if p is None else served_confidence(p, contract)
        for p, r in zip(predictions, recorded, strict=True)
    ]
    pairs = list(zip(answers, told, strict=True))
    verdicts = [
        True if agree(answer, truth, contract) else _judged(answer, truth, call, r, contract, judge)
        for (answer, truth), call, r in zip(pairs, calls, recorded, strict=True)
    ]
    right = [verdict is True for verdict in verdicts]
    return Evaluation(
        groups=[c.group for c in calls],
        episodes=[c.episode for c in calls],
        confidence_N=np.array(confidence, dtype=float),
        right_N=np.array(right, dtype=bool),
        right_action_N=np.array(
            [_same_action(*pair) for pair in pairs] if contract.kind == "tool_call" else right, dtype=bool
        ),
        counts_N=np.array([c.audience == "code" for c in calls], dtype=bool),
        llm_usd_N=np.array([c.llm_usd for c in calls], dtype=float),
        repeat_loss_N=np.array([_repeat_loss(r, contract) for r in recorded], dtype=float),
        seconds=seconds,
        commonest_N=np.array([c.is_commonest for c in calls], dtype=bool),
        unlike_N=np.array([p is not None and p.out_of_distribution for p in predictions], dtype=bool),
        label_difference_N=np.array(
            [
                label_difference(*pair, call, contract) if r is not None else np.nan
                for pair, call, r in zip(pairs, calls, recorded, strict=True)
            ],
            dtype=float,
        ),
        has_label_N=np.array([c.label is not None for c in calls], dtype=bool),
        unjudged_N=np.array([verdict is None for verdict in verdicts], dtype=bool),
        unseen_N=np.array([c.is_unseen for c in calls], dtype=bool),
        call_ids=[c.call_id for c in calls],
        answers=[digest(answer) if answer is not None else "" for answer in answers],
    )


def _judged(
    answer: Answer | None,
    told: Answer | None,
    call: PopulationCall,
    recorded: RecordedCall | None,
    contract: Contract,
    judge: Judge | None,
) -> bool | None:
    """The verdict on two answers that are not the same; False where there is nothing to judge, None where it was not
    judged."""
    if not needs_judge(contract) or recorded is None or DEFER in (answer, told):
        return False
    if not isinstance(answer, str) or not isinstance(told, str):
        return False
    return judge.no_worse(recorded.call, answer, told, call.split) if judge is not None else None


def joined(parts: Sequence[Evaluation]) -> Evaluation:
    """Several sets of calls as one, in their order."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return compare([], [], [], Contract(kind="text"))
    together: dict[str, list[str] | NDArray[np.generic] | float] = {}
    for one in fields(Evaluation):
        values = [getattr(part, one.name) for part in parts]
        if isinstance(values[0], list):
            together[one.name] = [x for value in values for x in value]
        elif isinstance(values[0], np.ndarray):
            together[one.name] = np.concatenate(values)
        else:
            together[one.name] = sum(values)
    return Evaluation(**together)  # type: ignore[arg-type]


def served_confidence(prediction: Prediction, contract: Contract) -> float:
    """The confidence that a threshold is compared with: NEVER where there is nothing to serve."""
    answer = prediction.answer
    if answer is None or not prediction.confidence > 0 or (contract.may_defer and answer == DEFER):
        return cert.NEVER
    if served_message(answer, contract, iter(str, None)) is None:
        return cert.NEVER
    return float(prediction.confidence)


def label_difference(
    answer: Answer | None, told: Answer | None, call: PopulationCall, contract: Contract
) -> float:
    """Error of an answer less that of the LLM's, by the right answer of the call; NaN where nothing is known of it.

    "No tool fits" is a right answer too: who calls a tool where the other does not is wrong then. Where all that is
    known is that the LLM was wrong, the specialist can be no worse, and counts as equal. Texts that need only be close
    to each other are not compared with a third one: two that are close to it may differ, so nothing would follow for
    calls without a label. Of a label that the contract cannot read nothing is known; nor of one without a tool's call,
    or without what code reads, where both have answered: it may be written in another form, and both would count as
    wrong.

    Args:
        answer: the specialist's.
        told: the LLM's.
        call: with what is known of it.
        contract: of the task.
    """
    if measures_of(contract):
        return float("nan")
    if call.label is not None:
        right = answer_of(call.label, contract)
        if right is None or (right == DEFER and DEFER not in (answer, told)):
            return float("nan")
        return float(not agree(answer, right, contract)) - float(
            not agrees_with_itself(told, right, contract)
        )
    return 0.0 if call.is_llm_wrong else float("nan")


def _same_action(answer: Answer | None, truth: Answer | None) -> bool:
    return answer is not None and truth is not None and action_of(answer) == action_of(truth)


def _repeat_loss(recorded: RecordedCall | None, contract: Contract) -> float:
    if recorded is None or not recorded.repeated:
        return float("nan")
    told = answer_of(recorded.call.response, contract)
    others = [answer_of(call.response, contract) for call in recorded.repeated]
    return 1 - sum(agrees_with_itself(told, other, contract) for other in others) / len(others)
