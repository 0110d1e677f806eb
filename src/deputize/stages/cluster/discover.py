"""Finds the tasks in a set of calls: by structure, then recurring lines, then the merge step, then meaning."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from deputize.core.progress import Progress, silent
from deputize.core.records import DEFAULT_TENANT, BranchClassifier, Example, KeySpace
from deputize.core.signature import OPEN, has_media, signature
from deputize.core.template_key import TemplateMatcher
from deputize.runner.base import Runner, map_shards
from deputize.stages.cluster.fit_prompt_limits import fit_prompt_limits
from deputize.stages.cluster.merge import FIXED_SHARE, SMALL_TASK, Fragment, merge
from deputize.stages.cluster.recurring_lines import (
    MIN_SUPPORT,
    PromptCall,
    RecurringLines,
    UnitSplitter,
    find_recurring_lines,
    group_by_lines,
    prompt_call,
)
from deputize.stages.cluster.reply_profiles import profile, read_reply, same_kind
from deputize.stages.cluster.semantic_split import is_heterogeneous, split_by_meaning
from deputize.stages.cluster.varying_lists import pool_varying_lists

CONFLICT = 0.02
"""From this share on, calls of another task under one template key count as a conflict."""
MIN_CALLS_FOR_WORKERS = 20_000
MAX_STRAY = 0.1
"""Share of a task's calls that may go with another task whose template key they have."""


@dataclass(slots=True)
class FoundTask:
    """A task, its calls and their template keys."""

    members: list[PromptCall]
    keys: set[str]
    signature: str
    variant: dict[int, str] = field(default_factory=dict)
    """Index of a call -> its template key."""
    routable: bool = True
    """False for calls whose tools differ from call to call: no fixed signature leads to them."""
    split: bool = False
    """True for a part of a semantic split: a branch classifier leads to it."""
    from_request: bool = False
    """True where each request lists its own tools or reply schema, and they differ from call to call."""


def find_tasks(
    examples: Sequence[Example],
    *,
    tenant: str = DEFAULT_TENANT,
    min_origins: int = 1,
    replaced_segments: Iterable[str] = (),
    models_dir: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
    runner: Runner | None = None,
) -> tuple[list[FoundTask], list[KeySpace]]:
    """The tasks in a set of calls, largest first, and the key spaces that lead a request to them.

    Args:
        examples: the calls.
        tenant: whose calls they are; "*": of several.
        min_origins: a line, head or word that fewer data subjects have is in no key space.
        replaced_segments: segments that only de-identified prompts have; they are in no key space.
        models_dir: the folder of the embedder, if it was fetched.
        seed: of every random draw.
        progress: called at each step.
        runner: has workers elsewhere that take a signature each where there are many calls; None: this process does it.
    """
    splitter = UnitSplitter(replaced_segments)
    groups: dict[str, list[PromptCall]] = defaultdict(list)
    for i, example in enumerate(examples):
        if not has_media(example.request):
            groups[signature(example.request)].append(
                prompt_call(i, example, read_reply(example.response), splitter)
            )
        progress("reading prompts", i + 1, len(examples))
    groups, pools = pool_varying_lists(groups)
    groups, varied = _separate_varying_tools(groups)
    shards = [
        *((sign, calls) for sign, calls in sorted(groups.items(), key=lambda kv: (-len(kv[1]), kv[0]))),
        *pools.items(),
        *varied.items(),
    ]
    search = _Search(tenant, min_origins, models_dir, seed)
    found: list[FoundTask] = []
    keyspaces: list[KeySpace] = []
    for n, ((sign, _), (tasks, space)) in enumerate(
        zip(shards, _tasks_of_all(shards, search, runner, progress), strict=True)
    ):
        progress("finding tasks", n, len(shards))
        found.extend(tasks)
        if sign in varied:
            for task in tasks:
                task.routable = False
            continue
        keyspaces.append(space)
        if sign in pools:
            for task in tasks:
                task.from_request = True
    found = _join_across_signatures(found)
    progress("finding tasks", len(shards), len(shards))
    return sorted(found, key=lambda t: (-len(t.members), t.members[0].index)), keyspaces


_Shard: TypeAlias = tuple[str, list[PromptCall]]
"""A signature and its calls."""


@dataclass(frozen=True)
class _Search:
    """How the tasks of a signature are looked for; makes the function of a worker."""

    class Found(NamedTuple):
        """Result of a worker."""

        tasks: list[FoundTask]
        members: list[list[int]]
        """Of each task, by index."""
        space: KeySpace

    tenant: str
    min_origins: int
    models_dir: Path | None
    seed: int

    def tasks(
        self, sign: str, calls: list[PromptCall], progress: Progress = silent
    ) -> tuple[list[FoundTask], KeySpace]:
        empty = KeySpace(signature=sign, tenant=self.tenant)
        return _tasks_of_signature(empty, calls, self.min_origins, self.models_dir, self.seed, progress)

    def __call__(self) -> Callable[[_Shard], _Search.Found]:
        return self._search

    def _search(self, shard: _Shard) -> _Search.Found:
        tasks, space = self.tasks(*shard)
        # the calls themselves stay where they came from
        members = [[call.index for call in task.members] for task in tasks]
        return self.Found([replace(task, members=[]) for task in tasks], members, space)


