"""Evaluation (S6): every task's methods are compared on validation, one is certified on calibration, all are shown on held-out calls.

The order is the point: validation fixes the method and the grid of thresholds, calibration labels are seen once, for
that method, and test labels only afterwards.

Time is the other point: every evaluation stops at its limit. How many calibration units are tested is fixed by the
speed seen on validation, before one is answered; a unit that is not answered in time then counts as a served error. So
a certificate does not depend on when the evaluation stopped, although what takes long may well be what is wrong. What
decides a route is evaluated for all tasks first; what could not change the choice, for the report, with the time left.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

import msgspec
import numpy as np

from deputize.core.artifacts import Candidate, Curated, Discovered, Finetuned, Selected, Specialist
from deputize.core.certification import DeltaSpending, FamilyWiseTest
from deputize.core.config import Convert
from deputize.core.contracts import needs_judge
from deputize.core.deadline import Clock, Deadline
from deputize.core.judging import JudgeEvidence
from deputize.core.progress import Progress, silent
from deputize.core.records import Task
from deputize.core.task_results import EvaluationFacts, FullAnswers, MethodRow, TaskResult
from deputize.scoring import certificates as cert
from deputize.scoring import ledger
from deputize.scoring.call_costs import CallCosts
from deputize.scoring.costs import load_prices
from deputize.scoring.intervals import curve
from deputize.specialists.base import engine_of
from deputize.stages.evaluate import certify, rows
from deputize.stages.evaluate.certify import CalibrationResult, CertificateAttempt, UnitFacts
from deputize.stages.evaluate.claimed_loss import Reference
from deputize.stages.evaluate.cross_fitted import evaluations_of
from deputize.stages.evaluate.decision_alone import decision_alone
from deputize.stages.evaluate.delta_budget import DeltaBudget, groups_by_task
from deputize.stages.evaluate.evaluated_method import EvaluatedMethod, EvaluationContext, Load
from deputize.stages.evaluate.evaluation import Digest, no_digest
from deputize.stages.evaluate.judge import Judge, evidence_of
from deputize.stages.evaluate.plan_calibration import planned_calls
from deputize.stages.evaluate.population import Population
from deputize.stages.evaluate.select_method import MethodChoice, choose, in_order_of_cost, is_decided, sound
from deputize.stages.evaluate.task_calls import TaskCalls, largest_groups
from deputize.stages.evaluate.timed_predictor import FIRST
from deputize.stages.evaluate.whole_episodes import bets_by_epsilon

VALIDATION_SHARE = 0.3
"""Part of a task's time for validation."""
ENOUGH = 200
"""Validation and test calls that a task is given time for first."""
READING_S = 10.0
"""Seconds a task may take for reading its calls, which the speed of its specialist does not tell: where it is quick, all."""
NO_TIME = "no time was left to ask the specialist anything: more minutes are needed"
QUICK_S = 3.0
"""A method that answers all of validation in less is evaluated whole at once: it may decide the choice."""


def run(
    curated: Curated,
    discovered: Discovered,
    selected: Selected,
    finetuned: Finetuned,
    population: Population,
    config: Convert,
    *,
    home: Path,
    load: Load,
    progress: Progress = silent,
    deadline: Deadline | None = None,
    clock: Clock = time.perf_counter,
    digest: Digest = no_digest,
    audit_share: float = 0.0,
    budget: DeltaBudget | None = None,
    judge: Judge | None = None,
) -> list[TaskResult]:
    """One result per discovered task: certified, or refused with the reason and the numbers.

    Args:
        curated: examples with their split; groups of train and validation fix how calibration units are drawn.
        discovered: tasks, and which call belongs to which.
        selected: probes and plan of selection.
        finetuned: trained specialists.
        population: the calls that they are asked, as the gateway would ask them.
        config: epsilon, delta and seed.
        home: specialists' paths are relative to it.
        load: from a specialist's folder to something that predicts.
        progress: called after every chunk of calls.
        deadline: the end of all evaluation, overrun by one chunk of calls at most; None: no limit.
        clock: seconds, for measured speed.
        digest: of the answers to calibration calls, for the record; no text of them is kept.
        audit_share: share of served calls for which the gateway asks the LLM as well.
        budget: what earlier tests on the same groups have spent of delta; None: there were none.
        judge: of the tasks whose texts a person has left to one; they share its questions.
    """
    budget = budget or DeltaBudget(groups=groups_by_task(curated, discovered))
    deadline = deadline or Deadline.after(None, clock)
    given = evaluations_of(finetuned, curated.examples)
    context = EvaluationContext(
        home, load, load_prices(home), clock, progress, digest, audit_share, judge, given
    )
    leaks = {task.id: _leaks(task, finetuned) for task in discovered.tasks}
    largest = largest_groups(curated, discovered)
    results, waiting = dict[str, TaskResult](), list[TaskEvaluation]()
    for task in discovered.tasks:
        is_unread = task.id in finetuned.unread_reserve
        calls = TaskCalls(task, population, config.seed, largest[task.id], is_unread)
        probed, mine = selected.candidates.get(task.id, []), context.of_task(task, discovered.tasks)
        evaluation = TaskEvaluation(calls, probed, config, mine, UnitFacts.of(curated), budget)
        methods = in_order_of_cost(sound(task, finetuned), selected.plan.get(task.id, ()))
        if methods:
            _note_reading(calls, curated, config, budget)
            evaluation.measure_speed(methods, deadline)
            waiting.append(evaluation)
        else:
            results[task.id] = evaluation.untested(leaks[task.id] or _why_not(task, selected, finetuned))
    results |= _show_all(_decide_all(waiting, deadline, config), deadline)
    return [_with_leaks(results[task.id], leaks[task.id]) for task in discovered.tasks]


