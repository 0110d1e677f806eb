"""Rows of a task's result: what the report shows of each method, of each epsilon and of the held-out calls."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deputize.core.artifacts import Candidate, Specialist
from deputize.core.records import Certificate, Contract
from deputize.core.task_results import (
    AgreementBand,
    CalibrationCall,
    EpsilonRow,
    HeldOut,
    MethodRow,
    SelfAgreement,
    TestScore,
)
from deputize.scoring import certificates as cert
from deputize.scoring.intervals import coverage_at, difference_interval, proportion_interval
from deputize.stages.evaluate.certify import CalibrationResult, CertificateAttempt
from deputize.stages.evaluate.claimed_loss import excess_loss
from deputize.stages.evaluate.evaluated_method import EvaluatedMethod
from deputize.stages.evaluate.evaluation import Evaluation
from deputize.stages.evaluate.population import PopulationCall
from deputize.stages.evaluate.select_method import validation_score

EPSILONS: tuple[float, ...] = (0.01, 0.02, 0.05, 0.10)
"""Losses the report shows in addition to the one asked for."""
BANDS = 6
"""Bands of confidence that agreement is shown by."""
MIN_PROBE = 4
"""Probed calls from which the untuned model's accuracy is worth a figure."""


def baseline_rows(candidates: Sequence[Candidate], majority: float | None) -> list[MethodRow]:
    """Rows of what was not trained: the majority answer and the models that were probed."""
    return [
        MethodRow(method="majority", test_accuracy=majority),
        *(
            MethodRow(
                method=f"probe: {c.method or 'as it is'}",
                model=c.model,
                probe_accuracy=c.probe_accuracy,
                n_probe=c.n_probe,
            )
            for c in candidates
            if c.probe_accuracy is not None and c.method != "majority" and c.n_probe >= MIN_PROBE
        ),
    ]


def method_row(method: EvaluatedMethod, *, chosen: bool, score: float | None, epsilon: float) -> MethodRow:
    """The row of a trained method; what was not evaluated within the time budget is None.

    Args:
        method: with its answers to validation and held-out calls.
        chosen: the certificate is about it.
        score: its share servable on validation where methods were compared by it; None: worked out here.
        epsilon: the loss asked for.
    """
    specialist, validation, shown = method.specialist, method.on_validation(), method.on_test()
    if score is None and len(validation):
        score = validation_score(validation, epsilon)
    return MethodRow(
        method=specialist.method,
        model=specialist.model,
        trained=True,
        chosen=chosen,
        n_train=specialist.n_train,
        train_s=specialist.train_s,
        n_validation=len(validation),
        validation_accuracy=validation.accuracy,
        validation_coverage=score,
        n_test=len(shown),
        test_accuracy=shown.accuracy,
        test_interval=proportion_interval(shown.right_N, shown.groups) if len(shown) else None,
        action_accuracy=action_accuracy(shown, method.calls.contract),
        test_coverage={f"{e:g}": shown.coverage_at(e) if len(shown) else None for e in EPSILONS},
        seconds_per_call=method.timed.seconds_per_call or None,
    )


def by_epsilon(made: CertificateAttempt, calibration: Evaluation, shown: Evaluation) -> EpsilonRow:
    """The row of one attempt: what was certified, and what hindsight could have served."""
    sequence, threshold = made.sequence, made.threshold
    unseen_share, _ = coverage_at(
        np.concatenate([calibration.confidence_N, shown.confidence_N]),
        np.concatenate([calibration.loss_N, shown.loss_N]),
        sequence.epsilon,
        np.concatenate([calibration.counts_N, shown.counts_N]),
    )
    served_N = shown.confidence_N >= (np.inf if threshold is None else threshold)
    return EpsilonRow(
        epsilon=sequence.epsilon,
        certified=threshold is not None,
        threshold=threshold,
        p_value=made.p_value,
        share_certified=made.share_served,
        share_held_out=shown.share_served(threshold) if threshold is not None else 0.0,
        loss_held_out=float((served_N * shown.loss_N).mean()) if len(shown) else None,
        oracle_coverage=shown.coverage_at(sequence.epsilon),
        oracle_coverage_calibration_and_test=unseen_share,
        n_units=sequence.n_independent,
        units_needed=cert.units_needed(sequence.epsilon, sequence.delta),
        reason=made.reason,
    )