def _tasks_of_all(
    shards: Sequence[_Shard], search: _Search, runner: Runner | None, progress: Progress
) -> Iterator[tuple[list[FoundTask], KeySpace]]:
    """The tasks and the key space of each signature, in order."""
    n_calls = sum(len(calls) for _, calls in shards)
    # on this machine a copy of the calls would take more than is saved
    if runner is None or runner.is_here or n_calls < MIN_CALLS_FOR_WORKERS:
        for sign, calls in shards:
            yield search.tasks(sign, calls, progress)
        return
    with runner.start(search) as workers:
        results = map_shards(workers, search, shards, per_worker=1)
        for (_, calls), (tasks, members, space) in zip(shards, results, strict=True):
            call_of = {call.index: call for call in calls}
            for task, indices in zip(tasks, members, strict=True):
                task.members = [call_of[index] for index in indices]
            # a default value that came from elsewhere would be written where one from here is left out
            yield tasks, msgspec.structs.replace(space, tenant=search.tenant)


def _separate_varying_tools(
    groups: dict[str, list[PromptCall]],
) -> tuple[dict[str, list[PromptCall]], dict[str, list[PromptCall]]]:
    """The calls by signature where it recurs, and pools of the calls whose tools or schema vary."""
    fixed: dict[str, list[PromptCall]] = {}
    varied: dict[str, list[PromptCall]] = defaultdict(list)
    for sign, calls in groups.items():
        request = calls[0].example.request
        if len(calls) >= MIN_SUPPORT or not (request.tools or request.response_format):
            fixed[sign] = calls
        else:
            kind = (request.response_format or {}).get("type", "")
            varied[f"varied:{bool(request.tools)}:{kind}:{bool(calls[0].system)}"].extend(calls)
    if not fixed and sum(map(len, varied.values())) < 4 * MIN_SUPPORT:
        # too few calls to say what varies
        return groups, {}
    few = {sign: calls for sign, calls in groups.items() if sign not in fixed}
    for pool, calls in list(varied.items()):
        signs = {signature(call.example.request) for call in calls}
        if len(signs) < 4:
            # few signatures with few calls each are small sites, not a site whose tools vary
            fixed.update({sign: few[sign] for sign in signs})
            del varied[pool]
    return fixed, dict(varied)


def _tasks_of_signature(
    empty: KeySpace,
    calls: list[PromptCall],
    min_origins: int,
    models_dir: Path | None,
    seed: int,
    progress: Progress,
) -> tuple[list[FoundTask], KeySpace]:
    lines = find_recurring_lines(calls, min_origins)
    fragments = merge(group_by_lines(calls, lines), is_one_job=empty.signature.startswith(OPEN))
    space, tasks = _tasks_by_key(empty, calls, fragments, lines)
    out: list[FoundTask] = []
    classifiers: dict[str, BranchClassifier] = {}
    for task in tasks:
        fragment = _as_fragment(task, space)
        if empty.signature.startswith(OPEN) or not is_heterogeneous(fragment):
            out.append(task)
            continue
        parts, classifier = split_by_meaning(
            fragment, min_origins=min_origins, models_dir=models_dir, seed=seed, progress=progress
        )
        if classifier is None:
            out.append(task)
            continue
        classifiers.update(dict.fromkeys(task.keys, classifier))
        for branch, members in enumerate(parts):
            variant = {call.index: f"{task.variant[call.index]}~{branch}" for call in members}
            keys = {f"{key}~{branch}" for key in task.keys}
            out.append(FoundTask(members, keys, empty.signature, variant, split=True))
    complete = msgspec.structs.replace(
        space,
        prompt_limits=fit_prompt_limits(space, _calls_of_key(tasks).items(), min_origins),
        branch_classifiers=classifiers,
    )
    return out, complete


def _as_fragment(task: FoundTask, space: KeySpace) -> Fragment:
    matcher = TemplateMatcher(space)
    fragment = Fragment(task.members, profile(call.reply for call in task.members))
    for call in task.members:
        system, user = matcher.recognise_opening(call.example.request)
        fragment.system.update(system.known)
        fragment.user.update(user.known)
    return fragment


