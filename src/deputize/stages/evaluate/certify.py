"""Calibration of the chosen method: which calls are evaluated, which threshold is certified, and in which words.

References:
    Angelopoulos et al., "Learn then Test", arXiv 2110.01052: thresholds fixed beforehand, tested in order.
    Waudby-Smith and Ramdas, arXiv 2010.09686: the test where the LLM's own disagreement is known.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

from deputize.core.artifacts import Curated, Specialist
from deputize.core.config import Convert
from deputize.core.contracts import measures_of
from deputize.core.deadline import Deadline
from deputize.core.episode_bet import EpisodeBet
from deputize.core.judging import JudgeEvidence
from deputize.core.label_evidence import LabelEvidence
from deputize.core.ood_detector_power import OutOfDistributionDetectorPower
from deputize.core.percentages import percent, whole_percent
from deputize.core.records import Certificate, RequestLimits
from deputize.router.reason_words import sentence_of
from deputize.scoring import certificates as cert
from deputize.scoring import claim_words as words
from deputize.scoring.call_costs import CallCosts
from deputize.scoring.ledger import digests
from deputize.stages.evaluate.claimed_loss import (
    Reference,
    excess_loss,
    kind_of,
    label_evidence,
    losses_of,
)
from deputize.stages.evaluate.evaluated_method import EvaluatedMethod
from deputize.stages.evaluate.evaluation import Evaluation
from deputize.stages.evaluate.population import PopulationCall
from deputize.stages.evaluate.route_worth import not_worth, weighed
from deputize.stages.evaluate.task_calls import TaskCalls
from deputize.stages.evaluate.unseen_lists import OF_UNSEEN, of_unseen, passing_both
from deputize.stages.evaluate.whole_episodes import WholeEpisodes

MIN_SHARE = 0.05
"""A certificate that would serve less than this of the calls is not worth a route: every call waits for the specialist."""


@dataclass(frozen=True)
class CalibrationResult:
    """Answers of the chosen method to calibration calls."""

    evaluation: Evaluation
    """The tested units first, in the order they were drawn in."""
    n_units: int
    """Units to be tested: at most one random call of a group, drawn so that each call is equally likely to be one."""
    n_not_evaluated: int
    """Units not evaluated within the time budget; they count as served and wrong."""
    shortfall: str
    """What time did not allow, for the words of a refusal; "" where every unit is tested."""
    whole: WholeEpisodes | None = None
    """The episodes that may be tested whole; None: time does not allow for all their calls, or they have one each."""

    def episode_bet(self, sequence: cert.SequenceTest) -> EpisodeBet | None:
        """How whole episodes were tested; None: one call of each was."""
        if self.whole is None or not sequence.n_episodes:
            return None
        return self.whole.used(self.evaluation, sequence.epsilon)

    def n_missing(self, sequence: cert.SequenceTest) -> int:
        """Units of a test that were not evaluated within the time budget."""
        bet = self.episode_bet(sequence)
        return self.n_not_evaluated if bet is None else len(bet.not_evaluated)

    @property
    def units(self) -> Evaluation:
        """The units that were evaluated."""
        return self.evaluation.take(np.arange(self.n_units - self.n_not_evaluated))

    @property
    def unseen(self) -> CalibrationResult | None:
        """The units alone that list what was not in training; None where there are none."""
        units = of_unseen(self.units)
        n_units = self.n_not_evaluated + (0 if units is None else len(units))
        return None if units is None else replace(self, evaluation=units, n_units=n_units, whole=None)


def calibration_units(calls: TaskCalls, seed: int, within: frozenset[str] | None = None) -> NDArray[np.int64]:
    """Positions of the units among the calibration calls, drawn before one of them is answered.

    Args:
        calls: of the task.
        seed: of the run.
        within: digests of the groups that may be drawn on; None: all.
    """
    groups = [c.group for c in calls.split("calibration")]
    known = {g for g in set(groups) if within is None or digests([g])[0] in within}
    allowed = [at for at, g in enumerate(groups) if g in known]
    seed = cert.seed_of(seed, "units", calls.task.id)
    drawn = cert.draw_calls([groups[at] for at in allowed], calls.largest, seed)
    return np.asarray(allowed, dtype=np.int64)[drawn]


def evaluate_calibration(
    method: EvaluatedMethod,
    deadline: Deadline,
    units: NDArray[np.int64],
    *,
    planned: int,
    within: frozenset[str] | None = None,
    bets: Mapping[float, EpisodeBet] | None = None,
) -> CalibrationResult:
    """Answers calibration calls, units first.

    A certificate is about calls, so its units are drawn by calls (certificates.draw_calls): one call of a group at most,
    large groups more often than small ones. Which, in what order and how many is drawn and fixed before any answer is
    seen; the other calls of the split are evaluated where all of them fit, to smooth the share reported.

    Args:
        method: the chosen method.
        deadline: nothing is begun after it.
        units: positions of the units, from `calibration_units`.
        planned: calls to ask (`plan_calibration`).
        within: digests of the groups that may be tested; None: all.
        bets: by epsilon, how whole episodes are tested, where that promises more.
    """
    calls, timed = method.calls, method.timed
    calibration = calls.split("calibration")
    left_s = deadline.left_s()
    n_units = min(planned, len(units))
    order = [*units[:n_units]]
    if planned >= len(calibration):
        # in a random order, so that what there is no time for is no part of its own
        others = np.setdiff1d(np.arange(len(calibration)), units)
        order += np.random.default_rng(len(calibration)).permutation(others).tolist()
    shortfall = ""
    whole = None
    if planned >= len(calibration) and method.calls.largest > 1:
        whole = WholeEpisodes.of([calibration[i].group for i in order], within, bets or {})
    if n_units < len(units):
        allowed = "time" if method.context.judge is None else "time, or the budget of the judge,"
        shortfall = (
            f"; {allowed} allowed for {n_units} of {len(units)} units ({left_s:.0f} s were left for this "
            f"task, and {method.name} takes {timed.seconds_per_call:.2g} s a call)"
        )
    evaluation = method.evaluate("calibration", [calibration[i] for i in order], deadline)
    if not shortfall and len(evaluation) < n_units:
        shortfall = (
            f"; the time was over after {len(evaluation)} of {n_units} units, and the others count as wrong"
        )
    if len(evaluation) < len(order) and whole is None:
        evaluation = evaluation.take(np.arange(min(n_units, len(evaluation))))
    return CalibrationResult(evaluation, n_units, max(0, n_units - len(evaluation)), shortfall, whole)


LLM_ANSWERS = Reference()


@dataclass(frozen=True)
class CertificateAttempt:
    """A certificate tried at one epsilon."""

    sequence: cert.SequenceTest
    index: int | None
    """Of the certified threshold; None where the claim is refused."""
    share_served: float
    """Of the calibration calls meant for code, at that threshold."""
    reason: str
    """Why the claim is refused, for a reader; "" where it is not."""
    n_repeated: int
    """Units for which the LLM was asked more than once."""
    labels: LabelEvidence | None = None
    """What is known of the right answers, where the claim is about them and was certified."""
    n_unseen: int = 0
    """Units with tools or schemas that were not in training, where the claim is about these too and was certified."""

    @property
    def threshold(self) -> float | None:
        return None if self.index is None else float(self.sequence.thresholds_L[self.index])

    @property
    def p_value(self) -> float | None:
        return None if self.index is None else float(self.sequence.p_values_L[self.index])


def attempt(
    result: CalibrationResult,
    grid_L: cert.Floats,
    epsilon: float,
    delta: float,
    costs: CallCosts,
    *,
    served_limit: float | None = None,
    reference: Reference = LLM_ANSWERS,
) -> CertificateAttempt:
    """Tests the thresholds of a grid at one epsilon and picks the cheapest that passed.

    Args:
        result: answers to calibration calls.
        grid_L: thresholds from validation, strict to permissive, for a test against repeated samples; a test of agreement walks
            the units' own confidences.
        epsilon: the loss to be claimed, over all calls.
        delta: the level of the test.
        costs: of one call; a route that saves neither money nor, where the LLM has no price, time is refused.
        served_limit: the loss to be claimed among the served calls; None: nothing is claimed of them.
        reference: the answers that the claim is about.
    """
    calibration, not_random = result.evaluation, reference.not_random
    n_repeated = int(np.isfinite(result.units.repeat_loss_N).sum())
    sequence = _test(result, grid_L, epsilon, delta, served_limit, reference)
    part = result.unseen
    alone = _test(part, grid_L, epsilon, delta, served_limit, reference) if part is not None else None
    share_L = calibration.shares_served(sequence.thresholds_L)
    if sequence.kind == "not_worse_than_repeats":  # an audit of such a route takes two answers of the LLM
        costs = replace(costs, audit_share=2 * costs.audit_share)
    if alone is not None:
        if alone.n_passed == 0:
            reason = f"{OF_UNSEEN}: {words.refusal(alone)}{result.shortfall}"
            return CertificateAttempt(sequence, None, 0.0, reason, n_repeated)
        share_L = passing_both(sequence, alone, share_L)
    index = cert.cheapest(sequence, share_L, weighed(costs))
    if index is None or sequence.n_units == 0:
        reason = words.refusal(sequence) + result.shortfall + (not_random and f"; {not_random}")
        return CertificateAttempt(sequence, None, 0.0, reason, n_repeated)
    if share_L[index] < MIN_SHARE:
        # a threshold at which nothing is served is safe and useless; the next more permissive one says why it stops there
        stopped = min(sequence.n_passed, sequence.thresholds_L.size - 1)
        reason = (
            f"only {percent(share_L[index])} of the calls could be served at a loss of {epsilon:g}: at the next threshold "
            f"{int(sequence.n_errors_L[stopped])} of {int(sequence.n_served_L[stopped])} served calls differed from the LLM"
        )
        return CertificateAttempt(sequence, None, 0.0, reason, n_repeated)
    errors = int(sequence.n_errors_L[index]) / sequence.n_units
    if refused := not_worth(share_L[index], errors, costs):
        return CertificateAttempt(sequence, None, 0.0, refused, n_repeated)
    labels = None
    if sequence.kind == "not_worse_on_labels":
        threshold = float(sequence.thresholds_L[index])
        at_random = reference.at_random
        labels = label_evidence(result.units, threshold, at_random=at_random, not_random=not_random)
    n_unseen = 0 if alone is None else alone.n_units
    return CertificateAttempt(sequence, index, share_L[index], "", n_repeated, labels, n_unseen)


CONTRADICTED = 0.01
"""Level of the test on held-out calls that blocks a certificate: it costs a sound route one time in a hundred."""


def contradiction(shown: Evaluation, made: CertificateAttempt, largest: int, seed: int) -> str:
    """Why held-out calls contradict a certificate, for a reader; "" where they do not, or there is none.

    Held-out calls never admit a route, they only refuse one: so the claim stays valid.

    Args:
        shown: the held-out calls.
        made: the certificate's test.
        largest: calls of the task in its largest group.
        seed: of the draw of units.
    """
    if made.threshold is None:
        return ""
    units = shown.take(cert.draw_calls(shown.groups, largest, seed))
    served_N = units.confidence_N >= made.threshold
    # what may differ without being wrong contradicts nothing: only labelled calls do then
    counted = np.isfinite(units.label_difference_N) | (made.sequence.kind != "not_worse_on_labels")
    loss_N = served_N * excess_loss(units, made.sequence.kind)
    p = cert.contradicted_p(loss_N[counted], made.sequence.epsilon)
    if p > CONTRADICTED:
        return ""
    n_wrong = int((served_N & ~units.right_N).sum())
    return (
        f"certified on calibration calls, but newer ones contradict it: of {len(units)} independent held-out calls "
        f"{n_wrong} were served and wrong, which is not likely at a loss of {made.sequence.epsilon:g} (p = {p:.2g})"
    )


def _test(
    result: CalibrationResult,
    grid_L: cert.Floats,
    epsilon: float,
    delta: float,
    served_limit: float | None,
    reference: Reference,
) -> cert.SequenceTest:
    """The test of the grid on the units."""
    n_not_evaluated, units = result.n_not_evaluated, result.units
    labels, random, judged = reference.by_labels, reference.at_random, reference.judged
    kind, whole = kind_of(units, by_labels=labels, at_random=random, judged=judged), result.whole
    if whole is not None and epsilon in whole.bets and kind == "not_worse_than_llm":
        return whole.test(result.evaluation, epsilon, delta, served_limit)
    # what was to be tested and was not evaluated counts as served and wrong
    confidence_N = np.append(units.confidence_N, np.full(n_not_evaluated, np.inf))
    wrong_N = np.append(~units.right_N, np.ones(n_not_evaluated, dtype=bool))
    if kind in ("not_worse_than_llm", "not_worse_by_judge"):
        grid_L = cert.every_threshold(confidence_N)
    return cert.certify(
        kind,
        confidence_N,
        wrong_N,
        grid_L,
        epsilon,
        delta,
        losses=losses_of(units, kind, n_not_evaluated, at_random=reference.at_random),
        served_limit=served_limit,
    )


class UnitWords(TypedDict):
    """Arguments of certificates.claim."""

    linked_by: str
    n_people: int


@dataclass(frozen=True)
class UnitFacts:
    """Facts about the groups of a log, from curation."""

    linked_by: str = ""
    """What their independence rests on (Certificate.linked_by)."""
    n_people: int = 0
    """People who asked, where they are few behind many groups; else 0."""
    by_person: bool = False
    """Groups are people, so that the claim holds for new ones."""

    def words(self) -> UnitWords:
        """The facts that a claim says in words."""
        return {"linked_by": self.linked_by, "n_people": 0 if self.by_person else self.n_people}

    @classmethod
    def of(cls, curated: Curated) -> UnitFacts:
        """Of curated data."""
        return cls(curated.linkage, curated.n_people, curated.split_by_person)


def certificate_of(
    made: CertificateAttempt,
    specialist: Specialist,
    config: Convert,
    *,
    limits: RequestLimits,
    mixed: bool,
    calibration: CalibrationResult,
    units: UnitFacts | None = None,
    n_together: int = 0,
    judge: JudgeEvidence | None = None,
) -> Certificate | None:
    """The certificate of a specialist; None where the claim was refused.

    Args:
        made: the attempt at the epsilon asked for.
        specialist: the one that calibrated; trained again it gets another id, for audits of the old one say nothing of it.
        config: seed, epsilon and delta.
        limits: the requests that calibration covered.
        mixed: the site also speaks to people.
        calibration: what was evaluated of the units.
        units: facts about the groups; None: nothing is known of them.
        n_together: tasks whose claims hold at once; 0 where each holds by itself.
        judge: who judged the answers; None: they were compared.
    """
    units, sequence, index, threshold = units or UnitFacts(), made.sequence, made.index, made.threshold
    if index is None or threshold is None or (p_value := made.p_value) is None:
        return None
    return Certificate(
        id=_id(sequence, specialist, config, threshold),
        kind=sequence.kind,
        epsilon=sequence.epsilon,
        delta=config.delta,
        test_level=sequence.delta,
        n_together=n_together,
        n_calibration=sequence.n_units,
        threshold=threshold,
        share_served=made.share_served,
        p_value=p_value,
        claim=words.claim(
            sequence,
            index,
            **_claim_facts(made, specialist, config, units),
            mixed=mixed,
            n_not_evaluated=calibration.n_missing(sequence),
            n_together=n_together,
            judge=judge,
        ),
        n_served=int(sequence.n_served_L[index]),
        n_errors=int(sequence.n_errors_L[index]),
        uncompared=specialist.contract.uncompared,
        served_limit=sequence.served_limit,
        linked_by=units.linked_by,
        n_people=units.n_people,
        limits=limits,
        labels=made.labels,
        judge=judge,
        episodes=calibration.episode_bet(sequence),
        n_unseen=made.n_unseen,
    )


class _ClaimFacts(UnitWords):
    """Arguments of certificates.claim that a certificate's parts know."""

    delta: float
    n_repeated: int
    uncompared: list[str]
    measures: list[str]
    labels: LabelEvidence | None
    n_unseen: int | None


