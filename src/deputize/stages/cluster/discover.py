"""Finds the tasks in a set of calls: by structure, then recurring lines, then the merge step, then meaning."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deputize.core.progress import Progress, silent
from deputize.core.records import BranchClassifier, Example, KeySpace
from deputize.core.signature import has_media, signature
from deputize.core.template_key import TemplateMatcher
from deputize.stages.cluster.merge import Fragment, merge
from deputize.stages.cluster.recurring_lines import (
    MIN_SUPPORT,
    PromptCall,
    RecurringLines,
    UnitSplitter,
    file_items,
    find_lines,
    item,
)
from deputize.stages.cluster.replies import profile, read_reply, same_kind
from deputize.stages.cluster.semantic_split import heterogeneous, split

CONSTANT = 0.9
CONFLICT = 0.02
"""From this share on, calls of another task under one template key count as a conflict."""
MAX_STRAY = 0.1


@dataclass(slots=True)
class FoundTask:
    """One task as it was found."""

    members: list[PromptCall]
    keys: set[str]
    signature: str
    variant: dict[int, str] = field(default_factory=dict)
    """Item index -> its template key."""
    routable: bool = True
    """False for calls whose tools differ from call to call: no fixed signature leads to them."""
    split: bool = False


def find_tasks(
    examples: Sequence[Example],
    *,
    min_origins: int = 1,
    models_dir: Path | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[list[FoundTask], list[KeySpace]]:
    """The tasks in a set of calls, largest first, and the key spaces that lead a request to them.

    Args:
        examples: the calls.
        min_origins: what fewer data subjects hold is in no key space.
        models_dir: where the embedder lies, if it was fetched.
        seed: of every random draw.
        progress: told of each step.
    """
    read = UnitSplitter()
    groups: dict[str, list[PromptCall]] = defaultdict(list)
    for i, example in enumerate(examples):
        if not has_media(example.request):
            groups[signature(example.request)].append(item(i, example, read_reply(example.response), read))
        progress("reading prompts", i + 1, len(examples))
    groups, varied = _by_tools(groups)
    found: list[FoundTask] = []
    keyspaces: list[KeySpace] = []
    for n, (sign, items) in enumerate(sorted(groups.items(), key=lambda kv: (-len(kv[1]), kv[0]))):
        progress("finding tasks", n, len(groups))
        tasks, space = _group_tasks(sign, items, min_origins, models_dir, seed, progress)
        found.extend(tasks)
        keyspaces.append(space)
    for sign, items in varied.items():
        tasks, _ = _group_tasks(sign, items, min_origins, models_dir, seed, progress)
        for task in tasks:
            task.routable = False
        found.extend(tasks)
    found = _across(found)
    progress("finding tasks", len(groups), len(groups))
    return sorted(found, key=lambda t: (-len(t.members), t.members[0].index)), keyspaces


def _by_tools(
    groups: dict[str, list[PromptCall]],
) -> tuple[dict[str, list[PromptCall]], dict[str, list[PromptCall]]]:
    """Groups with a signature that comes again, and those whose tools or schema vary, pooled by what they share."""
    fixed: dict[str, list[PromptCall]] = {}
    varied: dict[str, list[PromptCall]] = defaultdict(list)
    for sign, items in groups.items():
        request = items[0].example.request
        if len(items) >= MIN_SUPPORT or not (request.tools or request.response_format):
            fixed[sign] = items
        else:
            form = (request.response_format or {}).get("type", "")
            varied[f"varied:{bool(request.tools)}:{form}:{bool(items[0].system)}"].extend(items)
    if not fixed and sum(map(len, varied.values())) < 4 * MIN_SUPPORT:
        # a handful of calls in all: nothing can be said of what varies
        return groups, {}
    few = {sign: items for sign, items in groups.items() if sign not in fixed}
    for pool, items in list(varied.items()):
        signs = {signature(it.example.request) for it in items}
        if len(signs) < 4:
            # few signatures with few calls each are small sites, not a site whose tools vary
            fixed.update({sign: few[sign] for sign in signs})
            del varied[pool]
    return fixed, dict(varied)


def _group_tasks(
    sign: str,
    items: list[PromptCall],
    min_origins: int,
    models_dir: Path | None,
    seed: int,
    progress: Progress,
) -> tuple[list[FoundTask], KeySpace]:
    lines = find_lines(items, min_origins)
    fragments = merge(file_items(items, lines))
    space, tasks = _keyed(sign, items, fragments, lines)
    out: list[FoundTask] = []
    forks: dict[str, BranchClassifier] = {}
    for task in tasks:
        made = _as_fragment(task, space)
        if not heterogeneous(made):
            out.append(task)
            continue
        parts, fork = split(
            made, min_origins=min_origins, models_dir=models_dir, seed=seed, progress=progress
        )
        if fork is None:
            out.append(task)
            continue
        forks.update(dict.fromkeys(task.keys, fork))
        for branch, members in enumerate(parts):
            variant = {it.index: f"{task.variant[it.index]}~{branch}" for it in members}
            keys = {f"{key}~{branch}" for key in task.keys}
            out.append(FoundTask(members, keys, sign, variant, split=True))
    spaced = KeySpace(
        signature=sign,
        lines=space.lines,
        heads=space.heads,
        max_unknown_lines=_limits(space, tasks),
        branch_classifiers=forks,
    )
    return out, spaced


def _as_fragment(task: FoundTask, space: KeySpace) -> Fragment:
    reader = TemplateMatcher(space)
    made = Fragment(task.members, profile(it.reply for it in task.members))
    for it in task.members:
        system, user = reader.recognise_opening(it.example.request)
        made.system.update(system.known)
        made.user.update(user.known)
    return made


def _keyed(
    sign: str, items: Sequence[PromptCall], fragments: Sequence[Fragment], lines: RecurringLines
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
        if n >= CONSTANT * f.n and (f.n >= MIN_SUPPORT or len(fragments) == 1)
    }
    owner = {it.index: i for i, f in enumerate(fragments) for it in f.members}
    space, by_key = _file(sign, items, owner, lines, kept)
    for counts in list(by_key.values()):
        if (pair := _conflict(counts)) is not None:
            a, b = (fragments[i] for i in pair)
            kept |= {
                line
                for part in ("system", "user")
                for line in getattr(a, part).keys() | getattr(b, part).keys()
                if abs(getattr(a, part)[line] / a.n - getattr(b, part)[line] / b.n) >= 0.5
            }
    space, by_key = _file(sign, items, owner, lines, kept)
    home = list(range(len(fragments)))
    for counts in by_key.values():
        # what one key cannot tell apart is one task; a few strays go with the majority
        top = max(counts, key=lambda i: (counts[i], -i))
        for i, n in counts.items():
            if n > MAX_STRAY * fragments[i].n and n > CONFLICT * counts.total():
                home = [home[top] if h == home[i] else h for h in home]
    key_home = {key: home[max(counts, key=lambda i: (counts[i], -i))] for key, counts in by_key.items()}
    out: dict[int, FoundTask] = {}
    reader = TemplateMatcher(space)
    for it in items:
        key = reader.key(it.example.request)
        task = out.setdefault(key_home[key], FoundTask([], set(), sign))
        task.members.append(it)
        task.keys.add(key)
        task.variant[it.index] = key
    return space, sorted(out.values(), key=lambda t: (-len(t.members), t.members[0].index))


def _file(
    sign: str, items: Sequence[PromptCall], owner: dict[int, int], lines: RecurringLines, kept: set[str]
) -> tuple[KeySpace, dict[str, Counter[int]]]:
    space = KeySpace(signature=sign, lines=sorted(lines.lines & kept), heads=sorted(lines.heads & kept))
    reader = TemplateMatcher(space)
    by_key: dict[str, Counter[int]] = defaultdict(Counter)
    for it in items:
        by_key[reader.key(it.example.request)][owner[it.index]] += 1
    return space, by_key


def _conflict(counts: Counter[int]) -> tuple[int, int] | None:
    top = counts.most_common(2)
    if len(top) < 2 or top[1][1] < max(3, CONFLICT * counts.total()):
        return None
    return top[0][0], top[1][0]


def _limits(space: KeySpace, tasks: Sequence[FoundTask]) -> dict[str, int]:
    """How many unknown lines the system prompt may have, by key: as many as were seen, with room where they vary."""
    reader = TemplateMatcher(space)
    seen: dict[str, set[int]] = defaultdict(set)
    for task in tasks:
        for it in task.members:
            if it.system:
                system, _ = reader.recognise_opening(it.example.request)
                seen[task.variant[it.index].partition("~")[0]].add(system.n_unknown)
    return {key: max(n) if len(n) == 1 else max(n) * 3 // 2 + 2 for key, n in sorted(seen.items())}


def _across(found: list[FoundTask]) -> list[FoundTask]:
    """Joins tasks of different signatures with one template: first and later turns, two versions of a schema."""
    out: list[FoundTask] = []
    for task in sorted(found, key=lambda t: -len(t.members)):
        home = next((t for t in out if _same_template(t, task)), None)
        if home is None:
            out.append(task)
            continue
        home.members = home.members + task.members
        home.keys = home.keys | task.keys
        home.variant = {**home.variant, **task.variant}
    return out


def _same_template(a: FoundTask, b: FoundTask) -> bool:
    if a.signature == b.signature or a.split or b.split or a.routable != b.routable:
        return False
    if _tool_names(a) != _tool_names(b):
        return False
    mine, theirs = _system_units(a), _system_units(b)
    if not mine or not theirs:
        return False
    names = mine.keys() | theirs.keys()
    both = sum(min(mine.get(u, 0.0), theirs.get(u, 0.0)) for u in names)
    alike = both / sum(max(mine.get(u, 0.0), theirs.get(u, 0.0)) for u in names)
    if alike < 0.8:
        return False
    users = _user_units(a), _user_units(b)
    if (users[0] or users[1]) and len(users[0] & users[1]) < 0.5 * len(users[0] | users[1]):
        return False
    return same_kind(profile(it.reply for it in a.members), profile(it.reply for it in b.members))


def _tool_names(task: FoundTask) -> frozenset[str]:
    tools = task.members[0].example.request.tools or ()
    return frozenset(str(t.get("function", {}).get("name", "")) for t in tools if isinstance(t, dict))


def _system_units(task: FoundTask) -> dict[str, float]:
    sample = task.members[:200]
    counts = Counter(u.norm for it in sample for u in set(it.system) if u.norm)
    return {u: n / len(sample) for u, n in counts.items() if n >= 0.5 * len(sample)}


def _user_units(task: FoundTask) -> set[str]:
    sample = task.members[:200]
    counts = Counter(u.norm for it in sample for u in set(it.user) if u.norm)
    return {u for u, n in counts.items() if n >= CONSTANT * len(sample) and len(task.members) >= MIN_SUPPORT}
