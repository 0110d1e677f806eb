"""Synthetic examples for a task with little to train on: an LLM writes inputs like those of train and answers them,
within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from deputize.core.artifacts import Curated, Discovered
from deputize.core.contracts import answer_of, text_of
from deputize.core.errors import BadInput, UpstreamError
from deputize.core.progress import Progress, silent
from deputize.core.records import Contract, Example, Record, Request, Task
from deputize.stages.curate.synthetic import read_synthetic, synthetic_example, write_synthetic

if TYPE_CHECKING:
    from deputize.home import Home
    from deputize.scoring.costs import Prices
    from deputize.wire.events import Completion

BATCH = 20
"""Inputs that are written at once; budget and failures are looked at between batches."""
MIN_SOURCES = 8
"""Examples of train below which there is too little to be like."""
MAX_FAILURES = 3

WriteTexts = Callable[[Sequence[str], str, int], list[tuple[int, str]]]
"""(texts, their kind in words, how many) -> new texts, each with the index of the one it was made from."""
Answer = Callable[[Request], "Completion"]
"""The LLM's reply to a request. Raises UpstreamError."""


@dataclass(frozen=True)
class ExpansionLimits:
    """The task that gets examples, how many, and for how much."""

    task: str
    model: str
    n_examples: int = 100
    budget_usd: float | None = None


class TaskExpansion(Record):
    """Outcome of a round."""

    run_id: str
    task: str
    n_made: int
    """Examples that are kept."""
    n_repeated: int
    """Inputs that were written before, or are in train."""
    n_unanswered: int
    """Inputs whose answer breaks the task's contract, or was cut off."""
    n_questions: int
    """To the LLM, for inputs and for answers."""
    usd: float
    """By the price list; of inputs the tokens are estimated."""
    stopped: str = ""
    """Why it ended before the number was reached; "" where it did not."""


def expand(
    home: Home,
    run_id: str,
    tenant: str | None,
    write: WriteTexts,
    answer: Answer,
    limits: ExpansionLimits,
    progress: Progress = silent,
) -> TaskExpansion:
    """Makes examples and keeps them for the curations to come. Only de-identified texts of train are sent.

    Args:
        home: the home; the caller has checked the right and holds the lock of runs.
        run_id: a run that has found tasks.
        tenant: only calls of this tenant; None: of all.
        write: writes inputs.
        answer: answers a request.
        limits: for which task, how many, and for how much.
        progress: gets the number of examples.

    Raises:
        BadInput: no such task, or one that cannot be expanded; the sentence says why.
        StoreError: examples cannot be kept.
    """
    from deputize.scoring.costs import load_prices

    task, sources = _sources(home, run_id, tenant, limits.task)
    known = read_synthetic(home.path, home.keyring)
    making = _Making(write, answer, limits, load_prices(home.path), task)
    making.seen.update(text_of(e.request.messages[-1]).strip() for e in [*sources, *known.values()])
    try:
        while not making.stopped and len(making.made) < limits.n_examples:
            progress("writing examples", len(making.made), limits.n_examples)
            making.batch(sources)
    finally:
        if making.made:
            write_synthetic(home.path, home.keyring, {**known, **{e.call_id: e for e in making.made}})
    return TaskExpansion(
        run_id=run_id,
        task=task.id,
        n_made=len(making.made),
        n_repeated=making.n_repeated,
        n_unanswered=making.n_unanswered,
        n_questions=making.n_questions,
        usd=making.usd,
        stopped=making.stopped,
    )


