"""Training examples of one task: the pruned prompts and canonical answers of its train and validation splits, or of its
reserve.

Calibration and test are never read here.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from deputize.core.artifacts import Curated
from deputize.core.contracts import DEFER, action_of, agree, answer_of
from deputize.core.example_texts import source_id
from deputize.core.prompt import prune
from deputize.core.records import Answer, Contract, Example, Split, Task
from deputize.core.subjects import Subjects
from deputize.specialists.value_forms import Forms, forms_of


@dataclass(frozen=True)
class TrainingExample:
    """A pruned prompt and the answer to it."""

    call_id: str
    text: str
    answer: Answer
    weight: float
    group: str = ""
    subject: str = ""
    """Whose data it is."""
    soft: dict[str, float] | None = None
    """The LLM's probabilities of labels, from the logged log-probabilities; None: not logged."""
    rejected: Answer | None = None
    """An answer to the same prompt after which the episode failed, while it succeeded after this one; None: there is
    none."""


@dataclass(frozen=True)
class TrainingSet:
    """The train and validation splits of a task."""

    task: Task
    train: list[TrainingExample]
    validation: list[TrainingExample]
    validation_examples: list[Example]
    """The examples behind `validation`, in its order, then those whose answer breaks the contract."""
    other_task_prompts: list[str] = field(default_factory=list)
    """Pruned prompts of validation calls (of train, where the log has a reserve) of other tasks, at most
    MAX_OTHER_TASK_PROMPTS; nothing is trained on them."""
    forms: Forms = field(default_factory=dict)
    """Of the values of its answers, as its requests say."""
    repeats: list[TrainingExample] = field(default_factory=list)
    """Of train what was dropped because another call says the same: only who asks again is learned from it."""
    is_cross_fitted: bool = False
    """The log has a reserve. `validation` is the logged calls of train then, each to be answered by a model fitted on
    other groups."""
    reserve: list[TrainingExample] = field(default_factory=list)
    """Read by nobody but methods that cannot be cross-fitted; its calls are calibrated on where nobody has read it."""
    reads_reserve: bool = False
    """`validation` is the reserve."""
    reserve_examples: list[Example] = field(default_factory=list)
    """The examples behind `reserve`, as of `validation_examples`."""

    def with_reserve(self) -> TrainingSet:
        """The same with the reserve as validation, for a method that cannot be cross-fitted."""
        if not self.is_cross_fitted:
            return self
        return replace(
            self,
            validation=self.reserve,
            validation_examples=self.reserve_examples,
            is_cross_fitted=False,
            reads_reserve=True,
            reserve=[],
            reserve_examples=[],
        )


MAX_OTHER_TASK_PROMPTS = 400
DUPLICATE = ("exact duplicate", "near duplicate")
"""Why curation drops a call that another one stands for."""
MAX_BALANCE = 20.0
"""By how much a rare answer is weighed up at most: a single odd example must not outweigh a hundred."""


def training_set_of(
    curated: Curated,
    assignment: dict[str, str],
    task: Task,
    *,
    max_weight: float = 4.0,
    balance: float = 0.0,
    min_origins: int = 1,
) -> TrainingSet:
    """The examples of a task that may be trained on, and those that training is stopped by.

    An example that stands for many dropped duplicates counts for more, but never for more than `max_weight`.
    `balance` weighs up what was answered rarely (see `balanced`); validation keeps its natural composition. Schemas of
    values that fewer than `min_origins` data subjects had in their requests are left out.
    """
    mine = [e for e in curated.examples if assignment.get(e.call_id) == task.id]
    in_train = [e for e in mine if e.split == "train"]
    train = _training_examples([e for e in in_train if e.trainable], task, max_weight)
    train = with_rejected(train, in_train, task)
    train = balanced(train, task.contract, balance)
    is_cross_fitted = any(e.split == "reserve" for e in curated.examples)
    reserve_examples = [e for e in mine if e.split == "reserve"]
    validation_examples = [e for e in mine if e.split == "validation"]
    if is_cross_fitted:
        validation_examples = [e for e in in_train if not e.made_from and not e.training_only]
    held: Split = "train" if is_cross_fitted else "validation"
    other_task_prompts = [
        e for e in curated.examples if e.split == held and assignment.get(e.call_id, "") not in ("", task.id)
    ]
    return TrainingSet(
        task,
        train,
        _training_examples(validation_examples, task, 1.0),
        validation_examples,
        [prune(e.request, task.recipe) for e in _spread(other_task_prompts, MAX_OTHER_TASK_PROMPTS)],
        forms_of([e.request for e in in_train], Subjects([e.subject for e in in_train], min_origins)),
        _training_examples([e for e in in_train if e.drop_reason in DUPLICATE], task, 1.0),
        is_cross_fitted,
        _training_examples(reserve_examples, task, 1.0),
        reserve_examples=reserve_examples,
    )


