"""The merge step: joins fragments of prompts that are one job in other words or with optional parts.

Two fragments are joined where their output contracts, answers and fixed lines agree, and, where their wording
differs, only if a cheap classifier serves both together as well as each alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from deputize.stages.cluster.answers import Profile, closed, overlap, profile, same_kind
from deputize.stages.cluster.lines import MIN_SUPPORT, Item, Parts
from deputize.stages.cluster.probe import serves_both

CONSTANT = 0.9
"""A line is fixed in a fragment when so many of its calls have it."""
OPTIONAL_TEXT, OPTIONAL_STRICT = 0.3, 0.7
"""Share of the fixed characters that may be there in one fragment and not in the other, by kind of answer."""
REWORDED_TEXT, REWORDED_WEAK, REWORDED_STRICT = 0.6, 0.4, 0.15
"""How alike two different wordings must be (cosine of their words), by how much the answers say already."""

_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(slots=True)
class Fragment:
    """Calls thought to be of one task."""

    members: list[Item]
    profile: Profile
    system: Counter[str] = field(default_factory=Counter)
    """Known unit of the system text -> members that have it."""
    user: Counter[str] = field(default_factory=Counter)

    @property
    def n(self) -> int:
        return len(self.members)

    def fixed(self, part: Counter[str]) -> set[str]:
        return {line for line, n in part.items() if n >= CONSTANT * self.n}

    def take(self, other: Fragment) -> None:
        """Joins another fragment to this one."""
        self.members = self.members + other.members
        self.profile = profile(it.reply for it in self.members)
        self.system = self.system + other.system
        self.user = self.user + other.user


def fragment(members: Sequence[Item], key: tuple[Parts, Parts]) -> Fragment:
    """The fragment of calls filed under one key."""
    n = len(members)
    return Fragment(
        list(members),
        profile(it.reply for it in members),
        Counter(dict.fromkeys(key[0], n)),
        Counter(dict.fromkeys(key[1], n)),
    )


def merge(filed: dict[tuple[Parts, Parts], list[Item]]) -> list[Fragment]:
    """The fragments of one signature group, joined; largest first.

    Args:
        filed: calls by their known lines (`lines.file_items`).
    """
    ordered = sorted(filed.items(), key=lambda kv: (-len(kv[1]), kv[0]))
    tasks: list[Fragment] = []
    small: list[Fragment] = []
    for key, members in ordered:
        made = fragment(members, key)
        if made.n < MIN_SUPPORT and tasks:
            small.append(made)
        elif (home := _home(made, tasks, joinable)) is not None:
            home.take(made)
        else:
            tasks.append(made)
    _settle(tasks, joinable)
    rest: dict[tuple[str, ...], Fragment] = {}
    for made in small:
        home = _home(made, tasks, _belongs)
        if home is not None:
            home.take(made)
            continue
        # what no template fits is kept together under its system prompt
        prompt = tuple(made.system)
        if prompt in rest:
            rest[prompt].take(made)
        else:
            rest[prompt] = made
    tasks.extend(rest.values())
    _settle(tasks, joinable)
    return sorted(tasks, key=lambda t: (-t.n, t.members[0].index))


def _home(
    made: Fragment, tasks: Iterable[Fragment], test: Callable[[Fragment, Fragment], bool]
) -> Fragment | None:
    """The task with the most lines in common among those that pass the test."""
    near = sorted(tasks, key=lambda task: (-_likeness(made, task), -task.n, task.members[0].index))
    return next((task for task in near if test(made, task)), None)


def _settle(tasks: list[Fragment], test: Callable[[Fragment, Fragment], bool]) -> None:
    """Joins until no two tasks pass the test."""
    refused: set[tuple[int, int, int, int]] = set()
    joined = True
    while joined:
        joined = False
        tasks.sort(key=lambda t: (-t.n, t.members[0].index))
        for i in range(len(tasks)):
            for j in range(len(tasks) - 1, i, -1):
                mark = (id(tasks[i]), tasks[i].n, id(tasks[j]), tasks[j].n)
                if mark in refused:
                    continue
                if test(tasks[j], tasks[i]):
                    tasks[i].take(tasks.pop(j))
                    joined = True
                else:
                    refused.add(mark)


def _likeness(a: Fragment, b: Fragment) -> float:
    mine, theirs = {*a.fixed(a.system), *a.fixed(a.user)}, {*b.fixed(b.system), *b.fixed(b.user)}
    either = len(mine | theirs)
    return len(mine & theirs) / either if either else 0.0


def _chars(lines: Iterable[str]) -> int:
    return sum(map(len, lines))


def _belongs(made: Fragment, task: Fragment) -> bool:
    """Whether a handful of calls are of a task: they have its fixed lines and answers of its shapes."""
    for part, theirs in (
        (set(made.system), task.fixed(task.system)),
        (set(made.user), task.fixed(task.user)),
    ):
        if theirs and _chars(part & theirs) < 0.8 * _chars(theirs):
            return False
    if not task.fixed(task.user) and made.user and task.user:
        return False
    known = sum(n for shape, n in made.profile.shapes.items() if task.profile.shapes[shape] >= 0.02 * task.n)
    return known >= 0.5 * made.n


def joinable(a: Fragment, b: Fragment) -> bool:
    """Whether two fragments are one task."""
    if not same_kind(a.profile, b.profile):
        return False
    strict = _telling(a.profile, b.profile)
    reworded: list[tuple[set[str], set[str]]] = []
    shared = False
    for mine, theirs in ((a.fixed(a.system), b.fixed(b.system)), (a.fixed(a.user), b.fixed(b.user))):
        # a line the other side has now and then is optional, not another wording
        common = mine & theirs
        only_a, only_b = mine - theirs, theirs - mine
        shared = shared or bool(common) or not (mine or theirs)
        if only_a and only_b:
            reworded.append((only_a, only_b))
        elif extra := only_a or only_b:
            limit = OPTIONAL_STRICT if strict else OPTIONAL_TEXT
            if _chars(extra) > limit * (_chars(common) + _chars(extra)):
                return False
    if not reworded:
        return shared
    need = REWORDED_STRICT if strict else (REWORDED_TEXT if _is_text(a.profile) else REWORDED_WEAK)
    if any(cosine(x, y) < need for x, y in reworded):
        return False
    return serves_both(a.members, b.members)


def _telling(a: Profile, b: Profile) -> bool:
    """Whether the answers alone say much: tools, two or more shared fields, three or more shared labels."""
    kind = a.kind()
    if kind == "tool":
        return overlap(a.tools, b.tools) >= 0.5
    if kind == "json":
        return len(a.fields.keys() & b.fields.keys()) >= 2
    if kind == "short":
        return closed(a.short, a.n) and len(a.short.keys() & b.short.keys()) >= 3
    return False


def _is_text(p: Profile) -> bool:
    return p.kind() not in ("tool", "json", "short")


def cosine(a: Iterable[str], b: Iterable[str]) -> float:
    """How alike the words of two sets of lines are."""
    x, y = _words(a), _words(b)
    dot = sum(n * y[word] for word, n in x.items())
    norm = (sum(n * n for n in x.values()) * sum(n * n for n in y.values())) ** 0.5
    return float(dot / norm) if norm else 0.0


def _words(lines: Iterable[str]) -> Counter[str]:
    return Counter(word for line in lines for word in _WORD.findall(line.lower()))
