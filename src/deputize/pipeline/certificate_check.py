"""A certificate computed again: its specialist is asked the calibration calls once more, raw from the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import replace as replace_fields

from deputize.core.artifacts import Discovered, Finetuned
from deputize.core.episode_bet import EpisodeBet
from deputize.core.errors import BadInput
from deputize.core.progress import Progress, silent
from deputize.core.records import Certificate, Record, Route
from deputize.core.task_results import CalibrationCall, Evaluated, TaskResult
from deputize.scoring import certificates as cert
from deputize.scoring.certificates import CertificateKind
from deputize.scoring.episode_bets import certify_episodes

if TYPE_CHECKING:
    from deputize.home import Home
    from deputize.pipeline.run import Run
    from deputize.stages.evaluate.evaluation import Evaluation
    from deputize.stages.evaluate.population import Population


RECERTIFIED = "recertify"
"""The artifact of a run with the results of second measurements, the newest of each specialist."""


class CertificateCheck(Record):
    """The result of computing a certificate again."""

    route_id: str
    certificate_id: str
    run_id: str
    n_units: int
    """Calibration units of the certificate."""
    n_asked: int
    """Of them, asked again."""
    n_gone: int
    """Of them, not in the store any more (erased, expired); the certificate cannot be computed in full without them."""
    n_served: int
    n_errors: int
    p_value: float | None
    """None where units are gone."""
    differences: list[str]
    """What is not as the certificate, or the record of the run, says."""

    @property
    def is_equal(self) -> bool:
        """True where everything was computed and is equal."""
        return not self.differences and not self.n_gone


def check_certificate(home: Home, route: Route, *, progress: Progress = silent) -> CertificateCheck:
    """Computes the certificate of a route again, from the sealed results of its run, its specialist and the store.

    Raises:
        BadInput: the route has no certificate, or its run cannot be read.
    """
    from deputize.pipeline.run import Run, read_state

    if route.certificate is None:
        raise BadInput(f"Route {route.id} has no certificate.")
    run = Run(home, read_state(home, Path(route.specialist).parent.parent.name), progress)
    evaluated, finetuned = run.load("evaluate", Evaluated), run.load("finetune", Finetuned)
    artifact = run.artifact(RECERTIFIED, Evaluated)
    measured_again = artifact.read().results if artifact.exists else []
    result = next((r for r in [*measured_again, *evaluated.results] if _made(r, route)), None)
    if result is None or result.certificate is None:
        raise BadInput(
            f"Run {run.state.run_id} holds no certificate for {route.specialist}, so there is nothing to compare with."
        )
    differences = [*other_records(route, result.certificate), *other_files(home, route, finetuned)]
    n_units = route.certificate.n_calibration
    units = [call for call in result.calibration if call.is_unit]
    if other_files(home, route, finetuned):  # nothing is loaded that is not what was certified
        return CertificateCheck(
            route_id=route.id,
            certificate_id=route.certificate.id,
            run_id=run.state.run_id,
            n_units=n_units,
            n_asked=0,
            n_gone=0,
            n_served=0,
            n_errors=0,
            p_value=None,
            differences=differences,
        )
    again, known = _ask_again(run, route, units, progress)
    if route.certificate.judge is not None:
        # a judge is not asked again: its verdicts stand as recorded, for answers that are the same as then
        again = replace(again, right_N=np.array([u.right for u in known], dtype=bool))
    differences += other_answers(known, again)
    n_gone, n_unread = len(units) - len(known), n_units - len(units)
    n_served, n_errors, p_value = counts_again(route.certificate, again, known, n_unread)
    if not n_gone:
        differences += other_counts(route.certificate, n_served, n_errors, p_value)
    return CertificateCheck(
        route_id=route.id,
        certificate_id=route.certificate.id,
        run_id=run.state.run_id,
        n_units=n_units,
        n_asked=len(known),
        n_gone=n_gone,
        n_served=n_served,
        n_errors=n_errors,
        p_value=None if n_gone else p_value,
        differences=differences,
    )


def _made(result: TaskResult, route: Route) -> bool:
    """True for the result that a route's certificate is of: specialists are folders of their run."""
    certificate = route.certificate
    return (
        result.certificate is not None
        and result.chosen == Path(route.specialist).name
        and (certificate is None or result.certificate.engine == certificate.engine)
    )


