"""One trained method of a task, and how its answers compare with the LLM's so far."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from statistics import median

import numpy as np

from deputize.core.artifacts import Specialist
from deputize.core.contracts import needs_judge
from deputize.core.deadline import Clock, Deadline
from deputize.core.progress import Progress
from deputize.core.records import Prediction, Task
from deputize.core.task_results import FullAnswers
from deputize.scoring.costs import Prices
from deputize.specialists.base import Predictor, without_free_text
from deputize.stages.evaluate.evaluation import Digest, Evaluation, compare, joined, no_digest
from deputize.stages.evaluate.judge import Judge
from deputize.stages.evaluate.population import PopulationCall, RecordedCall, asked_request
from deputize.stages.evaluate.task_calls import TaskCalls
from deputize.stages.evaluate.timed_predictor import FIRST, TimedPredictor

ALONE = 5
"""Calls that are asked one by one, for what a live call costs."""
ALONE_SHARE = 0.2
"""Part of the time left that they may take, even if each takes as long as a batch of FIRST."""

Load = Callable[[Path], Predictor]
"""From a specialist's folder to something that predicts."""


@dataclass(frozen=True)
class EvaluationContext:
    """Resources for context any specialist of a run."""

    home: Path
    """Specialists' paths are relative to it."""
    load: Load
    prices: Prices
    clock: Clock
    """Seconds, for measured speed."""
    progress: Progress
    digest: Digest = no_digest
    """Of answers, for the record of the calibration."""
    audit_share: float = 0.0
    """Share of the served calls for which the LLM is asked as well."""
    judge: Judge | None = None
    """Compares texts where a task leaves that to a judge; None: there is none."""
    cross_fitted: Mapping[str, Evaluation] = field(default_factory=dict)
    """Specialist id -> its answers to calls of train by cross-fitting, of tasks that have no validation."""

    def of_task(self, task: Task, tasks: Sequence[Task]) -> EvaluationContext:
        """The same for one task, with its part of the judge's questions where its texts are judged."""
        if self.judge is None or not needs_judge(task.contract):
            return replace(self, judge=None)
        return replace(self, judge=self.judge.part(sum(needs_judge(t.contract) for t in tasks)))


