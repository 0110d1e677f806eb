"""Protocol of a training method, with the job it is given and the result it gives."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

from deputize.core.artifacts import CrossFitted, Leak, MethodPlan, TaskProbe
from deputize.core.config import Convert, TeacherSettings
from deputize.core.deadline import Clock
from deputize.core.progress import Progress
from deputize.core.records import Task
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.base import ClosedScores, RawPrediction, TextPredictor
from deputize.specialists.fit_value_tools import LookupTable
from deputize.stages.finetune.examples import TrainingSet
from deputize.stages.finetune.frozen_states import FrozenStates


@dataclass(frozen=True)
class TrainingJob:
    """One method to be trained for one task."""

    examples: TrainingSet
    schema: AnswerSchema
    method: Method
    folder: Path
    """Where the specialist is put."""
    n_tokens: int
    """Of one epoch, estimated."""
    epochs: int
    fingerprint: str
    """Digest of all that the specialist depends on."""
    linear_settings: tuple[int, float, bool] | None = None
    """Of the linear model, where selection has chosen them on the same examples; None: cross-validation chooses."""
    company: tuple[TrainingJob, ...] = ()
    """Those of other tasks that are trained in the same adapter."""
    together: str = ""
    """Digest of all that such an adapter depends on; "" where it has no company."""

    @property
    def task(self) -> Task:
        return self.examples.task

    @property
    def name(self) -> str:
        """For people: task and method."""
        return f"{self.task.name} ({self.method.name})"

    @property
    def trained_on(self) -> list[str]:
        """Ids of the calls whose texts the specialist has seen, those of its company included."""
        return list(dict.fromkeys(x.call_id for one in (self, *self.company) for x in one.examples.train))


@dataclass(frozen=True)
class CrossFittedAnswers:
    """Answers to the logged calls of train (`TrainingSet.validation`, in its order), each by a model fitted on other
    groups."""

    predictions: list[RawPrediction]
    p_values: list[float] | None
    """By a detector of requests unlike those trained on, fitted on the same part; None: too few groups for one."""
    scores: ClosedScores | None = None
    """Of all choices; None where answers are not closed, or a part of train could not be fitted on."""


NoteReading: TypeAlias = Callable[[Task], None]
"""Writes down that the reserve of a task is about to be read; raises where it cannot be written, and then it is not
read."""


def not_noted(task: Task) -> None:
    """Where nobody keeps a ledger, or the process that does has written it down already."""


@dataclass(frozen=True)
class TrainingContext:
    """Settings and places that all jobs of a run share."""

    config: Convert
    home: Path
    models_dir: Path
    base_model: str
    """Name in the catalogue of the model that is tuned."""
    progress: Progress
    clock: Clock
    teacher: TeacherSettings = field(default_factory=TeacherSettings)
    """The server that scores a specialist's own answers; without an address there is none."""
    tables: tuple[LookupTable, ...] = ()
    """Those that the user gives, for values that are looked up."""
    shared_adapters: dict[str, Any] = field(default_factory=dict)
    """Adapters that several tasks share, by `TrainingJob.together`, from the first of these tasks to the last."""
    states: FrozenStates = field(default_factory=FrozenStates)
    """Of the base model, computed once for each prompt of the run."""
    answers: dict[str, CrossFittedAnswers] = field(default_factory=dict)
    """By specialist, where choices are made by cross-fitting on train."""
    read_reserve: set[str] = field(default_factory=set)
    """Tasks of which a training has read the reserve."""
    note_reading: NoteReading = not_noted
    cross_fitted: dict[str, CrossFitted] = field(default_factory=dict)
    """What evaluation gets of them."""

    def reads_reserve(self, job: TrainingJob) -> None:
        """To be called before a job is begun: where it reads the reserve of its tasks, that is written down first."""
        for one in (job, *job.company) if job.examples.reads_reserve else ():
            if one.task.id not in self.read_reserve:
                self.note_reading(one.task)
                self.read_reserve.add(one.task.id)


@dataclass
class Trained:
    """A trained specialist in memory, before it is calibrated and packaged."""

    predictor: TextPredictor
    kind: str
    """The kind that loads it, as `deputize.specialists.registry` knows it."""
    model: str
    """Of what it is made, for people."""
    save: Callable[[Path], None]
    """Writes the weights into a folder, from which the kind loads them."""
    train_s: float
    is_fast: bool = False
    """True where an answer takes about a millisecond."""
    leak: Leak | None = None
    """The leak test; None where nothing in its answers could carry a secret."""
    tokens_per_s: float | None = None
    teacher_usd: float = 0.0
    """Price of what other models were asked for during the training."""
    base_sha256: str = ""
    """Of the base model; "" where there is none."""
    max_slot_tokens: int = 64
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    """With the history of the training, for the record."""
    count_tokens: Callable[[str], int] | None = None
    validation_s: float = math.inf
    """Seconds there are for predicting validation."""
    checkpoint: Path | None = None
    """Folder that is of no use once the specialist is packaged."""
    release: Callable[[], None] = lambda: None
    """Frees what the predictor holds in shared models."""


@runtime_checkable
class CountsTokens(Protocol):
    """A method that trains on other texts than the prompts and answers of all examples."""

    def n_tokens(self, examples: TrainingSet) -> int:
        """Tokens of one epoch, estimated."""
        ...


@runtime_checkable
class TrainsTogether(Protocol):
    """A method that trains small tasks together."""

    @property
    def largest_task(self) -> int:
        """Examples of train up to which a task is small."""
        ...


@runtime_checkable
class CrossFits(Protocol):
    """A method that is cheap to fit again and reads no validation: on a small log its choices are made by
    cross-fitting on train."""

    def cross_fit(self, job: TrainingJob, context: TrainingContext, trained: Trained) -> CrossFittedAnswers:
        """Answers to the logged calls of train, each by a model with the settings of `trained` that was fitted on
        other groups.

        `deputize.stages.finetune.methods.cross_fitting.cross_fit` makes them of a function that fits again.
        """
        ...


class Method(Protocol):
    """A way to train a specialist."""

    @property
    def name(self) -> str:
        """As in `--method`, in specialist.json and in the report."""
        ...

    @property
    def cost(self) -> int:
        """Rank from cheap to expensive, in training and in serving; those of this package are below 100."""
        ...

    @property
    def tunes_base_model(self) -> bool:
        """True for one that tunes the base model: such jobs share the time, the others are trained before them
        without a limit."""
        ...

    def base_model(self, context: TrainingContext) -> str:
        """Name in the catalogue of the model that its specialists are made from; "" where they need none."""
        ...

    def require(self) -> None:
        """Raises MissingExtra, with what to install, where the method cannot run on this machine."""
        ...

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """Decides whether the method is worth training for a task, by what was measured before any training."""
        ...

    def train(self, job: TrainingJob, context: TrainingContext, budget_s: float) -> Trained | None:
        """A specialist trained on `job.examples.train` alone, in about `budget_s` seconds; the same for the same seed.

        None where the method does not fit the task.

        Raises:
            BadInput: the task's answers cannot be trained on.
            MissingExtra: a package or the base model is not here.
        """
        ...