def other_records(route: Route, recorded: Certificate) -> list[str]:
    """Differences between a route of the route file and the certificate that its run recorded."""
    found = route.certificate
    assert found is not None
    differ = [f for f in recorded.__struct_fields__ if getattr(found, f) != getattr(recorded, f)]
    out = (
        [f"the route file's certificate differs from that of the run in {', '.join(differ)}"]
        if differ
        else []
    )
    if route.threshold != recorded.threshold:
        out.append(f"the route serves from {route.threshold:g}, certified is {recorded.threshold:g}")
    return out


def other_files(home: Home, route: Route, finetuned: Finetuned) -> list[str]:
    """Files of a route's specialist that are not those which were certified."""
    from deputize.specialists.catalogue import sha256_of

    card = next((s for s in finetuned.specialists if s.path == route.specialist), None)
    if card is None:
        return ["the run does not know the route's specialist"]
    folder = home.path / route.specialist
    out = []
    for name, digest in sorted(card.checksums.items()):
        if not (folder / name).is_file():
            out.append(f"{name} of the specialist is missing")
        elif sha256_of(folder / name) != digest:
            out.append(f"{name} of the specialist is not the file that was certified")
    return out


def _ask_again(
    run: Run, route: Route, units: Sequence[CalibrationCall], progress: Progress
) -> tuple[Evaluation, list[CalibrationCall]]:
    """(the answers now, the records of the same calls); calls that are gone are in neither."""
    from deputize.pipeline.certify_on_engine import answer_digest, serving_loader
    from deputize.pipeline.curation import LearnableCalls
    from deputize.pipeline.example_stream import for_counting
    from deputize.scoring.costs import load_prices
    from deputize.stages.evaluate.evaluation import compare, joined
    from deputize.stages.evaluate.listed_in_training import least_unseen
    from deputize.stages.evaluate.population import AnswersInTraining, asked_request, read_population

    discovered = run.load("cluster", Discovered)
    training = AnswersInTraining(discovered)
    population: Population = read_population(
        LearnableCalls(run),
        for_counting(run.load_curated(), training.see),
        discovered,
        load_prices(run.home.path),
        least_unseen=least_unseen(run.config),
        training=training,
        unread_reserve=run.load("finetune", Finetuned).unread_reserve,
    )
    calls = {call.call_id: call for task in discovered.tasks for call in population.of(task.id)}
    digest = answer_digest(run.home.keyring.derive("answers"))
    known = [unit for unit in units if unit.call_id in calls]
    parts = []
    texts = population.texts([calls[unit.call_id] for unit in known])
    with serving_loader(run.home) as load:
        predictor = load(run.home.path / route.specialist)
        for n_done, (unit, recorded) in enumerate(zip(known, texts, strict=True), 1):
            call = calls[unit.call_id]
            request = asked_request(recorded.call) if recorded is not None and call.is_asked else None
            predictions = predictor.predict([request]) if request is not None else [None]
            parts.append(compare(predictions, [call], [recorded], route.contract, digest=digest))
            progress("asking the specialist again", n_done, len(known))
    return joined(parts), known


def other_answers(known: Sequence[CalibrationCall], again: Evaluation) -> list[str]:
    """Calls that the specialist answers, or that are judged, otherwise than was recorded."""
    confidence_N = np.array([np.nan if u.confidence is None else u.confidence for u in known])
    now_N = np.where(np.isfinite(again.confidence_N), again.confidence_N, np.nan)
    other = ~np.isclose(confidence_N, now_N, rtol=0.0, atol=1e-6, equal_nan=True)
    answers = sum(u.answer != answer for u, answer in zip(known, again.answers, strict=True))
    labels = sum(u.right != right for u, right in zip(known, again.right_N, strict=True))
    counts = (
        (int(other.sum()), "have another confidence"),
        (answers, "are answered otherwise"),
        (labels, "are judged otherwise against the LLM's answer"),
    )
    return [f"{n} of {len(known)} calibration calls {what} than recorded" for n, what in counts if n]


