"""The merge step: joins groups of calls whose prompts are one job in other words or with optional parts.

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

from deputize.stages.cluster.recurring_lines import LONG_CHARS, MIN_SUPPORT, LineSet, PromptCall
from deputize.stages.cluster.reply_profiles import Profile, closed, is_silent, overlap, profile, same_kind
from deputize.stages.cluster.separability import serves_both

FIXED_SHARE = 0.9
"""A line is fixed in a fragment when so many of its calls have it."""
OPTIONAL_TEXT, OPTIONAL_STRICT = 0.5, 0.7
"""Share of the fixed characters that may be there in one fragment and not in the other, by kind of answer."""
REWORDED_TEXT, REWORDED_WEAK, REWORDED_STRICT = 0.5, 0.35, 0.1
"""The cosine of their pairs of words that two wordings must have, the less the replies say already the more."""
SAME_SYSTEM = 0.8
"""Share of the fixed characters of two system prompts that calls without replies have in common if they are one
agent's."""
MIXTURE_CHARS = 40
"""A longer fixed part of the user's message is taken for an instruction, whatever the replies look like."""
SMALL_TASK = 5
"""Calls with one long line in common that are a task of their own where they fit no other."""
SHARED_LINES = 0.5
"""Small fragments are joined when they share this much of their known lines, long and frequent ones weighing more."""
MIN_FORM = 2
"""Replies of one form among calls that fit no template from which it parts them from the others."""
MOST_CHARS = 120
"""Characters from which a longer line weighs no more."""

_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(slots=True)
class Fragment:
    """Calls thought to be of one task."""

    members: list[PromptCall]
    profile: Profile
    system: Counter[str] = field(default_factory=Counter)
    """Known segment of the system text -> members that have it."""
    user: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, members: Sequence[PromptCall], lines: tuple[LineSet, LineSet]) -> Fragment:
        """The fragment of calls that all have the same known lines in the system text and in the user text."""
        n = len(members)
        system, user = (Counter(dict.fromkeys(part, n)) for part in lines)
        return cls(list(members), profile(call.reply for call in members), system, user)

    @property
    def n(self) -> int:
        """The number of calls."""
        return len(self.members)

    def fixed(self, part: Counter[str]) -> set[str]:
        """The lines of a part (system or user) that nearly every call has."""
        return {line for line, n in part.items() if n >= FIXED_SHARE * self.n}

    def has_template(self) -> bool:
        """Check whether nearly every call has a long line in the user's message."""
        return any(len(line) >= LONG_CHARS for line in self.fixed(self.user))

    def absorb(self, other: Fragment) -> None:
        """Joins another fragment to this one."""
        self.members = self.members + other.members
        self.profile = profile(call.reply for call in self.members)
        self.system = self.system + other.system
        self.user = self.user + other.user


def merge(
    groups: dict[tuple[LineSet, LineSet], list[PromptCall]], *, is_one_job: bool = False
) -> list[Fragment]:
    """The fragments of one signature group, joined; largest first.

    Args:
        groups: calls by their known lines (`recurring_lines.group_by_lines`).
        is_one_job: the replies of all calls follow from lists in their requests (`varying_lists`): lines of the user's
            message that come and go part no jobs, those of the system prompt do.
    """
    ordered = sorted(groups.items(), key=lambda kv: (-len(kv[1]), kv[0]))
    tasks: list[Fragment] = []
    small: list[Fragment] = []
    for lines, members in ordered:
        fragment = Fragment.of(members, lines)
        if fragment.n < MIN_SUPPORT and tasks:
            small.append(fragment)
        elif (target := _closest(fragment, tasks, joinable)) is not None:
            target.absorb(fragment)
        else:
            tasks.append(fragment)
    _join_until_stable(tasks, joinable)
    left: list[Fragment] = []
    for fragment in small:
        target = _closest(fragment, tasks, _belongs)
        if target is not None:
            target.absorb(fragment)
        else:
            left.append(fragment)
    tasks.extend(_small_tasks(_join_by_shared_lines(left, ordered)))
    _join_until_stable(tasks, _have_one_system_prompt if is_one_job else joinable)
    return sorted(tasks, key=lambda t: (-t.n, t.members[0].index))


