"""The figures of the report that need the texts of a task's calls, counted as the calls come by: cost and repeated
requests.

A log may be larger than memory. Its calls are read once, in their order; the texts that are kept are of the calls that
a plain rule is looked for in and tried on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import msgspec

from deputize.core.artifacts import Curated
from deputize.core.example_texts import without_texts
from deputize.core.records import Contract, Example, Task
from deputize.scoring.costs import Prices, Spend, llm_spend
from deputize.stages.evaluate.repeated_requests import RepeatCounter, RepeatedRequests
from deputize.stages.evaluate.simple_rule import MOST_TRAINED

MOST_TRIED = 5_000
"""Unseen calls of a task that a rule is tried on."""
_TRAIN_MARGIN = 2
"""Calls of train that are kept for each that a rule may be looked for in: of some the answer breaks the contract."""


@dataclass
class TaskTexts:
    """The calls of one task, and what was counted of their texts."""

    prices: Prices
    contract: Contract | None = None
    """None: of no task; repeats are not counted then."""
    examples: list[Example] = field(default_factory=list)
    """In their order, most of them without texts."""
    spend: Spend = field(default_factory=Spend)
    """Of the LLM for the calls meant for code."""
    _repeats: RepeatCounter | None = None
    _left: dict[str, int] = field(
        default_factory=lambda: {"train": _TRAIN_MARGIN * MOST_TRAINED, "test": MOST_TRIED}
    )
    """Split -> calls whose texts may still be kept."""

    @classmethod
    def of(cls, task: Task, examples: Iterable[Example], prices: Prices) -> TaskTexts:
        """Of the calls of a task."""
        texts = cls(prices, task.contract)
        for example in examples:
            texts.add(example)
        return texts

    @property
    def repeated(self) -> RepeatedRequests:
        """Repeats among the calls meant for code."""
        return self._repeats.found if self._repeats is not None else RepeatedRequests()

    def add(self, example: Example) -> Example:
        """Counts a call and returns it as it is kept."""
        short = without_texts(example)
        if example.audience == "code":
            self.spend += llm_spend(example, self.prices)
            if self.contract is not None:
                self._repeats = self._repeats or RepeatCounter(self.contract)
                self._repeats.add(example)
                if self._left.get(example.split, 0):
                    self._left[example.split] -= 1
                    short = example
        self.examples.append(short)
        return short


def read_texts(
    curated: Curated, tasks: Iterable[Task], assignment: Mapping[str, str], prices: Prices
) -> tuple[Curated, dict[str, TaskTexts]]:
    """(the curated data in memory without most texts, its calls by task id; under "" those of no task), in one pass."""
    found = {task.id: TaskTexts(prices, task.contract) for task in tasks}
    found[""] = TaskTexts(prices)
    examples = [
        found.get(assignment.get(example.call_id, ""), found[""]).add(example) for example in curated.examples
    ]
    return msgspec.structs.replace(curated, examples=examples), found