class _Making:
    """The examples made so far, and their price."""

    def __init__(
        self, write: WriteTexts, answer: Answer, limits: ExpansionLimits, prices: Prices, task: Task
    ) -> None:
        self._write, self._answer, self._limits, self._prices, self._task = (
            write,
            answer,
            limits,
            prices,
            task,
        )
        self.made: list[Example] = []
        self.seen: set[str] = set()
        self.n_repeated = self.n_unanswered = self.n_questions = 0
        self.usd, self.stopped = 0.0, ""
        self._at = self._n_failures = 0

    def batch(self, sources: Sequence[Example]) -> None:
        """One more batch of inputs and their answers; each source in its turn."""
        limits = self._limits
        n = min(BATCH, limits.n_examples - len(self.made))
        chosen = [sources[(self._at + k) % len(sources)] for k in range(n)]
        self._at += n
        before = len(self.made)
        texts = [text_of(one.request.messages[-1]) for one in chosen]
        written = self._write(texts, self._task.name, n)
        for at, text in written:
            self._spend(
                None, [{"role": "user", "content": texts[at]}], None, {"role": "assistant", "content": text}
            )
            self.n_questions += 1
            self._take(chosen[at], text.strip())
            if limits.budget_usd is not None and self.usd >= limits.budget_usd:
                self.stopped = f"the budget of {limits.budget_usd:g} US dollars is spent"
            if self.stopped:
                return
        if len(self.made) == before:
            self._n_failures += 1
            if self._n_failures >= MAX_FAILURES:
                self.stopped = f"{MAX_FAILURES} batches in a row brought no new example"

    def _take(self, source: Example, text: str) -> None:
        if not text or text in self.seen:
            self.n_repeated += 1
            return
        self.seen.add(text)
        draft = synthetic_example(source, text, {}, self._limits.model)
        try:
            self.n_questions += 1
            reply = self._answer(draft.request)
        except UpstreamError as error:
            self.stopped = str(error)
            return
        self._spend(reply.usage, draft.request.messages, draft.request.tools, reply.message)
        is_whole = not reply.error and reply.reason in ("stop", "tool_calls")
        if not is_whole or answer_of(reply.message, self._task.contract) is None:
            self.n_unanswered += 1
            return
        self.made.append(synthetic_example(source, text, reply.message, self._limits.model))

    def _spend(self, usage: Any, messages: list[Any], tools: Any, message: Any) -> None:
        from deputize.scoring.costs import spend_of

        self.usd += spend_of(self._limits.model, usage, None, messages, tools, message, self._prices).usd


def _sources(home: Home, run_id: str, tenant: str | None, task_id: str) -> tuple[Task, list[Example]]:
    """The task, and its examples of train that inputs can be like, in an order that is random but the same each
    time."""
    from deputize.pipeline.run import artifact_of

    tasks = artifact_of(home, run_id, "cluster", Discovered)
    if not tasks.exists:
        raise BadInput(f"Run {run_id} has found no tasks yet: run `deputize cluster` first.")
    found = tasks.read()
    task = next((t for t in found.tasks if t.id == task_id), None)
    if task is None:
        raise BadInput(f"Run {run_id} has no task {task_id!r}; `deputize tasks list` names them.")
    if why := not_expandable(task):
        raise BadInput(f"{task.name} cannot be expanded: {why}.")
    examples = [
        record
        for record in artifact_of(home, run_id, "curate", Curated).parts()
        if isinstance(record, Example)
        and found.assignment.get(record.call_id) == task.id
        and tenant in (None, record.tenant)
        and _is_source(record, task.contract)
    ]
    if len(examples) < MIN_SOURCES:
        raise BadInput(
            f"{task.name} has {len(examples)} examples of train that end with a message of the user and may be trained on; "
            f"{MIN_SOURCES} are needed, for new ones are made like them."
        )
    return task, sorted(examples, key=lambda e: blake2b(e.call_id.encode(), digest_size=16).digest())


def not_expandable(task: Task) -> str:
    """Why no inputs can be made up for a task; "" where they can."""
    if task.recipe.mode == "dialogue":
        return "its calls are steps of an agent's run, and a made-up step has no run before it"
    if task.recipe.with_list:
        return "each of its requests lists its own tools or its own reply schema"
    return ""


def _is_source(example: Example, contract: Contract) -> bool:
    last = example.request.messages[-1] if example.request.messages else {}
    return (
        example.split == "train"
        and example.trainable
        and not example.made_from
        and example.audience == "code"
        and last.get("role") == "user"
        and isinstance(last.get("content"), str)
        and answer_of(example.response, contract) is not None
    )
