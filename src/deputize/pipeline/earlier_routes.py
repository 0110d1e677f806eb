"""Published routes of which a run certifies no successor: kept where nothing speaks against them, else closed.

A run that has too little evidence for a claim of its own says nothing against an earlier one, so the earlier route
stays, with its certificate. What speaks against it is its own traffic: the calls that were audited, and a like share of
those that it left to the LLM (stages.curate.traffic_sample). Where these show a greater loss than the certificate
allows, the older calls of the log say nothing of today any more: then the route is closed, and a successor must hold on
the calls since the route began to serve.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from deputize.core.artifacts import Discovered, Finetuned
from deputize.core.config import Convert
from deputize.core.decision_reason import NOT_SERVING
from deputize.core.earlier_route import EarlierRoute
from deputize.core.errors import DeputizeError
from deputize.core.records import EVERY_TENANT, Call, Certificate, Contract, Route, RouteFile, Task
from deputize.core.task_results import CalibrationCall, TaskResult
from deputize.scoring.certificates import NEVER, SequenceTest, certify, contradicted_p, every_threshold
from deputize.scoring.episode_bets import certify_episodes
from deputize.scoring.monitor import allowed_over_all, sum_of_losses
from deputize.stages.curate.traffic_sample import TrafficSample
from deputize.stages.refine.route_evidence import against_repeats, audit_result

if TYPE_CHECKING:
    from deputize.home import Home

CONTRADICTED = 0.01
"""Level of the test that closes a route: it costs a sound one a time in a hundred at a run."""


@dataclass
class ServedEvidence:
    """A sample of the calls of a route since its specialist serves, with the composition of its traffic."""

    loss_of: dict[str, tuple[bytes, float, int]] = field(default_factory=dict)
    """Episode -> (order of its call among those of the episode, loss of that call, calls of the episode in the
    sample)."""
    since: set[str] = field(default_factory=set)
    """Ids of all calls of the route in the sample since then, those that came while it was closed included."""

    def add(self, call: Call, loss: float) -> None:
        """Adds a call; of an episode one random call may count."""
        self.since.add(call.id)
        order = blake2b(call.id.encode("utf-8", "surrogatepass"), digest_size=8, person=b"evidence").digest()
        episode = call.episode or call.id
        first, known, n = self.loss_of.get(episode, (order, loss, 0))
        self.loss_of[episode] = (*((order, loss) if order < first else (first, known)), n + 1)

    def losses(self) -> list[float]:
        """Losses of independent calls: an episode gives one with a probability in proportion to its calls, so that
        every call is equally likely to count, as in the certificate (scoring.certificates.draw_calls)."""
        largest = max((n for _, _, n in self.loss_of.values()), default=1)
        return [loss for order, loss, n in self.loss_of.values() if _coin(order) * largest < n]

    def p_sound(self, epsilon: float) -> float:
        """p-value of "the loss is at most epsilon"; a small one speaks against the route."""
        return contradicted_p(self.losses(), epsilon)

    @property
    def n_differed(self) -> int:
        """Of them, those whose served answer was not the LLM's."""
        return sum(loss > 0 for loss in self.losses())


def _coin(order: bytes) -> float:
    """A number in [0, 1) that a call's order does not tell."""
    return int.from_bytes(blake2b(order, digest_size=8, person=b"coin").digest(), "big") / 2**64


def routes_of(file: RouteFile, tenant: str) -> RouteFile:
    """The file with the routes that a run of the tenant decides on: its own, and all where the run is of every
    tenant."""
    routes = [route for route in file.routes if tenant in (route.tenant, EVERY_TENANT)]
    return structs.replace(file, routes=routes)


def others_of(file: RouteFile, tenant: str, *, shared_stay: bool) -> tuple[list[Route], list[Route]]:
    """(the routes of other tenants, which a run of this one leaves as they are; shared routes that have to go).

    Args:
        file: the published routes.
        tenant: of the run.
        shared_stay: False where tenants do not share specialists any more.
    """
    decided = {route.id for route in routes_of(file, tenant).routes}
    others = [route for route in file.routes if route.id not in decided]
    gone = [] if shared_stay else [route for route in others if route.tenant == EVERY_TENANT]
    return [route for route in others if route not in gone], gone