@dataclass
class EvaluatedMethod:
    """A specialist, its measured speed, and its answers to validation and held-out calls."""

    specialist: Specialist
    calls: TaskCalls
    context: EvaluationContext
    whole: Predictor
    """Writes answers in full."""
    timed: TimedPredictor
    """The same with its speed; without text that is not compared where that need not be written."""
    validation: Evaluation = field(default_factory=lambda: joined([]))
    """Of the first validation calls; where the task has none, of calls of train by cross-fitting."""
    test: Evaluation = field(default_factory=lambda: joined([]))
    """Of the first held-out calls."""
    alone_s: float | None = None
    """Seconds of one call that is asked alone, its whole answer written; None: not measured."""

    @classmethod
    def load(cls, specialist: Specialist, calls: TaskCalls, context: EvaluationContext) -> EvaluatedMethod:
        """The method with its predictor in memory."""
        # free text is not compared, so it need not be written to be scored; where the LLM's own repeated samples are
        # subtracted, a call that is not finished in time counts, so there it is written
        whole = context.load(context.home / specialist.path)
        repeated = any(c.repeated for c in calls.all)
        timed = TimedPredictor(whole if repeated else without_free_text(whole), context.clock)
        method = cls(specialist, calls, context, whole, timed)
        if calls.is_cross_fitted:
            method.validation = context.cross_fitted[specialist.id]
        return method

    @property
    def name(self) -> str:
        return self.specialist.method

    def evaluate(
        self,
        what: str,
        calls: Sequence[PopulationCall],
        deadline: Deadline,
        *,
        n_before: int = 0,
        total: int | None = None,
    ) -> Evaluation:
        """Asks the first calls, as many as there is time for, and compares the answers with the LLM's.

        Their texts are in memory a chunk at a time.

        Args:
            what: the split, for progress.
            calls: calls to answer.
            deadline: nothing is begun after it.
            n_before: calls of the split answered earlier, for progress.
            total: calls of the split, for progress; None: those given.
        """
        label, n_total = f"{self.calls.task.name}: {what}, {self.name}", total or len(calls)
        texts = self.calls.population.texts(calls)
        parts: list[Evaluation] = []
        for chunk in self.timed.chunks_in_time(len(calls), deadline):
            some = calls[chunk.start : chunk.stop]
            parts.append(self._ask(some, list(islice(texts, len(some)))))
            self.context.progress(label, n_before + chunk.stop, n_total)
        return self._timed(joined(parts))

    def _ask(self, calls: Sequence[PopulationCall], recorded: Sequence[RecordedCall | None]) -> Evaluation:
        asked = [
            asked_request(r.call) if c.is_asked and r is not None else None
            for c, r in zip(calls, recorded, strict=True)
        ]
        answers = iter(self.timed.ask([request for request in asked if request is not None]))
        predictions: list[Prediction | None] = [
            None if request is None else next(answers) for request in asked
        ]
        return compare(
            predictions,
            calls,
            recorded,
            self.calls.contract,
            digest=self.context.digest,
            judge=self.context.judge,
        )

    def _timed(self, evaluation: Evaluation) -> Evaluation:
        """The same at the speed measured by now."""
        return replace(evaluation, seconds=self.timed.seconds_per_call * len(evaluation))

    def evaluate_validation(self, deadline: Deadline, most: int | None = None) -> None:
        """Answers validation calls not answered yet, as many as there is time for, among the first `most` of all.

        Where the task has none, training has answered calls of train by cross-fitting; then only the speed is measured,
        on held-out requests, whose answers are not looked at.
        """
        if self.calls.is_cross_fitted:
            self._measure_speed(deadline)
            return
        n_before = len(self.validation)
        calls = self.calls.split("validation")
        evaluated = self.evaluate(
            "validation", calls[n_before:most], deadline, n_before=n_before, total=len(calls)
        )
        self.validation = joined([self.validation, evaluated])

    def _measure_speed(self, deadline: Deadline) -> None:
        if self.timed.chunks:
            return
        texts = self.calls.population.texts(self._timing(2 * FIRST))
        requests = [asked_request(recorded.call) for recorded in texts if recorded is not None]
        self.timed.predict_in_time([request for request in requests if request is not None], deadline)

    def _timing(self, most: int) -> list[PopulationCall]:
        """Calls to measure the speed on: of validation, or held-out ones where the task has none."""
        calls = self.calls.split("test" if self.calls.is_cross_fitted else "validation")
        return [call for call in calls if call.is_asked][:most]

    def on_validation(self) -> Evaluation:
        """The validation calls answered so far, or calls of train by cross-fitting."""
        return self._timed(self.validation)

    def evaluate_test(self, deadline: Deadline) -> None:
        """Answers held-out calls, as many as there is time for."""
        test = self.evaluate("held out", self.calls.split("test"), deadline)
        # a budget that has run out says nothing of an answer
        self.test = test.take(np.flatnonzero(~test.unjudged_N))

    def on_test(self) -> Evaluation:
        """The held-out calls answered so far."""
        return self._timed(self.test)

    @property
    def seconds_alone(self) -> float:
        """Seconds of one call as it is asked live: alone, where that was measured, but no less than the mean in a
        batch.

        Of a cascade most calls are quick, so the few that were asked alone may all be; the mean has the others too.
        """
        return max(self.alone_s or 0.0, self.timed.seconds_per_call)

    def measure_single_call_latency(self, deadline: Deadline) -> None:
        """Measures a few calls one by one, for what a live call costs; nothing where time is short."""
        some = self._timing(ALONE)
        if not some or self.timed.affordable(ALONE_SHARE * deadline.left_s()) < FIRST * len(some):
            return
        alone = TimedPredictor(self.whole, self.context.clock)
        for recorded in self.calls.population.texts(some):
            request = asked_request(recorded.call) if recorded is not None else None
            if request is not None and self.timed.affordable(deadline.left_s()) >= 1:
                alone.ask([request])
        if alone.chunks:
            self.alone_s = median(seconds for _, seconds in alone.chunks)

    def evaluate_full_answers(self, deadline: Deadline) -> FullAnswers | None:
        """Time and completion of answers whose free text is written too; None where answers hold none.

        An answer that is not finished goes to the LLM, so the route serves a little less than was measured, and errs no
        more.
        """
        if not self.calls.contract.uncompared or self.timed.predictor is self.whole:
            return None
        timed = TimedPredictor(self.whole, self.context.clock)
        some = self._timing(3 * FIRST)
        requests = [asked_request(r.call) for r in self.calls.population.texts(some) if r is not None]
        answers = timed.predict_in_time([request for request in requests if request is not None], deadline)
        if not answers:
            return None
        finished = sum(a.answer is not None for a in answers) / len(answers)
        return FullAnswers(n_calls=len(answers), seconds_per_call=timed.seconds_per_call, finished=finished)
