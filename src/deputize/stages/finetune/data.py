"""What a rung learns from: the pruned prompts and canonical answers of one task's train and dev examples.

Calibration and test are never read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deputize.core.artifacts import Curated
from deputize.core.contracts import answer_of
from deputize.core.records import Answer, Example, Task
from deputize.core.templates import prune


@dataclass(frozen=True)
class Lesson:
    """One example as a rung sees it."""

    call_id: str
    text: str
    answer: Answer
    weight: float
    group: str = ""


@dataclass(frozen=True)
class Lessons:
    """A task's train and dev sides."""

    task: Task
    train: list[Lesson]
    dev: list[Lesson]
    dev_examples: list[Example]
    """The examples behind `dev`, in its order, then those whose answer breaks the contract."""


def lessons_of(
    curated: Curated, assignment: dict[str, str], task: Task, *, max_weight: float = 4.0
) -> Lessons:
    """The examples of a task that may be learnt from, and those to stop by.

    An example that stands for many dropped duplicates counts for more, but never for more than `max_weight`.
    """
    mine = [e for e in curated.examples if assignment.get(e.call_id) == task.id]
    train = _lessons([e for e in mine if e.split == "train" and e.trainable], task, max_weight)
    dev_examples = [e for e in mine if e.split == "dev"]
    return Lessons(task, train, _lessons(dev_examples, task, 1.0), dev_examples)


def _lessons(examples: Sequence[Example], task: Task, max_weight: float) -> list[Lesson]:
    out = []
    for example in examples:
        answer = answer_of(example.response, task.contract)
        if answer is not None:
            text = prune(example.request, task.recipe)
            out.append(
                Lesson(example.call_id, text, answer, min(max_weight, example.weight**0.5), example.group)
            )
    return out