def _claim_facts(
    made: CertificateAttempt, specialist: Specialist, config: Convert, units: UnitFacts
) -> _ClaimFacts:
    return {
        **units.words(),
        "delta": config.delta,
        "n_repeated": made.n_repeated,
        "uncompared": specialist.contract.uncompared,
        "measures": measures_of(specialist.contract),
        "labels": made.labels,
        "n_unseen": made.n_unseen if specialist.contract.from_request else None,
    }


def with_ood_detector(
    certificate: Certificate, detector: OutOfDistributionDetectorPower | None, given_up: float
) -> Certificate:
    """The certificate with what the specialist's detector notices, and the share of calibration calls that it gives up."""
    if detector is None:
        return certificate
    return msgspec.structs.replace(
        certificate, ood_power=round(detector.power, 4), ood_given_up=round(given_up, 4)
    )


def on_engine(certificate: Certificate, engine: str) -> Certificate:
    """The certificate with the engine that it was measured on; another one makes another certificate."""
    name = certificate.id.rpartition("-")[0]
    mark = cert.seed_of(0, certificate.id, engine) % 16**6
    return msgspec.structs.replace(certificate, id=f"{name}-{mark:06x}", engine=engine)


def dated(certificate: Certificate, config: Convert, now_s: float) -> Certificate:
    """The certificate with its date (Unix seconds) and the days and calls that it holds for."""
    return msgspec.structs.replace(
        certificate,
        created_s=now_s,
        renew_after_days=config.renew_after_days,
        renew_after_calls=config.renew_after_calls,
    )