def _join_by_shared_lines(
    small: Sequence[Fragment], groups: Sequence[tuple[tuple[LineSet, LineSet], list[PromptCall]]]
) -> list[Fragment]:
    """Small fragments joined by the known lines they share: templates with many optional parts."""
    df: Counter[str] = Counter()
    for (system, user), members in groups:
        for line in {*system, *user}:
            df[line] += len(members)
    # a template is long lines of many calls; what calls have in common by chance is short, or in few of them
    weight = {line: min(len(line), MOST_CHARS) * math.sqrt(count) for line, count in df.items()}
    out: list[Fragment] = []
    for fragment in small:
        marks = fragment.system.keys() | fragment.user.keys()
        near = [(_weighted_overlap(marks, family, weight), -i) for i, family in enumerate(out)]
        best, place = max(near, default=(0.0, 0))
        if best >= SHARED_LINES and _share_shapes(fragment.profile, out[-place].profile):
            out[-place].absorb(fragment)
        else:
            out.append(fragment)
    return out


def _small_tasks(fragments: Sequence[Fragment]) -> list[Fragment]:
    """Small fragments with a template of their own; the others joined under their system prompt and their form of
    reply.

    Objects of other fields, or code and prose, cannot be one task, however few calls there are of each.
    """
    out: list[Fragment] = []
    rest: dict[tuple[str, ...], Fragment] = {}
    shapes = sum((fragment.profile.shapes for fragment in fragments), Counter[str]())
    for fragment in fragments:
        if fragment.n >= MIN_SUPPORT or (fragment.n >= SMALL_TASK and fragment.has_template()):
            out.append(fragment)
            continue
        form = max(fragment.profile.shapes, key=lambda shape: (fragment.profile.shapes[shape], shape))
        if form in ("short", "text", "empty") or shapes[form] < MIN_FORM:
            # a text of about eight words is now short, now not, and a heading that comes once is words
            form = "text"
        mark = (*sorted(fragment.fixed(fragment.system)), form)
        if mark in rest:
            rest[mark].absorb(fragment)
        else:
            rest[mark] = fragment
    return [*out, *rest.values()]


def _weighted_overlap(marks: Iterable[str], family: Fragment, weight: dict[str, float]) -> float:
    theirs = {line: n / family.n for line, n in (family.system + family.user).items()}
    mine = dict.fromkeys(marks, 1.0)
    names = mine.keys() | theirs.keys()
    both = sum(weight[x] * min(mine.get(x, 0.0), theirs.get(x, 0.0)) for x in names)
    either = sum(weight[x] * max(mine.get(x, 0.0), theirs.get(x, 0.0)) for x in names)
    return both / either if either else 0.0


def _share_shapes(a: Profile, b: Profile) -> bool:
    return sum(n for shape, n in a.shapes.items() if b.shapes[shape]) >= 0.5 * a.n


def _closest(
    fragment: Fragment, tasks: Iterable[Fragment], test: Callable[[Fragment, Fragment], bool]
) -> Fragment | None:
    """Of the tasks that pass the test, the one with the most lines in common."""
    near = sorted(
        tasks, key=lambda task: (-_overlap_of_fixed_lines(fragment, task), -task.n, task.members[0].index)
    )
    return next((task for task in near if test(fragment, task)), None)


def _join_until_stable(tasks: list[Fragment], test: Callable[[Fragment, Fragment], bool]) -> None:
    """Joins tasks until no two of them pass the test."""
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
                    tasks[i].absorb(tasks.pop(j))
                    joined = True
                else:
                    refused.add(mark)