def _note_reading(calls: TaskCalls, curated: Curated, config: Convert, budget: DeltaBudget) -> None:
    """Writes down that the reserve of a small log is about to be read as a task's validation."""
    if not calls.is_cross_fitted and any(example.split == "reserve" for example in curated.examples):
        budget.note_reading(calls.task, calls.groups("validation"), config)


def _why_not(task: Task, selected: Selected, finetuned: Finetuned) -> str:
    reasons = (finetuned.refused.get(task.id), selected.refused.get(task.id))
    return next((r for r in reasons if r), "no specialist was trained for this task")


def _decide_all(waiting: list[TaskEvaluation], deadline: Deadline, config: Convert) -> list[TaskEvaluation]:
    """The tasks in the order of their turns, each certified or refused, in parts of the time by need."""
    # small needs first, so that what they leave falls to larger ones; last those that cannot be certified at all
    waiting.sort(key=lambda one: (not one.task_feasibility, one.needs_s(), one.calls.task.id))
    for at, evaluation in enumerate(waiting):
        needs = [one.needs_s() for one in waiting[at:]]
        share = needs[0] / sum(needs) if sum(needs) else 1 / len(needs)
        evaluation.decide(deadline.part(share, least_s=needs[0] + READING_S))
    _conclude_all([one for one in waiting if one.decision is not None], config)
    return waiting


def _show_all(waiting: list[TaskEvaluation], deadline: Deadline) -> dict[str, TaskResult]:
    """The result of each task, after other methods were evaluated for the report with the time that is left."""
    results = {}
    for at, evaluation in enumerate(waiting):
        evaluation.show(deadline.part(1 / (len(waiting) - at)))
        results[evaluation.calls.task.id] = evaluation.result()
    return results


def _conclude_all(tested: list[TaskEvaluation], config: Convert) -> None:
    """Says of each tested task what may be claimed by itself, and with the claims of all others."""
    levels = cert.family_levels([one.passes_whole for one in tested], config.delta)
    for one, level in zip(tested, levels, strict=True):
        one.conclude(level, len(tested))


def _leaks(task: Task, finetuned: Finetuned) -> str:
    """Which specialists of a task give planted secrets away, for a reader; "" where none does."""
    return "; ".join(
        f"{s.method} leaks: {s.leak.reason}"
        for s in finetuned.specialists
        if s.task_id == task.id and s.leak is not None and s.leak.leaks
    )


def _with_leaks(result: TaskResult, leaks: str) -> TaskResult:
    """The result with what was found of specialists that leak, also where another one serves."""
    replace = msgspec.structs.replace
    return replace(result, evaluation=replace(result.evaluation, leaks=leaks)) if leaks else result


@dataclass(frozen=True)
class MethodDecision:
    """The method chosen for a task and the claims it may make; nothing evaluated afterwards changes it."""

    chosen: EvaluatedMethod
    choice: MethodChoice
    n_validation: int
    """Validation calls that the methods were compared on."""
    grid: cert.Floats
    """Thresholds that were tested, strict to permissive."""
    calibration: CalibrationResult
    spending: DeltaSpending
    attempts: dict[float, CertificateAttempt]
    """By epsilon."""
    costs: CallCosts
    full_answers: FullAnswers | None
    judge: JudgeEvidence | None
    reference: Reference