def _id(sequence: cert.SequenceTest, specialist: Specialist, config: Convert, threshold: float) -> str:
    """The id of a certificate: readable, and another one for every specialist."""
    name = f"{specialist.task_id}-{sequence.kind}-{config.epsilon:g}-{config.delta:g}"
    sums = [f"{file}={digest}" for file, digest in sorted(specialist.checksums.items())]
    mark = cert.seed_of(config.seed, name, f"{threshold!r}", specialist.id, *sums)
    return f"{name}-{mark % 16**6:06x}"


def refusal(made: CertificateAttempt, shown: Evaluation, method: str, epsilon: float) -> str:
    """Why there is no certificate, and how the method did on held-out calls, for a reader; "" where there is one."""
    if made.index is not None:
        return ""
    sentence = made.reason[0].upper() + made.reason[1:] + "."
    if shown.accuracy is None:
        return sentence
    return (
        f"{sentence} On {len(shown)} held-out calls the {method} specialist agreed with the LLM on "
        f"{whole_percent(shown.accuracy)}; with hindsight {whole_percent(shown.coverage_at(epsilon))} of the calls "
        f"meant for code could have been served at a loss of {epsilon:g}."
    )


def none_asked(calls: Sequence[PopulationCall]) -> str:
    """The refusal of a task of which the gateway would leave every validation call to the LLM; "" for others."""
    if any(call.is_asked for call in calls) or not calls:
        return ""
    reasons = Counter(call.not_asked for call in calls)
    counted = " ".join(f"{n:,} calls: {sentence_of(reason)}" for reason, n in reasons.most_common())
    return f"the gateway would leave all of its {len(calls):,} calls to choose by to the LLM. {counted}"


def no_agreement(methods: Sequence[EvaluatedMethod], n_validation: int) -> str:
    """The refusal of a task of which no method answered a single validation call as the LLM did."""
    return (
        f"{' and '.join(m.name for m in methods)}: not one of {n_validation} calls to choose by was answered as the "
        "LLM did, so no calibration call was spent on it; more time (minutes) or more examples may change that"
    )