def served_evidence(
    calls: Iterable[Call], routes: Sequence[Route], sample: TrafficSample
) -> dict[str, ServedEvidence]:
    """The evidence of each route by its id, from recorded calls; read once, as a stream.

    Args:
        calls: every call.
        routes: the published routes.
        sample: which of the calls have the composition of the traffic.
    """
    by_id = {route.id: route for route in routes if route.certificate is not None}
    found = {id: ServedEvidence() for id in by_id}
    for call in calls:
        decision = call.decision
        route = by_id.get(decision.route_id) if decision is not None else None
        if decision is None or route is None or decision.served_by != "llm":
            continue
        if call.id in sample.training_only or decision.reason == "audit_repeat":
            continue
        if decision.reason in NOT_SERVING or call.id in sample.after_change:
            # it says nothing of what was served, but it came afterwards
            if found[route.id].since:
                found[route.id].since.add(call.id)
            continue
        if decision.specialist != route.specialist:
            continue
        if decision.reason != "audit":
            found[route.id].add(call, 0.0)
        elif (result := audit_result(decision, route)) is not None:
            # beside a challenger the LLM is asked twice whatever this route claims
            loss = sum_of_losses(result, signed=against_repeats(route.certificate))
            found[route.id].add(call, loss)
    return found


def keep_or_close_routes(
    results: Sequence[TaskResult],
    discovered: Discovered,
    file: RouteFile,
    evidence: Mapping[str, ServedEvidence],
    unusable: Mapping[str, str],
    config: Convert,
    judge: str = "",
) -> tuple[list[TaskResult], list[EarlierRoute], dict[str, str]]:
    """(the results, claims that rest on outdated calls refused; what becomes of each route without a successor; routes
    with one that may not serve alongside it, and why).

    Args:
        results: of this run.
        discovered: its tasks.
        file: the published routes.
        evidence: of their traffic.
        unusable: route id -> why it may not be kept whatever its evidence.
        config: the claim that is asked for now.
        judge: the model of `[judge]`; "": there is none.
    """
    task_of = {route.id: _task_of(route, discovered.tasks) for route in file.routes}
    against: dict[str, str] = {}
    for route in file.routes:
        if route.certificate is not None and (found := evidence.get(route.id)) is not None:
            p = found.p_sound(allowed_over_all(route.certificate))
            if p <= CONTRADICTED:
                against[route.id] = (
                    f"its traffic contradicts its certificate: {found.n_differed} of {len(found.losses())} sampled calls were "
                    f"served otherwise than the LLM would (p = {p:.2g})"
                )
    settled = []
    for result in results:
        for route in file.routes:
            task = task_of[route.id]
            if route.id in against and task is not None and task.id == result.task_id:
                result = _only_recent(result, evidence[route.id], config.delta)
        settled.append(result)
    certified = {r.task_id for r in settled if r.certificate is not None}
    earlier, outdated = [], {}
    for route in file.routes:
        task = task_of[route.id]
        why = unusable.get(route.id) or against.get(route.id)
        why = why or _weaker(route, config, judge) or _edited(route, task)
        if task is not None and task.id in certified:
            if why:
                outdated[route.id] = why
            continue
        earlier.append(
            EarlierRoute(
                route_id=route.id,
                specialist=route.specialist,
                task_id=task.id if task is not None else "",
                task_name=task.name if task is not None else route.task_name,
                kept=not why,
                reason=why or "this run has no claim to put in its place, and nothing speaks against it",
            )
        )
    return settled, earlier, outdated


def _task_of(route: Route, tasks: Sequence[Task]) -> Task | None:
    """The task that a route's calls belong to; None where there is none."""
    by_id = next((task for task in tasks if task.id == route.task_id), None)
    keys = set(route.keys)
    return by_id or next((task for task in tasks if keys.intersection(task.keys)), None)


def _weaker(route: Route, config: Convert, judge: str) -> str:
    """Why a route's certificate is not what is asked for now; "" where it is."""
    certificate, limit = route.certificate, config.limit_among_served
    if certificate is None:
        return "it has no certificate"
    if certificate.epsilon > config.epsilon or certificate.delta > config.delta:
        return f"its certificate is at {certificate.epsilon:g}/{certificate.delta:g}, less strict than what is asked for now"
    if certificate.labels is not None and config.reference == "llm":
        return "its certificate is about right answers, not about the LLM's, as is asked for now"
    if certificate.labels is not None and certificate.labels.at_random and not config.labels_at_random:
        return "its certificate takes labels for drawn at random, which is not declared any more"
    if certificate.judge is not None and certificate.judge.model != judge:
        now = f"the judge is {judge} now" if judge else "no judge is set now"
        return f"its certificate rests on the verdicts of the judge {certificate.judge.model}, and {now}"
    if config.scope == "all-routes" and not certificate.n_together:
        return (
            "its certificate holds by itself, not at once with those of the other tasks, as is asked for now"
        )
    if limit is not None and (certificate.served_limit is None or certificate.served_limit > limit):
        return f"its certificate does not say that at most {limit:g} of the served answers are wrong"
    return ""