def _overlap_of_fixed_lines(a: Fragment, b: Fragment) -> float:
    mine, theirs = {*a.fixed(a.system), *a.fixed(a.user)}, {*b.fixed(b.system), *b.fixed(b.user)}
    either = len(mine | theirs)
    return len(mine & theirs) / either if either else 0.0


def _chars(lines: Iterable[str]) -> int:
    return sum(map(len, lines))


def _belongs(fragment: Fragment, task: Fragment) -> bool:
    """Check whether a few calls belong to a task: they have its fixed lines and replies of its shapes."""
    for part, theirs in (
        (set(fragment.system), task.fixed(task.system)),
        (set(fragment.user), task.fixed(task.user)),
    ):
        if theirs and _chars(part & theirs) < 0.8 * _chars(theirs):
            return False
    if not task.fixed(task.user) and fragment.user and task.user:
        return False
    known = sum(
        n for shape, n in fragment.profile.shapes.items() if task.profile.shapes[shape] >= 0.02 * task.n
    )
    return known >= 0.5 * fragment.n


def joinable(a: Fragment, b: Fragment) -> bool:
    """Check whether two fragments are one task, or a mixture that the semantic split parts."""
    if is_silent(a.profile) and is_silent(b.profile):
        # nothing but the user's message says what is done, in whatever lines; the instructions are told apart later
        mine, theirs = a.fixed(a.system), b.fixed(b.system)
        return _chars(mine & theirs) >= SAME_SYSTEM * max(_chars(mine), _chars(theirs))
    if _same_mixture(a, b):
        return True
    if not same_kind(a.profile, b.profile):
        return False
    strict = _replies_identify_task(a.profile, b.profile)
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
    if _is_mixture(a) or _is_mixture(b):
        return False
    need = REWORDED_STRICT if strict else (REWORDED_TEXT if _is_text(a.profile) else REWORDED_WEAK)
    if any(cosine(x, y) < need for x, y in reworded):
        return False
    return serves_both(a.members, b.members)


def _have_one_system_prompt(a: Fragment, b: Fragment) -> bool:
    return a.fixed(a.system) == b.fixed(b.system) or joinable(a, b)


def _same_mixture(a: Fragment, b: Fragment) -> bool:
    """Check whether both have one prompt and get a similar mixture of many kinds of reply.

    A line that only some of these calls have ("One more:") says nothing; the semantic split finds the jobs later.
    """
    mine, theirs = a.fixed(a.user), b.fixed(b.user)
    if a.fixed(a.system) != b.fixed(b.system) or (mine and theirs) or _chars(mine | theirs) > MIXTURE_CHARS:
        return False
    if not (_is_mixture(a) and _is_mixture(b)):
        return False
    x, y = a.profile.shapes, b.profile.shapes
    # what two samples of one mixture of k shapes differ by on average
    chance = math.sqrt(len(x.keys() | y.keys()) * (1 / a.n + 1 / b.n) / math.pi)
    return sum(abs(x[s] / a.n - y[s] / b.n) for s in x.keys() | y.keys()) / 2 <= max(0.15, 1.5 * chance)


def _is_mixture(fragment: Fragment) -> bool:
    return max(fragment.profile.shapes.values()) <= 0.7 * fragment.n and fragment.profile.kind() != "tool"


def _replies_identify_task(a: Profile, b: Profile) -> bool:
    """Check whether the replies alone show one task: shared tools, two or more fields, three or more labels."""
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
    """Cosine similarity of the pairs of neighbouring words of two sets of lines, in [0, 1]."""
    x, y = _words(a), _words(b)
    dot = sum(n * y[word] for word, n in x.items())
    norm = (sum(n * n for n in x.values()) * sum(n * n for n in y.values())) ** 0.5
    return float(dot / norm) if norm else 0.0


def _words(lines: Iterable[str]) -> Counter[tuple[str, str]]:
    return Counter(pair for line in lines for pair in pairwise(["", *_WORD.findall(line.lower()), ""]))