def counts_again(
    certificate: Certificate, again: Evaluation, known: Sequence[CalibrationCall], n_unread: int
) -> tuple[int, int, float]:
    """(units served, served and wrong, p-value) at the certified threshold; unread units count as served and wrong.

    Args:
        certificate: of the route.
        again: the answers now.
        known: the records of the same calls.
        n_unread: units that there was no time for, where one call of each episode was tested.
    """
    bet = certificate.episodes
    return (
        _counts(certificate, again, n_unread)
        if bet is None
        else _counts_of_episodes(certificate, bet, again, known)
    )


def _counts(certificate: Certificate, again: Evaluation, n_unread: int) -> tuple[int, int, float]:
    """`counts_again` where one call of each episode was tested."""
    from deputize.stages.evaluate.claimed_loss import losses_of

    confidence_N = np.append(again.confidence_N, np.full(n_unread, np.inf))
    wrong_N = np.append(~again.right_N, np.ones(n_unread, dtype=bool))
    kind: CertificateKind = certificate.kind  # type: ignore[assignment]
    at_random = certificate.labels is not None and certificate.labels.at_random
    sequence = cert.certify(
        kind,
        confidence_N,
        wrong_N,
        [certificate.threshold],
        certificate.epsilon,
        certificate.test_level or certificate.delta,
        losses=losses_of(again, kind, n_unread, at_random=at_random),
        served_limit=certificate.served_limit,
    )
    served_N = confidence_N >= certificate.threshold
    p_value = float(sequence.p_values_L[0]) if sequence.p_values_L.size else 1.0
    return int(served_N.sum()), int((served_N & wrong_N).sum()), p_value


def _counts_of_episodes(
    certificate: Certificate, bet: EpisodeBet, again: Evaluation, known: Sequence[CalibrationCall]
) -> tuple[int, int, float]:
    """`counts_again` where whole episodes were tested."""
    n_unread = len(bet.not_evaluated)
    sequence = certify_episodes(
        "not_worse_than_llm",
        np.append(again.confidence_N, np.full(n_unread, np.inf)),
        np.append(~again.right_N, np.ones(n_unread, dtype=bool)),
        [*(unit.episode or 0 for unit in known), *bet.not_evaluated],
        replace_fields(bet, start=certificate.threshold),
        certificate.epsilon,
        certificate.test_level or certificate.delta,
        served_limit=certificate.served_limit,
    )
    return int(sequence.n_served_L[0]), int(sequence.n_errors_L[0]), float(sequence.p_values_L[0])


def other_counts(certificate: Certificate, n_served: int, n_errors: int, p_value: float) -> list[str]:
    """Differences between the counts and the p-value computed now and those of the certificate."""
    rows = (
        ("units served", n_served, certificate.n_served),
        ("served and wrong", n_errors, certificate.n_errors),
        ("p-value", round(p_value, 9), round(certificate.p_value, 9)),
    )
    return [f"{what}: {now:g} now, {then:g} in the certificate" for what, now, then in rows if now != then]


def summary_of(check: CertificateCheck) -> str:
    """The result as a sentence."""
    if check.is_equal:
        return (
            f"Equal: {check.n_errors} of {check.n_served} served calls differed among {check.n_units} units, "
            f"p = {check.p_value or 0.0:.4g}."
        )
    if not check.differences:
        return (
            f"What can be computed is equal, but {check.n_gone} of {check.n_units} units have left the store: the p-value "
            "cannot be computed any more."
        )
    return "Not equal: " + "; ".join(check.differences) + "."
