"""The calls of one task by split, each split in a random order of whole groups, so that any first part is a fair sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from deputize.core.records import Contract, Example, Split, Task
from deputize.scoring import certificates as cert


@dataclass
class TaskCalls:
    """A task and its examples."""

    task: Task
    examples: Sequence[Example]
    seed: int
    """Of the run: the order of each split follows from it."""
    _ordered: dict[Split, list[Example]] = field(default_factory=dict)

    @property
    def contract(self) -> Contract:
        return self.task.contract

    def split(self, name: Split) -> list[Example]:
        """The calls of one split, whole groups in a random order."""
        if name not in self._ordered:
            members: dict[str, list[Example]] = {}
            for example in sorted((e for e in self.examples if e.split == name), key=lambda e: e.call_id):
                members.setdefault(example.group, []).append(example)
            groups = sorted(members)
            rng = np.random.default_rng(cert.seed_of(self.seed, "sample", name, self.task.id))
            self._ordered[name] = [e for i in rng.permutation(len(groups)) for e in members[groups[i]]]
        return self._ordered[name]

    def n(self, name: Split) -> int:
        """Number of calls in a split."""
        return sum(e.split == name for e in self.examples)

    @property
    def n_calibration_groups(self) -> int:
        """Independent units that a certificate could rest on."""
        return len({e.group for e in self.examples if e.split == "calibration"})
