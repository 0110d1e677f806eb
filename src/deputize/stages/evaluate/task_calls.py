"""The calls of one task by split, each split in a random order of whole groups, so that any first part is a fair
sample."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from deputize.core.artifacts import Curated, Discovered
from deputize.core.records import Contract, Split, Task
from deputize.scoring import certificates as cert
from deputize.stages.evaluate.population import Population, PopulationCall


@dataclass
class TaskCalls:
    """A task and its calls in the splits that are measured."""

    task: Task
    population: Population
    seed: int
    """Of the run: the order of each split follows from it."""
    largest_group: int = 1
    """Calls of the task in its largest group of curated calls, train included; `largest` has withheld ones too."""
    is_cross_fitted: bool = False
    """Methods are compared by cross-fitting on train, and calibration has what would be validation: there is none."""
    _ordered: dict[Split, list[PopulationCall]] = field(default_factory=dict)

    @property
    def all(self) -> Sequence[PopulationCall]:
        """The calls of all these splits."""
        return self.population.of(self.task.id)

    @cached_property
    def largest(self) -> int:
        """Calls of the task in its largest group, at least 1: of all splits, withheld calls included. Sizes are no
        labels.

        Were a group larger than this one, its calls would count too little among units drawn by size, and a bet on it
        could go broke.
        """
        return max([self.largest_group, *Counter(call.group for call in self.all).values()])

    @property
    def contract(self) -> Contract:
        return self.task.contract

    def split(self, name: Split) -> list[PopulationCall]:
        """The calls of one split, whole groups in a random order."""
        if name not in self._ordered:
            members: dict[str, list[PopulationCall]] = {}
            for call in sorted((c for c in self.all if c.split == name), key=lambda c: c.call_id):
                members.setdefault(call.group, []).append(call)
            groups = list(members)  # in the order of their first ids: their names sort otherwise in each home
            rng = np.random.default_rng(cert.seed_of(self.seed, "sample", name, self.task.id))
            self._ordered[name] = [c for i in rng.permutation(len(groups)) for c in members[groups[i]]]
        return self._ordered[name]

    def groups(self, name: Split) -> dict[str, list[str]]:
        """Each group of one split, with the ids of its calls."""
        found: dict[str, list[str]] = {}
        for call in self.split(name):
            found.setdefault(call.group, []).append(call.call_id)
        return found

    def n(self, name: Split) -> int:
        """Number of calls in a split."""
        return sum(c.split == name for c in self.all)

    @property
    def n_calibration_groups(self) -> int:
        """Independent units that a certificate could rest on."""
        return len({c.group for c in self.all if c.split == "calibration"})


def largest_groups(curated: Curated, discovered: Discovered) -> dict[str, int]:
    """Task id -> its calls in its largest group, at least 1.

    Of all splits: a group that is larger than those of calibration is a part of the traffic that calibration has not
    seen.
    """
    sizes: Counter[tuple[str, str]] = Counter(
        (discovered.assignment.get(e.call_id, ""), e.group)
        for e in curated.examples
        if e.split and not e.training_only
    )
    largest = {task.id: 1 for task in discovered.tasks}
    for (task_id, _), n_calls in sizes.items():
        largest[task_id] = max(largest.get(task_id, 1), n_calls)
    return largest
