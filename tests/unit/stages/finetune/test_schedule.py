"""How the time is shared: by need, small jobs first, with time kept for evaluation."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path

import msgspec
import pytest
from tests import tiny_tasks

from deputize.core.deadline import Deadline
from deputize.specialists.learn_schema import learn_schema
from deputize.stages.finetune.examples import TrainingSet
from deputize.stages.finetune.methods.base import TrainingJob
from deputize.stages.finetune.methods.registry import find_method
from deputize.stages.finetune.schedule import EVALUATION_MARGIN, Schedule


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def job(task: str, method: str, n_tokens: int, epochs: int = 4) -> TrainingJob:
    """A task whose answers are chosen by a head."""
    made = msgspec.structs.replace(tiny_tasks.task("label"), id=task)
    schema = learn_schema(made.contract, ["yes", "no"])
    examples = TrainingSet(made, [], [], [])
    return TrainingJob(examples, schema, find_method(method), Path(f"{task}-{method}"), n_tokens, epochs, "")


def budgets(
    schedule: Schedule,
    jobs: list[TrainingJob],
    clock: Clock,
    *,
    served: Set[str] = frozenset(),
    took: float = 1.0,
) -> list[tuple[str, str, float]]:
    out = []
    for made, budget_s in schedule.shared_among(jobs, served):
        out.append((made.task.id, made.method.name, budget_s))
        clock.now += took
    return out


def test_tasks_without_a_specialist_come_first() -> None:
    clock = Clock()
    jobs = [job("a", "lora", 10), job("b", "lora", 1000), job("c", "lora", 100)]
    schedule = Schedule(Deadline.after(1000.0, clock), 10.0)
    assert [task for task, _, _ in budgets(schedule, jobs, clock, served={"a"})] == ["c", "b", "a"]


def test_each_gets_its_part_by_need_and_evaluation_keeps_its_own() -> None:
    clock = Clock()
    schedule = Schedule(Deadline.after(1000.0, clock), 10.0)
    jobs = [job("a", "lora", 100), job("b", "lora", 300)]
    (_, _, first), (_, _, second) = budgets(schedule, jobs, clock, took=0.0)
    # a head needs .6 epochs of evaluation for 4 of training, but at least a fifth of the time is kept
    assert first == pytest.approx(1000 * 0.8 * 0.25) and second == pytest.approx(1000 * 0.8)


def test_what_is_trained_alone_keeps_time_for_its_certificate() -> None:
    clock = Clock()
    jobs = [job("a", "lora", 100), job("b", "lora", 100)]
    schedule = Schedule(Deadline.after(1000.0, clock), 10.0)
    found = []
    for made, budget_s in schedule.shared_among(jobs, {"b"}):
        found.append(budget_s)
        schedule.done(made, 5.0)
    kept = EVALUATION_MARGIN * 100 * 0.6 / 5.0
    assert found == pytest.approx([800.0, 0.8 * (1000.0 - kept)]) and schedule.tokens_per_s == 5.0
    assert schedule.after_evaluation().left_s() == pytest.approx(1000.0 - 2 * kept)
    ((_, _, again),) = budgets(schedule, jobs[:1], clock)
    assert again == pytest.approx(0.8 * (1000.0 - 2 * kept)), "what is kept stays kept in a further sharing"


def test_without_time_a_job_is_refused_with_the_numbers() -> None:
    clock = Clock()
    made = job("a", "lora", 1000)
    schedule = Schedule(Deadline.after(1.0, clock), 10.0)
    ((_, _, budget_s),) = budgets(schedule, [made], clock)
    assert schedule.is_too_short(made, budget_s) and not schedule.is_too_short(made, 25.0)
    assert schedule.refusal(made, -3.0) == (
        "lora: 0 s are left for it, and one pass over its 0 examples takes about 100 s"
    )
