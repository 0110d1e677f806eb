"""A task keeps its id from one run to the next: by the calls that both runs saw, not by how they were found.

Legend: A tasks of before, B tasks of now.
"""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np

from deputize.core.artifacts import Discovered

LEAST = 0.5
"""Of the calls both runs saw: the part of the old or of the new task that they must share to be the same one."""


def keep_ids(now: Discovered, before: Discovered) -> Discovered:
    """The tasks of now under the ids of before, paired so that as many calls as possible keep the id of their task.

    A task that was split or merged lives on in the one that holds most of it; what is new keeps its own id.
    """
    from scipy.optimize import linear_sum_assignment

    shared = [c for c in now.assignment if c in before.assignment]
    both = Counter((before.assignment[c], now.assignment[c]) for c in shared)
    n_old, n_new = (
        Counter(before.assignment[c] for c in shared),
        Counter(now.assignment[c] for c in shared),
    )
    old, new = sorted(n_old), sorted(n_new)
    overlap_AB = np.array([[both[a, b] for b in new] for a in old]).reshape(len(old), len(new))
    ids = {
        new[b]: old[a]
        for a, b in zip(*linear_sum_assignment(overlap_AB, maximize=True), strict=True)
        if overlap_AB[a, b] >= LEAST * min(n_old[old[a]], n_new[new[b]])
    }
    taken = set(ids.values())
    for task in now.tasks:
        if task.id not in ids:
            ids[task.id] = task.id
            while ids[task.id] in taken:  # its old bearer lives on in another task
                ids[task.id] += "n"
            taken.add(ids[task.id])
    return msgspec.structs.replace(
        now,
        tasks=[msgspec.structs.replace(task, id=ids[task.id]) for task in now.tasks],
        assignment={call: ids[task] for call, task in now.assignment.items()},
    )