def soft_labels(
    logprobs: Sequence[Sequence[tuple[str, float]]], answer: Answer, contract: Contract
) -> dict[str, float] | None:
    """The LLM's probabilities of the labels of a contract; None where they are not known.

    An alternative token counts for a label where only that one goes on with it. They are shares of what is known: the
    logged tokens are the likeliest ones only.
    """
    if contract.kind != "label" or not logprobs or answer not in contract.labels:
        return None
    mass: dict[str, float] = {}
    prefix, p = "", 1.0
    for (token, log_p), *others in logprobs:
        for other, other_log_p in others:
            if len(found := _beginning(contract.labels, prefix + other)) == 1:
                mass[found[0]] = mass.get(found[0], 0.0) + p * math.exp(other_log_p)
        prefix, p = prefix + token, p * math.exp(log_p)
        if len(_beginning(contract.labels, prefix)) == 1:
            break
    mass[answer] = mass.get(answer, 0.0) + p
    total = sum(mass.values())
    return {label: share / total for label, share in mass.items()} if total > 0 else None


def _beginning(labels: Sequence[str], text: str) -> list[str]:
    """The labels that begin with a text."""
    start = text.lstrip()
    return [label for label in labels if label.startswith(start)] if start else []


def with_rejected(
    train: list[TrainingExample], examples: Sequence[Example], task: Task
) -> list[TrainingExample]:
    """Training examples, those whose episode succeeded with an answer that failed on the same pruned prompt, where
    there is one."""
    ended = {e.call_id: _success(e) for e in examples}
    worse: dict[str, list[Answer]] = {}
    for example in examples:
        if ended[example.call_id] is False:
            answer = answer_of(example.response, task.contract)
            if answer is not None:
                worse.setdefault(prune(example.request, task.recipe), []).append(answer)

    def rejected(one: TrainingExample) -> Answer | None:
        if ended.get(one.call_id) is not True:
            return None
        return next((a for a in worse.get(one.text, ()) if not agree(a, one.answer, task.contract)), None)

    return [replace(one, rejected=rejected(one)) for one in train] if worse else train


def _success(example: Example) -> bool | None:
    """How the episode of a call ended, where the log or a feedback says so."""
    if example.outcome is None:
        return None
    if example.outcome.success is not None:
        return example.outcome.success
    return None if example.outcome.reward is None else example.outcome.reward > 0


def _spread(examples: list[Example], most: int) -> list[Example]:
    """At most so many of the examples, evenly from the whole log."""
    return examples[:: -(-len(examples) // most)] if len(examples) > most else examples


def balanced(examples: list[TrainingExample], contract: Contract, balance: float) -> list[TrainingExample]:
    """The examples with weights multiplied by (mean weight of an answer / weight of this answer) ** balance.

    An answer here is what a closed set decides: the label, the tools called, the label fields of a JSON reply; texts
    are left alone. The weights sum to what they did before.
    """
    kinds = [_answer_class(example.answer, contract) for example in examples]
    if not balance or len(set(kinds)) < 2:
        return examples
    mass: dict[str, float] = {}
    for kind, example in zip(kinds, examples, strict=True):
        mass[kind] = mass.get(kind, 0.0) + example.weight
    total = sum(mass.values())
    mean = total / len(mass)
    raw = [
        example.weight * min(MAX_BALANCE, (mean / mass[kind]) ** balance)
        for kind, example in zip(kinds, examples, strict=True)
    ]
    scale = total / sum(raw)
    return [replace(example, weight=w * scale) for example, w in zip(examples, raw, strict=True)]


def _answer_class(answer: Answer, contract: Contract) -> str:
    if contract.kind == "text":
        return ""
    if contract.kind == "tool_call" or answer == DEFER:
        return action_of(answer)
    if contract.kind == "json" and isinstance(answer, dict):
        closed = [f.name for f in contract.fields if f.type == "label"]
        return json.dumps([answer.get(name) for name in closed], default=str)
    return str(answer)


def _training_examples(examples: Sequence[Example], task: Task, max_weight: float) -> list[TrainingExample]:
    out = []
    for example in examples:
        answer = answer_of(example.response, task.contract)
        if answer is not None:
            text = prune(example.request, task.recipe)
            out.append(
                TrainingExample(
                    source_id(example),
                    text,
                    answer,
                    min(max_weight, example.weight**0.5),
                    example.group,
                    example.subject,
                    soft_labels(example.logprobs, answer, task.contract),
                )
            )
    return out
