"""Assigns every call of a log to the task that its template key leads to, as the gateway would: by its request alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deputize.core.progress import Progress
from deputize.core.records import Example, KeySpace, Request
from deputize.core.signature import has_media, signature
from deputize.core.template_key import TemplateKeys

VARYING_TOOLS = "tools or reply schema differ from call to call"
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
) -> Assigned:
    """The task of each call, one call in memory at a time.

    Args:
        examples: the calls.
        keyspaces: of discovery.
        task_of_key: template key -> task id.
        reason_of_key: template key of no task -> why it is of none.
        progress: called now and then.
    """
    keys, known = TemplateKeys(keyspaces), frozenset(space.signature for space in keyspaces)
    out = Assigned()
    for n, example in enumerate(examples, 1):
        key = keys.key(example.request)
        task_id = task_of_key.get(key)
        if task_id is None:
            reason = reason_of_key.get(key, UNSEEN) if key else _why_no_key(example.request, known)
            out.unassigned[reason] += 1
        else:
            out.task_of[example.call_id] = task_id
            out.counts[task_id].add(example)
        if n % 1000 == 0 or n == len(examples):
            progress("assigning calls", n, len(examples))
    return out


def _why_no_key(request: Request, known: frozenset[str]) -> str:
    """The reason why a request has no template key."""
    if has_media(request):
        return "images or sound"
    if signature(request) not in known:
        return VARYING_TOOLS
    return "its prompt has unknown lines or fits no branch clearly"
