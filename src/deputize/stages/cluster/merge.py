"""The merge step: joins fragments of prompts that are one job in other words or with optional parts.

Two fragments are joined where their output contracts, answers and fixed lines agree, and, where their wording
differs, only if a cheap classifier serves both together as well as each alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from deputize.stages.cluster.recurring_lines import MIN_SUPPORT, Parts, PromptCall
from deputize.stages.cluster.replies import Profile, closed, overlap, profile, same_kind
from deputize.stages.cluster.separability import serves_both

CONSTANT = 0.9
"""A line is fixed in a fragment when so many of its calls have it."""
OPTIONAL_TEXT, OPTIONAL_STRICT = 0.5, 0.7
"""Share of the fixed characters that may be there in one fragment and not in the other, by kind of answer."""
REWORDED_TEXT, REWORDED_WEAK, REWORDED_STRICT = 0.5, 0.35, 0.1
"""How alike two different wordings must be (cosine of their pairs of words), by how much the answers say already."""
MEDLEY_CHARS = 40
"""A longer fixed part of the user's message is taken for an instruction, whatever comes back."""
FAMILY = 0.5
"""Handfuls of calls are of one family when they share this much of their known lines, rare ones weighing more."""

_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(slots=True)
class Fragment:
    """Calls thought to be of one task."""

    members: list[PromptCall]
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


def fragment(members: Sequence[PromptCall], key: tuple[Parts, Parts]) -> Fragment:
    """The fragment of calls filed under one key."""
    n = len(members)
    return Fragment(
        list(members),
        profile(it.reply for it in members),
        Counter(dict.fromkeys(key[0], n)),
        Counter(dict.fromkeys(key[1], n)),
    )


def merge(filed: dict[tuple[Parts, Parts], list[PromptCall]]) -> list[Fragment]:
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
    left: list[Fragment] = []
    for made in small:
        home = _home(made, tasks, _belongs)
        if home is not None:
            home.take(made)
        else:
            left.append(made)
    rest: dict[tuple[str, ...], Fragment] = {}
    for made in _families(left, ordered):
        if made.n >= MIN_SUPPORT:
            tasks.append(made)
            continue
        # what no template fits is kept together under its system prompt
        prompt = tuple(made.fixed(made.system))
        if prompt in rest:
            rest[prompt].take(made)
        else:
            rest[prompt] = made
    tasks.extend(rest.values())
    _settle(tasks, joinable)
    return sorted(tasks, key=lambda t: (-t.n, t.members[0].index))


def _families(
    small: Sequence[Fragment], filed: Sequence[tuple[tuple[Parts, Parts], list[PromptCall]]]
) -> list[Fragment]:
    """Handfuls of calls joined by the known lines they share: templates with many optional parts."""
    df: Counter[str] = Counter()
    for (system, user), members in filed:
        for line in {*system, *user}:
            df[line] += len(members)
    n = sum(len(members) for _, members in filed)
    weight = {line: math.log(1 + n / count) for line, count in df.items()}
    out: list[Fragment] = []
    for made in small:
        marks = made.system.keys() | made.user.keys()
        near = [(_kinship(marks, family, weight), -i) for i, family in enumerate(out)]
        best, place = max(near, default=(0.0, 0))
        if best >= FAMILY and _shapes_meet(made.profile, out[-place].profile):
            out[-place].take(made)
        else:
            out.append(made)
    return out


def _kinship(marks: Iterable[str], family: Fragment, weight: dict[str, float]) -> float:
    theirs = {line: n / family.n for line, n in (family.system + family.user).items()}
    mine = dict.fromkeys(marks, 1.0)
    names = mine.keys() | theirs.keys()
    both = sum(weight[x] * min(mine.get(x, 0.0), theirs.get(x, 0.0)) for x in names)
    either = sum(weight[x] * max(mine.get(x, 0.0), theirs.get(x, 0.0)) for x in names)
    return both / either if either else 0.0


def _shapes_meet(a: Profile, b: Profile) -> bool:
    return sum(n for shape, n in a.shapes.items() if b.shapes[shape]) >= 0.5 * a.n


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
    if _same_medley(a, b):
        return True
    if not same_kind(a.profile, b.profile):
        return False
    strict = _telling(a.profile, b.profile)
    limit = OPTIONAL_STRICT if strict else OPTIONAL_TEXT
    parts = [(a.fixed(a.system), b.fixed(b.system)), (a.fixed(a.user), b.fixed(b.user))]
    common = sum(_chars(mine & theirs) for mine, theirs in parts)
    shared = any(mine & theirs or not (mine or theirs) for mine, theirs in parts)
    reworded: list[tuple[set[str], set[str]]] = []
    optional = False
    for mine, theirs in parts:
        only_a, only_b = mine - theirs, theirs - mine
        if only_a and only_b:
            reworded.append((only_a, only_b))
        elif extra := only_a or only_b:
            # a part that is wholly fixed here and wholly free there is an instruction, not an option
            if not strict and not mine & theirs:
                return False
            if _chars(extra) > limit * (common + _chars(extra)):
                return False
            optional = True
    if not reworded:
        return shared and (strict or not optional or serves_both(a.members, b.members))
    if _is_medley(a) or _is_medley(b):
        return False
    need = REWORDED_STRICT if strict else (REWORDED_TEXT if _is_text(a.profile) else REWORDED_WEAK)
    if any(cosine(x, y) < need for x, y in reworded):
        return False
    return serves_both(a.members, b.members)


def _same_medley(a: Fragment, b: Fragment) -> bool:
    """Whether one prompt stands before both and many kinds of answer come back, in like shares: a line that comes
    and goes there ("One more:") says nothing; what the jobs are is for the semantic split to find."""
    mine, theirs = a.fixed(a.user), b.fixed(b.user)
    if a.fixed(a.system) != b.fixed(b.system) or (mine and theirs) or _chars(mine | theirs) > MEDLEY_CHARS:
        return False
    if not (_is_medley(a) and _is_medley(b)):
        return False
    x, y = a.profile.shapes, b.profile.shapes
    # what two samples of one mixture of k shapes differ by on average
    chance = math.sqrt(len(x.keys() | y.keys()) * (1 / a.n + 1 / b.n) / math.pi)
    return sum(abs(x[s] / a.n - y[s] / b.n) for s in x.keys() | y.keys()) / 2 <= max(0.15, 1.5 * chance)


def _is_medley(made: Fragment) -> bool:
    return max(made.profile.shapes.values()) <= 0.7 * made.n and made.profile.kind() != "tool"


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
    """How alike the pairs of neighbouring words of two sets of lines are."""
    x, y = _words(a), _words(b)
    dot = sum(n * y[word] for word, n in x.items())
    norm = (sum(n * n for n in x.values()) * sum(n * n for n in y.values())) ** 0.5
    return float(dot / norm) if norm else 0.0


def _words(lines: Iterable[str]) -> Counter[tuple[str, str]]:
    return Counter(pair for line in lines for pair in pairwise(["", *_WORD.findall(line.lower()), ""]))
