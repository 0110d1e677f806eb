"""One trained method of a task, and what it has answered so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deputize.core.artifacts import FullAnswers, Specialist
from deputize.core.deadline import Clock, Deadline
from deputize.core.progress import Progress
from deputize.core.records import Example, Prediction
from deputize.scoring.costs import Prices
from deputize.specialists.base import Predictor, without_free_text
from deputize.stages.evaluate.evaluation import Evaluation, compare
from deputize.stages.evaluate.task_calls import TaskCalls
from deputize.stages.evaluate.timed_predictor import FIRST, TimedPredictor

Load = Callable[[Path], Predictor]
"""From a specialist's folder to something that predicts."""


@dataclass(frozen=True)
class Measuring:
    """Resources for measuring any specialist of a run."""

    home: Path
    """Specialists' paths are relative to it."""
    load: Load
    prices: Prices
    clock: Clock
    """Seconds, for measured speed."""
    progress: Progress


@dataclass
class MethodCandidate:
    """A specialist, its measured speed, and its answers to validation and held-out calls."""

    specialist: Specialist
    calls: TaskCalls
    measuring: Measuring
    whole: Predictor
    """Writes answers in full."""
    timed: TimedPredictor
    """The same with its speed; without text that is not compared where that need not be written."""
    validation: list[Prediction] = field(default_factory=list)
    """Answers to the first validation calls."""
    test: list[Prediction] = field(default_factory=list)
    """Answers to the first held-out calls."""

    @classmethod
    def load(cls, specialist: Specialist, calls: TaskCalls, measuring: Measuring) -> MethodCandidate:
        """The candidate with its predictor in memory."""
        # free text is not compared, so it need not be written to be scored; where the LLM's own repeated samples are
        # subtracted, a call that is not finished in time counts, so there it is written
        whole = measuring.load(measuring.home / specialist.path)
        repeated = any(e.repeated_responses for e in calls.examples)
        timed = TimedPredictor(whole if repeated else without_free_text(whole), measuring.clock)
        return cls(specialist, calls, measuring, whole, timed)

    @property
    def method(self) -> str:
        return self.specialist.method

    def read(
        self,
        what: str,
        examples: Sequence[Example],
        deadline: Deadline,
        *,
        n_before: int = 0,
        total: int | None = None,
    ) -> list[Prediction]:
        """Answers to the first examples, as many as there is time for.

        Args:
            what: the split, for progress.
            examples: calls to answer.
            deadline: nothing is begun after it.
            n_before: calls of the split answered earlier, for progress.
            total: calls of the split, for progress; None: those given.
        """
        label, n_total = f"{self.calls.task.name}: {what}, {self.method}", total or len(examples)
        return self.timed.read(
            [e.request for e in examples],
            deadline,
            lambda done: self.measuring.progress(label, n_before + done, n_total),
        )

    def evaluate(self, read: Sequence[Prediction], examples: Sequence[Example]) -> Evaluation:
        """Answers compared with the LLM's, at the measured speed."""
        seconds = self.timed.seconds_per_call * len(read)
        return compare(read, examples, self.calls.contract, self.measuring.prices, seconds)

    def read_validation(self, deadline: Deadline, most: int | None = None) -> None:
        """Answers validation calls not answered yet, as many as there is time for, among the first `most` of all."""
        n_before = len(self.validation)
        examples = self.calls.split("validation")
        self.validation += self.read(
            "validation", examples[n_before:most], deadline, n_before=n_before, total=len(examples)
        )

    def on_validation(self) -> Evaluation:
        """The validation calls answered so far."""
        return self.evaluate(self.validation, self.calls.split("validation"))

    def read_test(self, deadline: Deadline) -> None:
        """Answers held-out calls, as many as there is time for."""
        self.test = self.read("held out", self.calls.split("test"), deadline)

    def on_test(self) -> Evaluation:
        """The held-out calls answered so far."""
        return self.evaluate(self.test, self.calls.split("test"))

    def read_full_answers(self, deadline: Deadline) -> FullAnswers | None:
        """Time and completion of answers whose free text is written too; None where answers hold none.

        An answer that is not finished goes to the LLM, so the route serves a little less than was measured, and errs no
        more.
        """
        if not self.calls.contract.uncompared or self.timed.predictor is self.whole:
            return None
        timed = TimedPredictor(self.whole, self.measuring.clock)
        answers = timed.read([e.request for e in self.calls.split("validation")[: 3 * FIRST]], deadline)
        if not answers:
            return None
        finished = sum(a.answer is not None for a in answers) / len(answers)
        return FullAnswers(n_calls=len(answers), seconds_per_call=timed.seconds_per_call, finished=finished)
