"""The tools and reply schemas that a task's specialist was trained on, where each request lists its own.

A request with another one goes to the LLM, unless most of calibration held such requests too (a log split by cluster of
lists): then the certificate is about both, and is tested on those alone as well. Which of the two it is follows from
the requests, before any answer is seen.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.core.listed_tools import digests
from deputize.core.records import Call, Request, RequestLimits
from deputize.core.subjects import Subjects
from deputize.scoring import ledger
from deputize.scoring.certificates import units_needed

MOST_SEEN = 0.5
"""Share of the calibration groups that may list nothing unseen where a certificate is to be about unseen ones too."""


class ListedInTraining:
    """Digests of what the training calls of each task list, as far as enough data subjects had them."""

    def __init__(self, curated: Curated, discovered: Discovered) -> None:
        self._min_origins = discovered.min_origins
        self._tasks = {task.id for task in discovered.tasks if task.contract.from_request}
        self._who = {
            e.call_id: (discovered.assignment[e.call_id], e.subject)
            for e in curated.examples
            if e.split == "train"
            and e.trainable
            and self._tasks
            and discovered.assignment.get(e.call_id) in self._tasks
        }
        self._subjects: dict[str, list[str]] = {task: [] for task in self._tasks}
        self._listed: dict[str, list[tuple[str, ...]]] = {task: [] for task in self._tasks}

    def see(self, call: Call, as_asked: Callable[[Call], Request | None]) -> None:
        """Counts a raw call, where it is one of training.

        Args:
            call: any call of the log.
            as_asked: forms its request as the gateway does.
        """
        place = self._who.get(call.id)
        request = as_asked(call) if place is not None else None
        if place is not None and request is not None:
            task, subject = place
            self._subjects[task].append(subject)
            self._listed[task].append(digests(request))

    def listed(self, task_id: str, request: Request | None) -> tuple[str, ...]:
        """Digests of what a request of a task lists; nothing where the task's requests all list the same."""
        return digests(request) if task_id in self._tasks and request is not None else ()

    def limited(self, task_id: str, limits: RequestLimits) -> RequestLimits:
        """The limits of a task with what was in training, where its requests list their own."""
        if task_id not in self._tasks:
            return limits
        shared = Subjects(self._subjects[task_id], self._min_origins).shared(self._listed[task_id])
        return msgspec.structs.replace(limits, listed=sorted(shared))


def least_unseen(config: Convert) -> int:
    """Groups without an error that a first test on unseen lists alone needs."""
    return units_needed(config.epsilon, ledger.level(0, config.delta))


def is_about_unseen(n_groups: int, n_unseen: int, least_unseen: int) -> bool:
    """True where a certificate is to be about what was not in training too.

    Args:
        n_groups: of calibration.
        n_unseen: of them, with a request that lists something unseen.
        least_unseen: groups that a test on those alone needs.
    """
    return n_unseen >= max(least_unseen, MOST_SEEN * n_groups, 1)