def _edited(route: Route, task: Task | None) -> str:
    """Why a person's edits of a task end the route; "" where they do not."""
    if task is None:
        return ""
    if task.hidden:
        return "the task was hidden"
    if _by_hand(task.contract, route.contract):
        return "how the task's replies are compared was set otherwise by hand"
    return ""


def _by_hand(new: Contract, old: Contract) -> bool:
    of_old = {f.name: (f.type, f.measure) for f in old.fields}
    return new.measure != old.measure or any(
        f.by_hand and of_old.get(f.name, (f.type, f.measure)) != (f.type, f.measure) for f in new.fields
    )


def _only_recent(result: TaskResult, evidence: ServedEvidence, delta: float) -> TaskResult:
    """The result, its certificate refused where calls since the old route began to serve do not carry it by
    themselves."""
    certificate = result.certificate
    if certificate is None:
        return result
    recent = [one for one in result.calibration if one.is_unit and one.call_id in evidence.since]
    # units that there was no time to read may all be recent ones
    n_not_evaluated = result.evaluation.n_calibration_not_evaluated
    if certificate.episodes is not None:
        n_not_evaluated = len(certificate.episodes.not_evaluated)
    # the claim's own level, which is a part of the ledger's where those of all tasks hold at once
    spent = result.delta_spending.test_level if result.delta_spending is not None else delta
    level = certificate.test_level or spent
    sequence = _tested_again(certificate, recent, n_not_evaluated, level)
    grid_L = sequence.thresholds_L
    stricter_L = grid_L[grid_L >= certificate.threshold]
    if stricter_L.size and stricter_L[-1] in sequence.thresholds_L[: sequence.n_passed]:
        return result
    n_wrong = sum(one.served and not one.right for one in recent) + n_not_evaluated
    refused = (
        "The traffic has changed since the earlier route was certified, and calls from before say nothing of it: of "
        f"{len(recent) + n_not_evaluated} {'' if certificate.episodes else 'independent '}calibration calls since then {n_wrong} "
        "would be served and wrong, which carries no claim yet."
    )
    return structs.replace(result, certificate=None, refusal_reason=refused, held_out=None)


def _tested_again(
    certificate: Certificate, recent: Sequence[CalibrationCall], n_not_evaluated: int, level: float
) -> SequenceTest:
    """The test of a certificate on some of its units, at a level; what was not evaluated counts as served and wrong."""
    confidence = [NEVER if one.confidence is None else one.confidence for one in recent]
    confidence += [math.inf] * n_not_evaluated
    wrong = [not one.right for one in recent] + [True] * n_not_evaluated
    bet = certificate.episodes
    if bet is None:
        return certify(
            "not_worse_than_llm",
            confidence,
            wrong,
            every_threshold(confidence),
            certificate.epsilon,
            level,
            served_limit=certificate.served_limit,
        )
    return certify_episodes(
        "not_worse_than_llm",
        confidence,
        wrong,
        [*(one.episode or 0 for one in recent), *bet.not_evaluated],
        bet,
        certificate.epsilon,
        level,
        served_limit=certificate.served_limit,
    )


def unusable_routes(home: Home, file: RouteFile) -> dict[str, str]:
    """Routes that may not be kept, by id, and why: trained on calls that were erased, or gone from the disk."""
    out: dict[str, str] = {}
    for route in file.routes:
        if not (home.path / route.specialist / "specialist.json").is_file():
            out[route.id] = "its specialist is not there any more"
        elif n_erased := len(home.store.erased(_trained_on(home, route))):
            out[route.id] = f"{n_erased} calls that its specialist was trained on were erased"
    return out


def _trained_on(home: Home, route: Route) -> list[str]:
    """Ids of the calls that a route's specialist was trained on; none where its run cannot be read."""
    from deputize.pipeline.run import artifact_of

    run_id = Path(route.specialist).parent.parent.name
    try:
        found = artifact_of(home, run_id, "finetune", Finetuned).read()
    except DeputizeError:
        return []
    return [id for s in found.specialists if s.path == route.specialist for id in s.trained_on]


def left_alone(route: Route) -> EarlierRoute:
    """A route of another tenant, which a run leaves as it is."""
    return EarlierRoute(
        route_id=route.id,
        specialist=route.specialist,
        task_id=route.task_id,
        task_name=route.task_name,
        kept=True,
        reason="it is of another tenant",
    )
