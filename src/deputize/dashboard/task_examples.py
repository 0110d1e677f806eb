"""A few curated (de-identified) calls of each task of a run, read in a thread the first time that somebody asks."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import NamedTuple

from deputize.core.artifacts import Curated, Discovered
from deputize.core.records import Example
from deputize.dashboard.masked_texts import text_of_message
from deputize.home import Home
from deputize.pipeline.run import artifact_of

PER_TASK = 6
"""Calls that are shown of a task, each of another episode."""
WAIT_S = 0.1
MAX_CHARS = 6_000


class ShownExample(NamedTuple):
    """One curated call."""

    call_id: str
    tenant: str
    split: str
    asked: str
    """The messages of the request, each with its role."""
    answered: str


class TaskExamples:
    """Examples by run and task. Used by one thread; reading has one of its own."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="examples")
        self._runs: dict[str, Future[dict[str, list[ShownExample]]]] = {}

    def of(self, run_id: str, task_id: str, tenant: str = "") -> list[ShownExample] | None:
        """Examples of a task, those left out whose calls were erased since; None: they are being read.

        Args:
            run_id: a run that has found tasks.
            task_id: a task of it.
            tenant: only of this one; "": of all.

        Raises:
            BadInput, Tampered, StoreError: the run's artifacts cannot be read.
        """
        work = self._runs.get(run_id)
        if work is None:
            self._runs.clear()  # the texts of one run at a time
            work = self._runs[run_id] = self._pool.submit(self._read, run_id)
        wait_for([work], timeout=WAIT_S)
        if not work.done():
            return None
        if work.exception() is not None:
            del self._runs[run_id]  # the next visit tries again
        shown = [e for e in work.result().get(task_id, []) if tenant in ("", e.tenant)]
        gone = self._home.store.erased([e.call_id for e in shown])
        return [e for e in shown if e.call_id not in gone][:PER_TASK]

    def close(self) -> None:
        """Forgets all texts."""
        self._runs.clear()
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, run_id: str) -> dict[str, list[ShownExample]]:
        task_of = artifact_of(self._home, run_id, "cluster", Discovered).read().assignment
        found: dict[str, list[ShownExample]] = defaultdict(list)
        seen: set[tuple[str, str, str]] = set()
        n_kept: dict[tuple[str, str], int] = defaultdict(int)
        for example in artifact_of(self._home, run_id, "curate", Curated).examples():
            task = task_of.get(example.call_id, "")
            place = (task, example.tenant)
            # a few more than are shown: some may be erased
            if not task or n_kept[place] >= 2 * PER_TASK or (*place, example.group) in seen:
                continue
            seen.add((*place, example.group))
            n_kept[place] += 1
            found[task].append(_shown(example))
        return found


def _shown(example: Example) -> ShownExample:
    asked = "\n\n".join(
        f"{message.get('role', '')}: {text_of_message(message)}" for message in example.request.messages
    )
    return ShownExample(
        call_id=example.call_id,
        tenant=example.tenant,
        split=example.split,
        asked=asked[-MAX_CHARS:],
        answered=text_of_message(example.response)[:MAX_CHARS],
    )
