"""Training calls of a run put to LLMs once more, within a number of questions and a budget; the votes are kept for
later runs."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

from deputize.core.artifacts import Curated, Discovered
from deputize.core.errors import BadInput, UpstreamError
from deputize.core.progress import Progress, silent
from deputize.core.records import Contract, Example, Message, Record, Request
from deputize.stages.curate.new_answers import (
    NewAnswer,
    digest_of,
    outcomes,
    read_new_answers,
    vote,
    write_new_answers,
)

if TYPE_CHECKING:
    from deputize.home import Home
    from deputize.scoring.costs import Prices
    from deputize.wire.events import Completion

KEEP_EVERY = 20
"""Votes are written after so many calls: they were paid for."""
MAX_FAILURES = 3
"""After so many questions in a row without an answer no more are put."""

Complete = Callable[[str, Request], "Completion"]
"""(model, request) -> its reply. Raises UpstreamError."""


@dataclass(frozen=True)
class RelabelLimits:
    """The calls that are put to LLMs again, and how often."""

    models: tuple[str, ...]
    """Asked in turn."""
    n_votes: int = 3
    """Answers to a call, the logged one included, of which more than half decide; odd."""
    max_questions: int = 500
    budget_usd: float | None = None
    task: str = ""
    """Only calls of this task; "": of all."""


class Relabelling(Record):
    """The outcomes of a round of questions."""

    run_id: str
    n_questions: int
    usd: float
    """By the price list."""
    same: int
    """Calls whose logged answer has the majority."""
    other: int
    """Calls that get another answer from the next curation on."""
    divided: int
    """Calls without a majority: not trained on from the next curation on."""
    n_left: int
    """Calls of train that nobody was asked about again yet."""
    stopped: str = ""
    """Why it ended before the number of questions was used up; "" where it did not."""


def relabel(
    home: Home,
    run_id: str,
    tenant: str | None,
    complete: Complete,
    limits: RelabelLimits,
    progress: Progress = silent,
) -> Relabelling:
    """Asks about calls of train, in an order that is random but the same each time; calls asked about before are left
    out.

    Only de-identified requests are sent. Calls that a person has corrected, and replies meant for a person, are not
    asked about.

    Args:
        home: the home; the caller has checked the right and holds the lock of runs.
        run_id: a run that has found tasks.
        tenant: only calls of this tenant; None: of all.
        complete: asks a model.
        limits: which calls, which models, and how much.
        progress: gets the number of questions.

    Raises:
        BadInput: no such task, or nothing to ask about.
        StoreError: votes cannot be kept.
    """
    from deputize.scoring.costs import load_prices

    known = read_new_answers(home.path, home.keyring)
    contract_of = _contracts(home, run_id, limits.task)
    chosen, n_open = _chosen(home, run_id, tenant, known, contract_of, limits.max_questions)
    if not n_open:
        raise BadInput(
            "There is no call of train left to ask about: all were asked about, or none has a task."
        )
    asking = _Asking(complete, limits, load_prices(home.path), progress)
    done: list[NewAnswer] = []
    stopped = ""
    try:
        for example in chosen:
            stopped = asking.limit_reached()
            if stopped:
                break
            new = asking.vote_on(example, contract_of[example.call_id])
            if new is not None:
                done.append(new)
            if len(done) % KEEP_EVERY == 0:
                _keep(home, known, done)
    finally:
        _keep(home, known, done)
    return Relabelling(
        run_id=run_id,
        n_questions=asking.n_questions,
        usd=asking.usd,
        **outcomes(done),
        n_left=n_open - len(done),
        stopped=stopped,
    )


class _Asking:
    """The questions put so far, and what they cost."""

    def __init__(self, complete: Complete, limits: RelabelLimits, prices: Prices, progress: Progress) -> None:
        self._complete, self._limits, self._prices, self._progress = complete, limits, prices, progress
        self.n_questions, self.usd = 0, 0.0
        self._n_failures, self._last_failure = 0, ""

    def ask(self, example: Example, model: str) -> Message:
        """One answer; {} where it was cut off or withheld, which is a vote for none."""
        from deputize.scoring.costs import spend_of

        self.n_questions += 1
        self._progress("asking LLMs again", self.n_questions, self._limits.max_questions)
        reply = self._complete(model, example.request)
        self._n_failures = 0
        parts = (example.request.messages, example.request.tools, reply.message)
        self.usd += spend_of(model, reply.usage, None, *parts, self._prices).usd
        is_whole = not reply.error and reply.reason in ("stop", "tool_calls")
        return reply.message if is_whole else {}

    def vote_on(self, example: Example, contract: Contract) -> NewAnswer | None:
        """The outcome of a call; None where a model did not answer, so that the call stays open."""
        limits = self._limits
        try:
            return vote(example, contract, limits.models, self.ask, n_votes=limits.n_votes)
        except UpstreamError as error:
            self._n_failures += 1
            self._last_failure = str(error)
            return None

    def limit_reached(self) -> str:
        """Why no more calls are begun; "" where more may be."""
        limits = self._limits
        if self._n_failures >= MAX_FAILURES:
            return self._last_failure
        if limits.budget_usd is not None and self.usd >= limits.budget_usd:
            return f"the budget of {limits.budget_usd:g} US dollars is spent"
        if self.n_questions + limits.n_votes - 1 > limits.max_questions:
            return f"another call may take {limits.n_votes - 1} questions, more than are left"
        return ""


def _contracts(home: Home, run_id: str, task: str) -> dict[str, Contract]:
    """The contract of each call that has a task."""
    from deputize.pipeline.run import artifact_of

    tasks = artifact_of(home, run_id, "cluster", Discovered)
    if not tasks.exists:
        raise BadInput(f"Run {run_id} has found no tasks yet: run `deputize cluster` first.")
    found = tasks.read()
    contracts = {t.id: t.contract for t in found.tasks}
    if task and task not in contracts:
        raise BadInput(f"Run {run_id} has no task {task!r}; `deputize tasks list` names them.")
    return {
        call: contracts[id]
        for call, id in found.assignment.items()
        if id in contracts and (not task or id == task)
    }


def _chosen(
    home: Home,
    run_id: str,
    tenant: str | None,
    known: dict[str, NewAnswer],
    contract_of: dict[str, Contract],
    most: int,
) -> tuple[list[Example], int]:
    """Calls to ask about, at most so many, and the number of all that are open."""
    n_open = 0

    def open_calls() -> Iterator[tuple[bytes, Example]]:
        nonlocal n_open
        for example in _of_train(home, run_id, tenant):
            earlier = known.get(example.call_id)
            asked = earlier is not None and earlier.digest == digest_of(example)
            if example.call_id in contract_of and not asked and not example.answered_by:
                n_open += 1
                yield blake2b(example.call_id.encode(), digest_size=16).digest(), example

    chosen = [e for _, e in heapq.nsmallest(most, open_calls(), key=lambda pair: pair[0])]
    return _not_corrected(home, chosen), n_open


def _of_train(home: Home, run_id: str, tenant: str | None) -> Iterator[Example]:
    from deputize.pipeline.run import artifact_of

    for record in artifact_of(home, run_id, "curate", Curated).parts():
        if (
            isinstance(record, Example)
            and record.split == "train"
            and record.trainable
            and record.audience != "human"
            and tenant in (None, record.tenant)
        ):
            yield record


def _not_corrected(home: Home, examples: Sequence[Example]) -> list[Example]:
    """Without calls that a person has corrected, or that cannot be read any more."""
    calls = home.store.get([e.call_id for e in examples])
    return [
        e for e, call in zip(examples, calls, strict=True) if call is not None and call.correction is None
    ]


def _keep(home: Home, known: dict[str, NewAnswer], done: Sequence[NewAnswer]) -> None:
    if done:
        known.update({one.call_id: one for one in done})
        write_new_answers(home.path, home.keyring, known)