def _tasks_by_key(
    empty: KeySpace, calls: Sequence[PromptCall], fragments: Sequence[Fragment], lines: RecurringLines
) -> tuple[KeySpace, list[FoundTask]]:
    """The key space with only the lines that are fixed in some task or tell tasks apart, and the tasks by its keys.

    A line that comes and goes within a task would multiply its keys, and a combination not yet seen would find no
    task; so such lines are left out.
    """
    kept = {
        line
        for f in fragments
        for part in (f.system, f.user)
        for line, n in part.items()
        if n >= FIXED_SHARE * f.n and (f.n >= SMALL_TASK or len(fragments) == 1)
    }
    fragment_of_call = {call.index: i for i, f in enumerate(fragments) for call in f.members}
    space, by_key = _count_by_key(empty, calls, fragment_of_call, lines, kept)
    for counts in list(by_key.values()):
        if (pair := _conflicting_fragments(counts)) is not None:
            a, b = (fragments[i] for i in pair)
            kept |= {
                line
                for part in ("system", "user")
                for line in getattr(a, part).keys() | getattr(b, part).keys()
                if abs(getattr(a, part)[line] / a.n - getattr(b, part)[line] / b.n) >= 0.5
            }
    space, by_key = _count_by_key(empty, calls, fragment_of_call, lines, kept)
    task_of_fragment = list(range(len(fragments)))
    for counts in by_key.values():
        # what one key cannot tell apart is one task; a few strays go with the majority
        top = max(counts, key=lambda i: (counts[i], -i))
        for i, n in counts.items():
            if n > MAX_STRAY * fragments[i].n and n > CONFLICT * counts.total():
                task_of_fragment = [
                    task_of_fragment[top] if h == task_of_fragment[i] else h for h in task_of_fragment
                ]
    task_of_key = {
        key: task_of_fragment[max(counts, key=lambda i: (counts[i], -i))] for key, counts in by_key.items()
    }
    out: dict[int, FoundTask] = {}
    matcher = TemplateMatcher(space)
    for call in calls:
        key = matcher.key(call.example.request)
        task = out.setdefault(task_of_key[key], FoundTask([], set(), empty.signature))
        task.members.append(call)
        task.keys.add(key)
        task.variant[call.index] = key
    return space, sorted(out.values(), key=lambda t: (-len(t.members), t.members[0].index))


def _count_by_key(
    empty: KeySpace,
    calls: Sequence[PromptCall],
    fragment_of_call: dict[int, int],
    lines: RecurringLines,
    kept: set[str],
) -> tuple[KeySpace, dict[str, Counter[int]]]:
    space = msgspec.structs.replace(empty, lines=sorted(lines.lines & kept), heads=sorted(lines.heads & kept))
    matcher = TemplateMatcher(space)
    by_key: dict[str, Counter[int]] = defaultdict(Counter)
    for call in calls:
        by_key[matcher.key(call.example.request)][fragment_of_call[call.index]] += 1
    return space, by_key


def _conflicting_fragments(counts: Counter[int]) -> tuple[int, int] | None:
    top = counts.most_common(2)
    if len(top) < 2 or top[1][1] < max(3, CONFLICT * counts.total()):
        return None
    return top[0][0], top[1][0]


def _calls_of_key(tasks: Sequence[FoundTask]) -> dict[str, list[PromptCall]]:
    """Template key without branch -> its calls."""
    calls: dict[str, list[PromptCall]] = defaultdict(list)
    for task in tasks:
        for call in task.members:
            calls[task.variant[call.index].partition("~")[0]].append(call)
    return dict(sorted(calls.items()))


def _join_across_signatures(found: list[FoundTask]) -> list[FoundTask]:
    """Joins tasks with one template and different signatures: first and later turns, two versions of a schema."""
    out: list[FoundTask] = []
    for task in sorted(found, key=lambda t: -len(t.members)):
        same = next((t for t in out if _same_template(t, task)), None)
        if same is None:
            out.append(task)
            continue
        same.members = same.members + task.members
        same.keys = same.keys | task.keys
        same.variant = {**same.variant, **task.variant}
    return out


def _same_template(a: FoundTask, b: FoundTask) -> bool:
    if a.signature == b.signature or a.split or b.split or a.routable != b.routable:
        return False
    if _tool_names(a) != _tool_names(b):
        return False
    mine, theirs = _system_segments(a), _system_segments(b)
    if not mine or not theirs:
        return False
    names = mine.keys() | theirs.keys()
    both = sum(min(mine.get(u, 0.0), theirs.get(u, 0.0)) for u in names)
    alike = both / sum(max(mine.get(u, 0.0), theirs.get(u, 0.0)) for u in names)
    if alike < 0.8:
        return False
    users = _user_segments(a), _user_segments(b)
    if (users[0] or users[1]) and len(users[0] & users[1]) < 0.5 * len(users[0] | users[1]):
        return False
    return same_kind(profile(call.reply for call in a.members), profile(call.reply for call in b.members))


def _tool_names(task: FoundTask) -> frozenset[str]:
    tools = task.members[0].example.request.tools or ()
    return frozenset(str(t.get("function", {}).get("name", "")) for t in tools if isinstance(t, dict))


def _system_segments(task: FoundTask) -> dict[str, float]:
    sample = task.members[:200]
    counts = Counter(u.norm for call in sample for u in set(call.system) if u.norm)
    return {u: n / len(sample) for u, n in counts.items() if n >= 0.5 * len(sample)}


def _user_segments(task: FoundTask) -> set[str]:
    sample = task.members[:200]
    counts = Counter(u.norm for call in sample for u in set(call.user) if u.norm)
    return {
        u for u, n in counts.items() if n >= FIXED_SHARE * len(sample) and len(task.members) >= MIN_SUPPORT
    }
