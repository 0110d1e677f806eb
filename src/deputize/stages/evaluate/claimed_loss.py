"""The loss that a claim is about: disagreement with the LLM, less the LLM's own with itself, or errors beyond the LLM's
by labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from deputize.core.config import Convert
from deputize.core.contracts import needs_judge
from deputize.core.label_evidence import LabelEvidence
from deputize.core.records import Contract
from deputize.scoring import certificates as cert
from deputize.scoring.intervals import highest_rate
from deputize.scoring.label_draw import episode_sizes, signs_of_choice
from deputize.scoring.partial_labels import prediction_powered, with_bounds
from deputize.stages.evaluate.evaluation import Evaluation
from deputize.stages.evaluate.task_calls import TaskCalls

MIN_REPEATED = 0.2
"""Share of calibration units with a second LLM answer from which "not_worse_than_repeats" is tested."""
MIN_LABELLED = 20
"""Calibration units with a label from which "not_worse_on_labels" is tested where that is asked for."""


class Reference(NamedTuple):
    """The answers that a claim is about."""

    by_labels: bool = False
    """The right ones, where enough of them are known; else the LLM's."""
    at_random: bool = False
    """Calls whose right answer is known were drawn at random."""
    judged: bool = False
    """A judge compares texts that are not the same."""
    not_random: str = ""
    """Why labelled calls are not taken for drawn at random although that was declared; "" where nothing speaks against
    it."""

    @classmethod
    def of(cls, config: Convert, contract: Contract) -> Reference:
        """As settings ask for, and the contract of the task."""
        return cls(config.reference == "labels", config.labels_at_random, needs_judge(contract))

    def checked(self, calls: TaskCalls, validation: Evaluation) -> Reference:
        """The same with labels not taken for drawn at random where they show that they were not."""
        if not (self.by_labels and self.at_random) or not (why := why_not_random(calls, validation)):
            return self
        return self._replace(at_random=False, not_random=why)


def kind_of(
    units: Evaluation, *, by_labels: bool, at_random: bool = False, judged: bool = False
) -> cert.CertificateKind:
    """The claim that units are tested for; what decides are numbers of calls, no answer is looked at.

    Args:
        units: of calibration.
        by_labels: a claim about right answers is asked for.
        at_random: labelled calls were drawn at random.
        judged: answers are judged, not compared.
    """
    if judged:
        return "not_worse_by_judge"
    if by_labels and int(_known(units, at_random).sum()) >= MIN_LABELLED:
        return "not_worse_on_labels"
    n_repeated = int(np.isfinite(units.repeat_loss_N).sum())
    repeated = n_repeated >= MIN_REPEATED * max(1, len(units))
    return "not_worse_than_repeats" if repeated else "not_worse_than_llm"


def losses_of(
    units: Evaluation, kind: cert.CertificateKind, n_not_evaluated: int, *, at_random: bool = False
) -> cert.Losses | None:
    """The losses that a claim of this kind is tested on; None where they are whether the answer is wrong.

    Args:
        units: evaluated, in a random order.
        kind: of the claim.
        n_not_evaluated: units after them that count as served and wrong, and as right by the LLM.
        at_random: labelled calls were drawn at random.
    """
    if kind in ("not_worse_than_llm", "not_worse_by_judge"):
        return None
    if kind == "not_worse_than_repeats":
        # a call without a second answer counts the LLM as agreeing with itself, which can only make the claim harder
        own_N = np.append(np.nan_to_num(units.repeat_loss_N, nan=0.0), np.zeros(n_not_evaluated))
        return cert.losses_beyond(own_N, np.append(~units.right_N, np.ones(n_not_evaluated, dtype=bool)))
    terms: Callable[..., cert.Floats] = prediction_powered if at_random else with_bounds
    difference_N = _difference(units, at_random)

    def losses(mask: NDArray[np.bool_]) -> cert.Floats:
        evaluated = mask[: len(units)]
        known = terms(units.loss_N[evaluated], difference_N[evaluated])
        return np.append(known, np.ones(int(mask[len(units) :].sum())))

    return losses


def excess_loss(shown: Evaluation, kind: str, *, at_random: bool = False) -> NDArray[np.float64]:
    """Loss of serving each held-out call beyond the LLM's own, as a claim of this kind counts it."""
    if kind == "not_worse_than_repeats":
        return shown.loss_N - np.nan_to_num(shown.repeat_loss_N, nan=0.0)
    if kind == "not_worse_on_labels":
        terms = prediction_powered if at_random else with_bounds
        return terms(shown.loss_N, _difference(shown, at_random))
    return shown.loss_N


def _difference(units: Evaluation, at_random: bool) -> NDArray[np.float64]:
    """The difference by labels as a claim counts it, NaN where it is not known.

    Where labels were drawn at random, only these speak for other calls. A failed run is no draw: it is known just where
    the LLM was wrong. And a label that was drawn and cannot be read counts with the most that its difference can be,
    since the others do not speak for it.
    """
    if not at_random:
        return units.label_difference_N
    difference_N = np.where(np.isnan(units.label_difference_N), units.loss_N, units.label_difference_N)
    return np.where(units.has_label_N, difference_N, np.nan)


def _known(units: Evaluation, at_random: bool) -> NDArray[np.bool_]:
    """Units whose difference is known, in a way that counts."""
    known_N = np.isfinite(units.label_difference_N)
    return known_N & units.has_label_N if at_random else known_N


def label_evidence(
    units: Evaluation, threshold: float, *, at_random: bool, not_random: str = ""
) -> LabelEvidence:
    """The right answers of calibration units at the certified threshold, as far as they are known."""
    served_N = units.confidence_N >= threshold
    known_N = _known(units, at_random)
    difference_N = units.label_difference_N[served_N & known_N]
    return LabelEvidence(
        n_labelled=int(known_N.sum()),
        n_served=int(difference_N.size),
        n_specialist_better=int((difference_N < 0).sum()),
        n_llm_better=int((difference_N > 0).sum()),
        at_random=at_random,
        not_random=not_random,
        differs_limit=round(highest_rate(int((served_N & ~units.right_N).sum()), int(served_N.sum())), 6),
    )


def why_not_random(calls: TaskCalls, validation: Evaluation) -> str:
    """Why labelled calls were not drawn at random, for a reader; "" where nothing shows it.

    Of calibration and held-out calls only numbers are looked at: which have a label, in what order, in episodes of
    which length. Answers are looked at on validation alone, so the test of the claim stays what it is.

    Args:
        calls: of the task.
        validation: answers of the chosen method.
    """
    every = calls.all
    found = signs_of_choice(
        [call.label is not None for call in every],
        {
            "the length of their episode": episode_sizes([call.episode for call in every]),
            "their place in the log": np.arange(len(every)),
        },
    )
    found += signs_of_choice(
        validation.has_label_N,
        {
            "whether the two answers differ": ~validation.right_N,
            "the specialist's confidence": validation.confidence_N,
        },
    )
    if not found:
        return ""
    return f"labels were declared to be drawn at random, but which calls have one depends on {' and '.join(found)}"
