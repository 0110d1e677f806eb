"""Assigns every call of a log to the task that its template key leads to, as the gateway would: by its request
alone."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice

import msgspec

from deputize.core.progress import Progress
from deputize.core.records import Example, KeySpace, Request
from deputize.core.signature import has_media, open_signature, signature
from deputize.core.template_key import TemplateKeys
from deputize.runner.base import NoWorkers, Runner, map_shards

VARYING_TOOLS = "tools or reply schema differ from call to call"
BATCH_CALLS = 512
MIN_CALLS_FOR_WORKERS = 20_000
"""Calls from which further workers, which take seconds to start, save time."""
_NO_REQUEST = Request(messages=[])
UNSEEN = "its template was not seen in the calls for training"


@dataclass
class TaskCounts:
    """The calls of a task in a whole log, counted as they come by."""

    n_calls: int = 0
    episodes: set[str] = field(default_factory=set)
    origins: set[str] = field(default_factory=set)

    def add(self, example: Example) -> None:
        """Counts a call."""
        self.n_calls += 1
        self.episodes.add(example.episode or example.call_id)
        self.origins.add(example.origin or example.episode or example.call_id)


@dataclass
class Assigned:
    """The calls of a log by task."""

    task_of: dict[str, str] = field(default_factory=dict)
    """Call id -> task id."""
    counts: dict[str, TaskCounts] = field(default_factory=lambda: defaultdict(TaskCounts))
    """By task id."""
    unassigned: Counter[str] = field(default_factory=Counter)
    """Reason -> calls."""


def assign(
    examples: Sequence[Example],
    keyspaces: Sequence[KeySpace],
    task_of_key: Mapping[str, str],
    reason_of_key: Mapping[str, str],
    progress: Progress,
    runner: Runner | None = None,
) -> Assigned:
    """The task of each call, a few calls in memory at a time.

    Args:
        examples: the calls.
        keyspaces: of discovery.
        task_of_key: template key -> task id.
        reason_of_key: template key of no task -> why it is of none.
        progress: called now and then.
        runner: has the workers that find the keys of a large log; None: this process does it.
    """
    make = partial(_make_keys, keyspaces)
    out, waiting = Assigned(), deque[list[Example]]()
    n_workers = 0 if len(examples) < MIN_CALLS_FOR_WORKERS else None

    def batches() -> Iterator[list[Request]]:
        left = iter(examples)
        while batch := list(islice(left, BATCH_CALLS)):
            waiting.append([msgspec.structs.replace(e, request=_NO_REQUEST, response={}) for e in batch])
            yield [e.request for e in batch]

    n_done = 0
    with NoWorkers() if runner is None else runner.start(make, n=n_workers) as workers:
        for keys in map_shards(workers, make, batches()):
            batch = waiting.popleft()
            for example, (key, why) in zip(batch, keys, strict=True):
                task_id = task_of_key.get(key)
                if task_id is None:
                    out.unassigned[reason_of_key.get(key, UNSEEN) if key else why] += 1
                else:
                    out.task_of[example.call_id] = task_id
                    out.counts[task_id].add(example)
            n_done += len(batch)
            progress("assigning calls", n_done, len(examples))
    return out


def _make_keys(keyspaces: Sequence[KeySpace]) -> Callable[[list[Request]], list[tuple[str, str]]]:
    """A function from requests to (template key, why there is none)."""
    keys, known = TemplateKeys(keyspaces), frozenset(space.signature for space in keyspaces)

    def find(requests: list[Request]) -> list[tuple[str, str]]:
        found = ((keys.key(request), request) for request in requests)
        return [(key, "" if key else _why_no_key(request, known)) for key, request in found]

    return find


def _why_no_key(request: Request, known: frozenset[str]) -> str:
    """The reason why a request has no template key."""
    if has_media(request):
        return "images or sound"
    if signature(request) not in known and open_signature(request) not in known:
        return VARYING_TOOLS
    return "its prompt has unknown lines or fits no branch clearly"