def by_confidence(shown: Evaluation, most: int = BANDS) -> list[AgreementBand]:
    """Held-out calls by confidence, in bands of about equal numbers; equal confidences are in one band.

    Args:
        shown: the calls.
        most: bands.
    """
    asked_N = np.isfinite(shown.confidence_N) & (shown.confidence_N > cert.NEVER)
    confidence, right = shown.confidence_N[asked_N], shown.right_N[asked_N]
    order = np.argsort(confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    bands: list[AgreementBand] = []
    start, n = 0, confidence.size
    while start < n:
        end = min(n, max(start + 1, round(n * (len(bands) + 1) / most)))
        end = int(np.searchsorted(confidence, confidence[end - 1], side="right"))
        bands.append(
            AgreementBand(
                lowest_confidence=float(confidence[start]),
                highest_confidence=float(confidence[end - 1]),
                mean_confidence=float(confidence[start:end].mean()),
                n_calls=end - start,
                n_agreed=int(right[start:end].sum()),
            )
        )
        start = end
    return bands


def held_out(
    shown: Evaluation, certificate: Certificate | None, seed: int
) -> tuple[HeldOut | None, dict[str, tuple[float, float]]]:
    """The certified route as it would have run on held-out calls, and its sums by group
    (TaskResult.held_out_groups)."""
    if certificate is None or not len(shown):
        return None, {}
    served_N = shown.confidence_N >= certificate.threshold
    # what is certified is what is measured: the LLM's own errors are subtracted only where that was tested
    at_random = certificate.labels is not None and certificate.labels.at_random
    difference_N = served_N * excess_loss(shown, certificate.kind, at_random=at_random)
    counted = served_N & shown.counts_N
    spent_usd = float(shown.llm_usd_N[shown.counts_N].sum())
    groups: dict[str, tuple[float, float]] = {}
    for group, counts, lost in zip(shown.groups, shown.counts_N, difference_N, strict=True):
        n, loss = groups.get(group, (0.0, 0.0))
        groups[group] = n + float(counts), loss + float(lost)
    share = shown.share_served(certificate.threshold)
    return HeldOut(
        n_calls=len(shown),
        share_served=share,
        loss_difference=float(difference_N.mean()),
        loss_difference_interval=difference_interval(difference_N, shown.groups, seed=seed),
        loss_per_episode=_mean_over_groups(difference_N, shown.groups),
        n_code_calls=int(shown.counts_N.sum()),
        n_served=int(served_N.sum()),
        agreement_of_served=float(shown.right_N[served_N].mean()) if served_N.any() else None,
        errors_on_calls_for_people=int((served_N & ~shown.counts_N).sum()),
        share_of_cost_served=float(shown.llm_usd_N[counted].sum()) / spent_usd if spent_usd else share,
    ), groups


def _mean_over_groups(value_N: cert.Floats, groups: Sequence[str]) -> float:
    """The mean over groups of each group's mean: every group weighs the same, however many calls it has."""
    names, at_N = np.unique(np.asarray(groups), return_inverse=True)
    return float(np.mean(np.bincount(at_N, value_N, len(names)) / np.bincount(at_N, minlength=len(names))))


def calibration_calls(result: CalibrationResult, made: CertificateAttempt) -> list[CalibrationCall]:
    """The record of the calibration calls that were evaluated: which were units of a test, and what was said of
    them."""
    calibration, threshold = result.evaluation, made.threshold
    is_unit_N = np.arange(len(calibration)) < result.n_units - result.n_not_evaluated
    episode_N = np.full(len(calibration), -1)
    if result.whole is not None and made.sequence.n_episodes:
        episode_N = result.whole.numbers_N[: len(calibration)]
        is_unit_N = episode_N >= 0
    return [
        CalibrationCall(
            call_id=call_id,
            served=threshold is not None and bool(confidence >= threshold),
            right=bool(right),
            is_unit=bool(is_unit_N[at]),
            episode=int(episode_N[at]) if episode_N[at] >= 0 else None,
            confidence=float(confidence) if np.isfinite(confidence) else None,
            answer=answer,
        )
        for at, (call_id, confidence, right, answer) in enumerate(
            zip(
                calibration.call_ids,
                calibration.confidence_N,
                calibration.right_N,
                calibration.answers,
                strict=True,
            )
        )
    ]


def test_score(shown: Evaluation, majority: float | None, base_accuracy: float | None) -> TestScore | None:
    """Accuracies on held-out calls; None where none was evaluated."""
    if not len(shown):
        return None
    return TestScore(
        n_calls=len(shown),
        n_episodes=len(set(shown.episodes)),
        majority_accuracy=majority,
        base_accuracy=base_accuracy,
        tuned_accuracy=shown.accuracy,
        tuned_interval=proportion_interval(shown.right_N, shown.groups),
    )


def base_accuracy(chosen: Specialist, candidates: Sequence[Candidate]) -> float | None:
    """The untuned base model's accuracy in the selection stage's probe; None where it was not probed."""
    probed = [
        c
        for c in candidates
        if c.probe_accuracy is not None
        and c.n_probe >= MIN_PROBE
        and c.method in ("", "base prompt", "few-shot")
    ]
    same = [c for c in probed if c.model == chosen.model]
    return max((c.probe_accuracy for c in same or probed if c.probe_accuracy is not None), default=None)


def action_accuracy(shown: Evaluation, contract: Contract) -> float | None:
    """Agreement on tool names without arguments; None for tasks that call no tools."""
    return shown.action_accuracy if contract.kind == "tool_call" else None


def self_agreement(*sets: Evaluation) -> SelfAgreement | None:
    """How often the LLM's repeated samples equal its recorded answer; None where it was asked once only."""
    loss = np.concatenate([m.repeat_loss_N for m in sets])
    known = loss[np.isfinite(loss)]
    return SelfAgreement(agreement=float(1 - known.mean()), n_calls=int(known.size)) if known.size else None


def majority_accuracy(asked: Sequence[PopulationCall]) -> float | None:
    """Accuracy of always giving the most frequent answer of training; None where nothing is asked."""
    return sum(call.is_commonest for call in asked) / len(asked) if asked else None