@dataclass
class TaskEvaluation:
    """One task on its way through evaluation: measure_speed, decide, show, result, in this order."""

    calls: TaskCalls
    probed: Sequence[Candidate]
    """Models and baselines that the selection stage probed."""
    config: Convert
    context: EvaluationContext
    units: UnitFacts = field(default_factory=UnitFacts)
    budget: DeltaBudget = field(default_factory=DeltaBudget)
    methods: list[EvaluatedMethod] = field(default_factory=list)
    """From cheap to expensive: those that the choice is made from, and once shown, all."""
    too_expensive: list[Specialist] = field(default_factory=list)
    """More expensive ones that cannot be chosen any more; evaluated for the report at last."""
    decision: MethodDecision | None = None
    family_wise: FamilyWiseTest | None = None
    """The claim that holds together with those of all other tasks; known once all are decided."""
    refused: str = ""
    """Why nothing was tested; "" before `decide`, and where there is a decision."""

    @property
    def units_needed(self) -> int:
        """At the level of the test, or of a first one."""
        spent = self.decision.spending.test_level if self.decision else ledger.level(0, self.config.delta)
        return cert.units_needed(self.config.epsilon, spent)

    @property
    def task_feasibility(self) -> bool:
        """True if there are independent calibration groups enough for the claim, were no answer wrong."""
        return self.calls.n_calibration_groups >= self.units_needed

    def needs_s(self) -> float:
        """Seconds for enough validation, calibration and test calls to decide the route, by the speed seen so far."""
        each = [c.timed.seconds_per_call for c in self.methods]
        n_chosen = min(ENOUGH, self.calls.n("test"))
        n_chosen += min(self.calls.n_calibration_groups, 3 * self.units_needed)
        return sum(each) * min(ENOUGH, self.calls.n("validation")) + max(each, default=0.0) * n_chosen

    def measure_speed(self, methods: Sequence[Specialist], deadline: Deadline) -> None:
        """Loads the methods and asks each a few validation calls, for its speed; stops where a quick one settles it."""
        n_validation = len(self.calls.split("validation"))
        for at, specialist in enumerate(methods):
            method = EvaluatedMethod.load(specialist, self.calls, self.context)
            self.methods.append(method)
            method.evaluate_validation(deadline, FIRST)
            if len(method.validation) and method.timed.affordable(QUICK_S) >= n_validation:
                method.evaluate_validation(deadline)
                whole = self.calls.is_cross_fitted or len(method.validation) == n_validation
                if whole and is_decided(method.on_validation(), self.config.epsilon):
                    self.too_expensive = list(methods[at + 1 :])
                    break

    def decide(self, deadline: Deadline) -> None:
        """Chooses and tests, and reads held-out calls with what was chosen; begins nothing after the deadline."""
        if not self.calls.is_cross_fitted and not self.calls.split("validation"):
            self.refused = "no validation call of this task, so no threshold could be proposed"
            return
        self.refused = certify.none_asked(self.calls.split("validation"))
        if self.refused:
            return
        if needs_judge(self.calls.contract) and self.context.judge is None:
            self.refused = "its texts were left to a judge, and no [judge] is set in config.toml"
            return
        self._read_validation(deadline.part(VALIDATION_SHARE))
        if not self.methods:
            self.refused = NO_TIME
            return
        validation = [c.on_validation() for c in self.methods]
        common_N = np.arange(min(len(m) for m in validation))  # methods are compared on the same calls
        choice = choose(
            [m.name for m in self.methods],
            [m.take(common_N) for m in validation],
            self.config.epsilon,
            is_cross_fitted=self.calls.is_cross_fitted,
        )
        if deadline.is_limited and not any(m.right_N.any() for m in validation):
            self.refused = certify.no_agreement(self.methods, max(len(m) for m in validation))
            return
        self.decision = self._test(choice, len(common_N), deadline)
        self.refused = NO_TIME if self.decision is None else ""

    def _test(self, choice: MethodChoice, n_validation: int, deadline: Deadline) -> MethodDecision | None:
        """Calibration labels are seen here, once; that is paid for before. None: none could be asked, nothing spent."""
        config, chosen = self.config, self.methods[choice.index]
        chosen.measure_single_call_latency(deadline)
        groups, engine = self.calls.groups("calibration"), engine_of(chosen.whole)
        plan = partial(planned_calls, chosen, deadline, config.epsilon)
        begun = self.budget.begin(self.calls.task, groups, chosen.specialist, config, engine, plan)
        if begun is None:
            return None
        level, within, n = begun
        units = certify.calibration_units(self.calls, config.seed, within)
        grid = cert.threshold_grid(chosen.on_validation().confidence_N)
        epsilons = {*rows.EPSILONS, config.epsilon}
        bets = bets_by_epsilon(chosen.on_validation(), self.calls, epsilons, config, level.test_level, within)
        decision = MethodDecision(
            chosen,
            choice,
            n_validation,
            grid,
            certify.evaluate_calibration(chosen, deadline, units, planned=n, within=within, bets=bets),
            level,
            {},
            self._costs(chosen),
            chosen.evaluate_full_answers(deadline),
            evidence_of(self.context.judge, self.calls),
            Reference.of(config, self.calls.contract).checked(self.calls, chosen.on_validation()),
        )
        chosen.evaluate_test(deadline)
        decision.attempts.update({e: self._attempt(decision, e, level.test_level) for e in epsilons})
        return decision

    def _attempt(self, decision: MethodDecision, epsilon: float, level: float) -> CertificateAttempt:
        """A certificate at one epsilon, unless held-out calls contradict it or its judge is of no use: both only refuse a route."""
        made = certify.attempt(
            decision.calibration,
            decision.grid,
            epsilon,
            level,
            decision.costs,
            served_limit=self.config.served_limit_at(epsilon),
            reference=decision.reference,
        )
        seed, judge = cert.seed_of(self.config.seed, "held out", self.calls.task.id), decision.judge
        blocked = certify.contradiction(decision.chosen.on_test(), made, self.calls.largest, seed)
        blocked = judge.no_use or blocked if judge is not None else blocked
        return replace(made, index=None, share_served=0.0, reason=blocked) if blocked else made

    def passes_whole(self, delta: float) -> bool:
        """True if every threshold of the grid passes where `delta` is all there is for this task."""
        assert self.decision is not None
        sequence = self.decision.attempts[self.config.epsilon].sequence
        level = sequence.delta * delta / self.config.delta
        return cert.fixed_sequence(sequence.p_values_L, level) == sequence.thresholds_L.size

    def conclude(self, delta: float, n_tasks: int) -> None:
        """Works out the claim that holds with those of the other tasks; under the scope all-routes it is the one made.

        Args:
            delta: the part of delta that falls to this task.
            n_tasks: tasks tested.
        """
        decision, config = self.decision, self.config
        assert decision is not None
        spent = decision.spending.test_level / config.delta
        together = self._attempt(decision, config.epsilon, spent * delta)
        self.family_wise = FamilyWiseTest(
            n_tasks=n_tasks,
            test_level=spent * delta,
            certified=together.index is not None,
            threshold=together.threshold,
            share_served=together.share_served,
            reason=together.reason,
        )
        if config.scope == "all-routes":
            for epsilon in decision.attempts:
                decision.attempts[epsilon] = self._attempt(
                    decision, epsilon, decision.spending.test_level / n_tasks
                )
            decision.attempts[config.epsilon] = together

    def _costs(self, chosen: EvaluatedMethod) -> CallCosts:
        """Cost of one call of the task, the specialist asked alone as it is live."""
        task, calls = self.calls.task, self.calls.split("calibration")
        n_cores = 1 if chosen.specialist.is_fast else os.cpu_count() or 1
        return CallCosts(
            llm_usd=sum(c.llm_usd for c in calls) / max(1, len(calls)),
            cache_usd=sum(c.cache_usd for c in calls) / max(1, len(calls)),
            specialist_usd=self.context.prices.specialist_usd(chosen.seconds_alone, n_cores),
            audit_share=self.context.audit_share,
            error_usd=self.config.error_usd_of(task.id, task.name),
            llm_s=median(times) if (times := [c.llm_s for c in calls if c.llm_s is not None]) else None,
            specialist_s=chosen.seconds_alone,
        )

    def _read_validation(self, deadline: Deadline) -> None:
        """Each method answers as much of validation as fits; one that there was no time to ask at all is out."""
        for at, method in enumerate(self.methods):
            method.evaluate_validation(deadline.part(1 / (len(self.methods) - at)))
        self.methods = [c for c in self.methods if len(c.validation)]

    def show(self, deadline: Deadline) -> None:
        """Evaluates the other methods too, as far as time goes: every report has what a more expensive one would do."""
        if self.decision is None:
            return
        others = [c for c in self.methods if c is not self.decision.chosen]
        for specialist in self.too_expensive:
            others.append(EvaluatedMethod.load(specialist, self.calls, self.context))
            self.methods.append(others[-1])
        for n_done, method in enumerate(others):
            end = deadline.part(1 / (len(others) - n_done))
            method.evaluate_validation(end.part(VALIDATION_SHARE))
            method.evaluate_test(end)

    def untested(self, reason: str) -> TaskResult:
        """The result of a task no specialist of which was tested: the reason, and what the baselines say."""
        return TaskResult(
            task_id=self.calls.task.id,
            refusal_reason=reason,
            methods=rows.baseline_rows(self.probed, rows.majority_accuracy(self.calls.split("test"))),
            evaluation=EvaluationFacts(
                n_calibration_groups=self.calls.n_calibration_groups, units_needed=self.units_needed
            ),
        )

    def result(self) -> TaskResult:
        """The task's part of the report, once it is decided and shown."""
        if self.decision is None:
            return self.untested(self.refused)
        chosen, calibration = self.decision.chosen, self.decision.calibration
        made = self.decision.attempts[self.config.epsilon]
        shown, test_calls = chosen.on_test(), self.calls.split("test")
        majority = rows.majority_accuracy(test_calls[: len(shown)] or test_calls)
        certificate = certify.certificate_of(
            made,
            chosen.specialist,
            self.config,
            limits=self.calls.population.limits_of(self.calls.task.id),
            mixed=self.calls.contract.may_defer,
            calibration=calibration,
            units=self.units,
            n_together=self.family_wise.n_tasks
            if self.family_wise and self.config.scope == "all-routes"
            else 0,
            judge=self.decision.judge,
        )
        if certificate is not None:
            certificate = certify.on_engine(certificate, engine_of(chosen.whole))
            certificate = certify.dated(certificate, self.config, self.budget.clock())
            given_up = calibration.evaluation.share_unlike
            certificate = certify.with_ood_detector(certificate, chosen.specialist.ood_detector, given_up)
        held_out, groups = rows.held_out(shown, certificate, self.config.seed)
        return TaskResult(
            task_id=self.calls.task.id,
            chosen=chosen.specialist.id,
            certificate=certificate,
            test=rows.test_score(shown, majority, rows.base_accuracy(chosen.specialist, self.probed)),
            held_out=held_out,
            refusal_reason=certify.refusal(made, shown, chosen.name, self.config.epsilon),
            methods=[*rows.baseline_rows(self.probed, majority), *self._method_rows(self.decision)],
            curve=curve(
                shown.confidence_N,
                shown.loss_N,
                shown.groups,
                self.decision.grid,
                shown.counts_N,
                seed=self.config.seed,
            )
            if len(shown)
            else [],
            by_confidence=rows.by_confidence(shown),
            by_epsilon=[
                rows.by_epsilon(a, calibration.evaluation, shown)
                for _, a in sorted(self.decision.attempts.items())
            ],
            evaluation=self._facts(self.decision, made),
            held_out_groups=groups,
            delta_spending=self.decision.spending,
            family_wise=self.family_wise,
            calibration=rows.calibration_calls(calibration, made),
        )

    def _facts(self, decision: MethodDecision, made: CertificateAttempt) -> EvaluationFacts:
        calibration, shown, whole = decision.calibration, decision.chosen.on_test(), decision.full_answers
        return EvaluationFacts(
            ood_detector=decision.chosen.specialist.ood_detector,
            chosen_because=decision.choice.reason,
            mixed=self.calls.contract.may_defer,
            n_validation=decision.n_validation,
            is_cross_fitted=self.calls.is_cross_fitted,
            n_calibration_calls=len(calibration.evaluation),
            n_calibration_groups=made.sequence.n_independent,
            n_calibration_not_evaluated=calibration.n_missing(made.sequence),
            units_needed=self.units_needed,
            n_repeated=made.n_repeated,
            seconds_per_call=whole.seconds_per_call if whole else decision.chosen.timed.seconds_per_call,
            full_answers=whole,
            action_accuracy=rows.action_accuracy(shown, self.calls.contract),
            decision_alone=decision_alone(
                self.calls.contract,
                calibration,
                shown,
                self.config.epsilon,
                made.sequence.delta,
                decision.costs,
                self.config.limit_among_served,
            ),
            llm_self_agreement=rows.self_agreement(calibration.evaluation, shown),
        )

    def _method_rows(self, decision: MethodDecision) -> list[MethodRow]:
        """One row for each method; those after the compared ones get their validation score when it is written."""
        scores = [*decision.choice.scores, *[None] * len(self.methods)]
        return [
            rows.method_row(c, chosen=c is decision.chosen, score=scores[at], epsilon=self.config.epsilon)
            for at, c in enumerate(self.methods)
        ]
