"""Baselines of each task and the methods planned by them: in this process, or on the workers of a runner.

A worker gets pruned prompts with their answers and gives accuracies back; it needs no home, no key and no model.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

from deputize.core.artifacts import Candidate, MethodPlan, TaskProbe
from deputize.core.config import Convert
from deputize.core.contracts import answer_of
from deputize.core.deadline import Deadline
from deputize.core.group_order import groups_in_order
from deputize.core.prompt import prune
from deputize.core.records import Answer, Contract, Example, Task
from deputize.runner.base import Runner, map_shards
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.linear_model import LinearSettings
from deputize.stages.select import probe

MIN_VALIDATION = 20
"""Validation calls below which the linear method is cross-validated over training as well."""
LINEAR_PART = 0.6
"""Of a task's part, for the fits of the linear method."""
HELD_OUT_PART = 5
"""Where there is no validation, one group of train in so many is held out."""
MIN_CALLS_FOR_WORKERS = 20_000
"""Calls from which workers, which take seconds to start, save time."""
_NO_PROBE = TaskProbe(epsilon=0.0, linear_fits=False)


class PlannedMethod(Protocol):
    """A training method, as far as planning goes."""

    @property
    def name(self) -> str: ...

    @property
    def tunes_base_model(self) -> bool: ...

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """Decides whether it is worth training for a task."""
        ...


@runtime_checkable
class ReadsLists(Protocol):
    """A method for tasks whose requests list their own tools or reply schema; the others know one list only, that of
    training."""

    @property
    def reads_lists(self) -> bool: ...


@dataclass(frozen=True)
class ProbedCalls:
    """The calls of a task that selection may look at, and all of them for counting."""

    mine: list[Example]
    train: list[Example]
    validation: list[Example]
    answers: list[Answer | None]
    """Of train."""


class TaskPairs(NamedTuple):
    """Prompts and answers that the baselines of a task are measured on."""

    task: Task
    train: list[probe.Pair]
    held: list[probe.Pair]
    """Of validation; [] where the log has a reserve in its place."""
    config: Convert
    methods: Sequence[PlannedMethod]
    """Those that may be planned, from cheap to expensive."""


class Baselines(NamedTuple):
    """Facts about a task before any training."""

    rows: list[Candidate]
    planned: list[str]
    """Methods that make sense, cheapest first."""
    settings: LinearSettings | None
    """Of the linear method, where they are those that a fit on all of train would choose."""


class Planned(NamedTuple):
    """A task with its calls and the methods that may be planned for it."""

    task: Task
    calls: ProbedCalls
    methods: Sequence[PlannedMethod]


def probed_calls(task: Task, mine: list[Example]) -> ProbedCalls:
    """The calls of a task as selection looks at them."""
    train = [e for e in mine if e.split == "train" and e.trainable]
    validation = [e for e in mine if e.split == "validation"]
    # what an LLM made up says nothing of how much there is to certify on
    logged = [e for e in mine if not e.made_from]
    return ProbedCalls(logged, train, validation, [answer_of(e.response, task.contract) for e in train])


def all_baselines(
    planned: Sequence[Planned], config: Convert, budget: Deadline, runner: Runner | None, n_calls: int
) -> Generator[Baselines]:
    """The baselines of each task in order.

    Args:
        planned: the tasks.
        config: epsilon, min_origins.
        budget: of all tasks together; in this process each gets its part of what is left as its turn comes.
        runner: has the workers; None: this process does it.
        n_calls: of the log; few are not worth starting workers for.
    """
    pairs = (_pairs(one, config) for one in planned)
    if runner is None or n_calls < MIN_CALLS_FOR_WORKERS:
        for at, given in enumerate(pairs):
            yield baselines_of(given, budget.part(1 / (len(planned) - at)))
        return
    with runner.start(_make) as workers:
        at_once = workers.n + workers.are_here
        seconds = budget.left_s() * min(1.0, at_once / max(1, len(planned)))
        yield from map_shards(workers, _make, ((given, seconds) for given in pairs), per_worker=1)


def _make() -> Callable[[tuple[TaskPairs, float]], Baselines]:
    return lambda shard: baselines_of(shard[0], Deadline.after(shard[1], time.monotonic))


