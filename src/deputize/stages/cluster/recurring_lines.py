"""Finds the recurring lines of the prompts of one structural signature, and files the calls by those they have.

References:
    Recurring-line templates inside a structural signature: docs/concepts/tasks.md.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from deputize.core.prompt_units import head_of, normalise, units
from deputize.core.records import Example
from deputize.core.subjects import Subjects
from deputize.core.template_key import opening
from deputize.stages.cluster.replies import Profile, ReplyFacts, closed, overlap, profile

MIN_SUPPORT, MIN_SHARE = 8, 0.02
ROUNDS = 4
VERBATIM_SHARE = 0.9
MAX_VARIANTS = 6
"""So many verbatim forms of one normalised line are kept apart; more are values."""

DECIDING_SHARE = 0.15
"""A label is one that says what is to be done when values that decide it have this share of its calls."""

Parts = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PromptUnit:
    """One unit of a prompt in the three forms it can be recognised by."""

    raw: str
    norm: str
    head: str


@dataclass(slots=True)
class PromptCall:
    """One call as discovery works on it."""

    index: int
    example: Example
    reply: ReplyFacts
    system: tuple[PromptUnit, ...]
    user: tuple[PromptUnit, ...]
    opening: tuple[str, str]
    group: str


@dataclass(slots=True)
class RecurringLines:
    """What is recognised in the prompts of one signature group."""

    lines: set[str] = field(default_factory=set)
    heads: set[str] = field(default_factory=set)


class UnitSplitter:
    """Cuts texts into units; remembers them, for system prompts come again and again."""

    def __init__(self) -> None:
        self._memo: dict[str, tuple[PromptUnit, ...]] = {}
        self._units: dict[str, PromptUnit] = {}

    def __call__(self, text: str) -> tuple[PromptUnit, ...]:
        known = self._memo.get(text)
        if known is None:
            known = tuple(map(self._unit, units(text)))
            self._memo[text] = known
        return known

    def _unit(self, raw: str) -> PromptUnit:
        unit = self._units.get(raw)
        if unit is None:
            unit = PromptUnit(raw, normalise(raw), head_of(raw))
            if sum(map(str.isalpha, raw)) < 2:
                # rules, brackets and bare numbers say nothing of the task
                unit = PromptUnit(raw, "", "")
            self._units[raw] = unit
        return unit


def item(index: int, example: Example, reply: ReplyFacts, read: UnitSplitter) -> PromptCall:
    """A call with its opening cut into units."""
    system, user = opening(example.request)
    group = example.group or example.episode or example.call_id
    return PromptCall(index, example, reply, read(system), read(user), (system, user), group)


def find_lines(items: Sequence[PromptCall], least: int = 1) -> RecurringLines:
    """The recurring lines and heads of the calls of one signature, found in rounds on what is left unfiled.

    A line recurs when at least max(8, 2 %) of the distinct openings have it (an opening counts once per group: the
    calls of one episode share it). What the first round leaves with no line of its own is searched again, so that
    a task of few calls is found beside one of many. Of an agent's conversations only the system prompt is read: what
    comes first from the user is a person's request, and its lines recur with the person, not with the task.

    Args:
        items: the calls.
        least: a line that fewer data subjects have is none, however often it recurs.
    """
    found = RecurringLines()
    rest = list(items)
    talks = _are_talks(items)
    for number in range(ROUNDS):
        before = len(found.lines) + len(found.heads)
        _search(rest, found, least, first=number == 0, system_only=talks)
        if len(found.lines) + len(found.heads) == before:
            break
        if talks:
            break
        filed = file_items(items, found)
        rest = [
            it for key, members in filed.items() if not key[1] or len(members) < MIN_SUPPORT for it in members
        ]
        if len(rest) < 2 * MIN_SUPPORT:
            break
    return found


def _are_talks(items: Sequence[PromptCall]) -> bool:
    """Whether the calls are steps of conversations in which tools are used."""
    if not items[0].example.request.tools:
        return False
    later = sum(
        any(m.get("role") in ("assistant", "tool") for m in it.example.request.messages) for it in items
    )
    return later >= 0.2 * len(items)


def _search(
    items: Sequence[PromptCall], found: RecurringLines, least: int, *, first: bool, system_only: bool
) -> None:
    weight, total = _weights(items)
    if total < 16 and not first:
        return
    need = max(MIN_SUPPORT, math.ceil(MIN_SHARE * total)) if total >= 16 else max(2, math.ceil(total / 2))
    by_norm: Counter[str] = Counter()
    by_head: Counter[str] = Counter()
    raws: dict[str, Counter[str]] = defaultdict(Counter)

    def units_of(it: PromptCall) -> set[PromptUnit]:
        return {*it.system} if system_only else {*it.system, *it.user}

    for it, w in weight:
        present = units_of(it)
        for unit in present:
            raws[unit.norm][unit.raw] += w
        for norm in {unit.norm for unit in present}:
            by_norm[norm] += w
        for head in {unit.head for unit in present}:
            by_head[head] += w
    by_norm.pop("", None)
    by_head.pop("", None)
    recurring = {norm for norm, n in by_norm.items() if n >= need}
    heads = {h for h, n in by_head.items() if n >= need}
    if least > 1:
        often = {raw for norm in recurring for raw, c in raws[norm].items() if c >= need}
        maybe = recurring | heads | often
        common = Subjects([it.example.subject for it in items], least).shared(
            {text for unit in units_of(it) for text in (unit.raw, unit.norm, unit.head)} & maybe
            for it in items
        )
        recurring &= common
        heads &= common
        raws = {norm: Counter({r: c for r, c in raws[norm].items() if r in common}) for norm in recurring}
    values = _value_lines(items, recurring, heads, by_norm, by_head)
    for norm in recurring - values:
        found.lines.update(_forms(norm, raws[norm], by_norm[norm], need))
    fixed = {head_of(line) for line in found.lines}
    taken: Counter[str] = Counter()
    for norm in recurring - values:
        taken[head_of(norm)] += by_norm[norm]
    # a label that only ever stands before lines that recur as a whole adds nothing to them
    found.heads.update(h for h in heads if h not in fixed or by_head[h] > 1.25 * taken[h])


def _weights(items: Sequence[PromptCall]) -> tuple[list[tuple[PromptCall, int]], int]:
    """The first call of each distinct opening with the number of groups it came from, and the sum of those."""
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    calls: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], PromptCall] = {}
    for it in items:
        groups[it.opening].add(it.group)
        calls[it.opening] += 1
        first.setdefault(it.opening, it)
    counts = {text: len(g) for text, g in groups.items()}
    if sum(counts.values()) < 16:
        counts = dict(calls)
    return [(first[text], n) for text, n in counts.items()], sum(counts.values())


def _forms(norm: str, raws: Counter[str], n: int, need: int) -> list[str]:
    """The forms of a recurring line to look for: verbatim where it hardly varies, else normalised."""
    frequent = [(raw, c) for raw, c in raws.items() if c >= need]
    if frequent and len(frequent) <= MAX_VARIANTS and sum(c for _, c in frequent) >= VERBATIM_SHARE * n:
        return [raw for raw, _ in frequent]
    return [norm]


def _value_lines(
    items: Sequence[PromptCall],
    recurring: set[str],
    heads: set[str],
    by_norm: Counter[str],
    by_head: Counter[str],
) -> set[str]:
    """Recurring lines `Label: value` whose label has other values too: values that happen to be frequent.

    A label of which a value decides what kind of answer is given ("Task: translate") has no mere values: its lines
    stay lines.
    """
    suspects: dict[str, str] = {}
    for norm in recurring:
        head = head_of(norm)
        if head in heads and by_norm[norm] < 0.8 * by_head[head]:
            suspects[norm] = head
    if not suspects:
        return set()
    with_value: dict[str, Profile] = {norm: Profile() for norm in suspects}
    with_head: dict[str, list[PromptCall]] = defaultdict(list)
    wanted = set(suspects.values())
    for it in items:
        for unit in {*it.system, *it.user}:
            if unit.norm in with_value:
                with_value[unit.norm].add(it.reply)
            if unit.head in wanted:
                with_head[unit.head].append(it)
    everything = {head: profile(it.reply for it in members) for head, members in with_head.items()}
    deciding: Counter[str] = Counter()
    for norm, head in suspects.items():
        if _decides(with_value[norm], everything[head]):
            deciding[head] += with_value[norm].n
    return {n for n, head in suspects.items() if deciding[head] < DECIDING_SHARE * everything[head].n}


def _decides(part: Profile, whole: Profile) -> bool:
    """Whether a value goes with another kind of answer than the calls that have its label with any value."""
    n_rest = whole.n - part.n
    if part.n < MIN_SUPPORT or n_rest < MIN_SUPPORT:
        return False
    kinds = [k for k in part.shapes if part.shapes[k] >= 0.05 * part.n]
    # the share of the others' answers that have a shape this value's answers have
    shared = sum(whole.shapes[k] - part.shapes[k] for k in kinds) / n_rest
    if shared < 0.5:
        return True
    others = whole.short - part.short
    return (
        part.kind() == "short"
        and closed(part.short, part.n)
        and sum(n >= 3 for n in part.short.values()) >= 2
        and sum(n >= 3 for n in others.values()) >= 2
        and overlap(part.short, others) < 0.1
    )


def file_items(
    items: Iterable[PromptCall], found: RecurringLines
) -> dict[tuple[Parts, Parts], list[PromptCall]]:
    """The calls by (known units of the system text, known units of the user text), in order of first appearance."""
    memo: dict[int, Parts] = {}
    out: dict[tuple[Parts, Parts], list[PromptCall]] = defaultdict(list)
    for it in items:
        system = memo.get(id(it.system))
        if system is None:
            system = memo[id(it.system)] = recognise(it.system, found)
        out[(system, recognise(it.user, found))].append(it)
    return out


def recognise(text: Iterable[PromptUnit], found: RecurringLines) -> Parts:
    """The known units among those of a text, each once, in order of first appearance (as KeyReader does)."""
    known: dict[str, None] = {}
    for unit in text:
        if unit.raw in found.lines:
            known[unit.raw] = None
        elif unit.norm and unit.norm in found.lines:
            known[unit.norm] = None
        elif unit.head and unit.head in found.heads:
            known[unit.head] = None
    return tuple(known)
