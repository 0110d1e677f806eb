"""The tasks that came, went, were split or merged since an earlier run, by the calls that both runs saw."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from deputize.core.artifacts import Discovered, TaskChange
from deputize.core.records import Task
from deputize.stages.cluster.stable_ids import LEAST

PART = 0.1
"""Of a task's calls that both runs saw: the share from which a part of it counts."""


def changes(now: Discovered, before: Discovered) -> list[TaskChange]:
    """The changes from the tasks of before to those of now, which has kept their ids (`stable_ids.keep_ids`).

    A task is split where at least two tasks of now, most of whose calls were its own, hold a part of it each; tasks are
    merged where one of now holds most calls of at least two. A task without an earlier one is born, one without a later
    one is gone; what became part of a split or a merge is neither.
    """
    shared = [call for call in now.assignment if call in before.assignment]
    both = Counter((before.assignment[call], now.assignment[call]) for call in shared)
    n_old = Counter(before.assignment[call] for call in shared)
    n_new = Counter(now.assignment[call] for call in shared)
    parts, sources = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for (old, new), n in sorted(both.items()):
        if n >= PART * n_old[old] and n >= LEAST * n_new[new]:
            parts[old].append(new)
        if n >= PART * n_new[new] and n >= LEAST * n_old[old]:
            sources[new].append(old)
    split = {old: new for old, new in parts.items() if len(new) > 1}
    merged = {new: old for new, old in sources.items() if len(old) > 1}
    explained = (
        {old for olds in merged.values() for old in olds},
        {new for news in split.values() for new in news},
    )
    old_ids, new_ids = [t.id for t in before.tasks], [t.id for t in now.tasks]
    return [
        *(TaskChange(kind="split", before=[old], now=new) for old, new in split.items()),
        *(TaskChange(kind="merged", before=old, now=[new]) for new, old in merged.items()),
        *(TaskChange(kind="born", now=[id]) for id in new_ids if id not in {*old_ids, *explained[1]}),
        *(TaskChange(kind="gone", before=[id]) for id in old_ids if id not in {*new_ids, *explained[0]}),
    ]


def sentences(found: Iterable[TaskChange], now: Discovered, before: Discovered) -> list[str]:
    """The changes in words, with ids and names."""
    old, new = ({task.id: task for task in one.tasks} for one in (before, now))
    said = {
        "split": "{} of the run before is now {}",
        "merged": "{} of the run before are now {}",
        "born": "new: {1}",
        "gone": "no longer found: {0}",
    }
    return [said[one.kind].format(_named(one.before, old), _named(one.now, new)) for one in found]


def _named(ids: Iterable[str], tasks: Mapping[str, Task]) -> str:
    return " and ".join(f"{id} ({tasks[id].name})" if id in tasks else id for id in ids)