def _pairs(planned: Planned, config: Convert) -> TaskPairs:
    task, calls, methods = planned
    train = [
        probe.Pair(prune(e.request, task.recipe), a, e.group, e.subject)
        for e, a in zip(calls.train, calls.answers, strict=True)
        if a is not None
    ]
    held = [
        probe.Pair(prune(e.request, task.recipe), a, e.group, e.subject)
        for e in calls.validation
        if (a := answer_of(e.response, task.contract)) is not None
    ]
    return TaskPairs(task, train, held, config, methods)


def baselines_of(given: TaskPairs, until: Deadline) -> Baselines:
    """Majority and linear probes and the methods that make sense; without methods the majority alone."""
    task, pairs, held, config, methods = given
    contract, least = task.contract, config.min_origins
    rows: list[Candidate] = []
    most_common = probe.majority([p.answer for p in pairs], [p.answer for p in held or pairs], contract)
    if most_common is not None:
        rows.append(_row("majority answer", "majority", most_common))
    if not methods:
        return Baselines(rows, [], None)
    if contract.from_request:
        able = [m for m in methods if isinstance(m, ReadsLists) and m.plan(task, _NO_PROBE).train]
        return Baselines(rows, [m.name for m in able], None)
    schema = probe.schema_of(contract, pairs, least)
    # a log with a reserve has no validation: what is fitted is the same, and measured by cross-validation
    fit_until = until.part(LINEAR_PART)
    found = (
        probe.linear(pairs, held or pairs, schema, contract, min_origins=least, deadline=fit_until)
        if pairs
        else None
    )
    if found is not None and held:
        rows.append(_row(probe.LINEAR_MODEL, probe.LINEAR, found[0]))
    elif (
        found is None
        and (
            part := probe.closed_field_probe(
                *_parts(pairs, held), contract, min_origins=least, deadline=fit_until
            )
        )
        is not None
    ):
        # it cannot write the rest of the answer, so it is not trained; it says what the decision alone is worth
        rows.append(_row(probe.LINEAR_MODEL, f"{probe.LINEAR}, decision alone", part))
    is_asked = any(method.name == probe.LINEAR for method in methods)
    alone = 0.0
    if found is not None and is_asked and not config.explore:
        alone = _alone(found, pairs, held, schema, contract, least, until)
        if not held and alone:
            rows.append(_row(probe.LINEAR_MODEL, probe.LINEAR, probe.ProbeResult(alone, len(pairs))))
    measured = TaskProbe(epsilon=config.epsilon, linear_fits=found is not None, linear_accuracy=alone)
    planned = []
    for method in methods:
        decided = method.plan(task, measured)
        if decided.train:
            planned.append(method.name)
        elif decided.reason:
            rows.append(Candidate(model=method.name, note=decided.reason))
    return Baselines(rows, planned, found.settings if found is not None and found.is_whole else None)


def _parts(pairs: list[probe.Pair], held: list[probe.Pair]) -> tuple[list[probe.Pair], list[probe.Pair]]:
    """(what is fitted on, what is measured on); without validation the calls of each fifth group of train."""
    if held:
        return pairs, held
    part = {*groups_in_order(p.group for p in pairs)[::HELD_OUT_PART]}
    return [p for p in pairs if p.group not in part], [p for p in pairs if p.group in part]


def _alone(
    found: probe.LinearProbe,
    pairs: list[probe.Pair],
    held: list[probe.Pair],
    schema: AnswerSchema,
    contract: Contract,
    least: int,
    until: Deadline,
) -> float:
    """Share of the calls that the linear method could answer by itself.

    Where it could answer every call at the loss asked for, a language model has nothing to add; an accuracy on two
    dozen calls is rough, but so is the margin by which a more expensive method has to be better.
    """
    over = until.part(LINEAR_PART)
    if len(held) >= MIN_VALIDATION or over.passed:
        return found.result.accuracy if held else 0.0
    return probe.linear_over(pairs, held, schema, contract, found.settings, min_origins=least, deadline=over)


def _row(model: str, method: str, found: probe.ProbeResult) -> Candidate:
    return Candidate(model=model, method=method, probe_accuracy=round(found.accuracy, 4), n_probe=found.n)
