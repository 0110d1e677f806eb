"""Recurring lines of the prompts of one structural signature, and the calls grouped by the lines they have."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from deputize.core.prompt_segments import MASK, head_of, normalise, segments
from deputize.core.records import Example
from deputize.core.subjects import Subjects
from deputize.core.template_key import opening
from deputize.stages.cluster.reply_profiles import Profile, ReplyFacts, closed, overlap, profile

MIN_SUPPORT, MIN_SHARE = 8, 0.02
"""A line recurs in at least so many distinct openings, and in at least this share of them."""
MIN_SUPPORT_LONG, LONG_CHARS = 4, 40
"""The same for a line with so many characters beside masked values: it does not come again by chance."""
FEW_OPENINGS = 16
"""Of fewer openings, a line recurs that half of them have."""
ROUNDS = 4
VERBATIM_SHARE = 0.9
MAX_VARIANTS = 6
"""So many verbatim forms of one normalised line are kept apart; more are taken for values."""

DECIDING_SHARE = 0.15
"""A label says what is to be done when values that decide the kind of answer have this share of its calls."""

LineSet = tuple[str, ...]
"""Known segments of one text, each once, in order of first appearance."""


@dataclass(frozen=True, slots=True)
class PromptSegment:
    """One segment of a prompt in the three forms it can be recognised by."""

    raw: str
    norm: str
    head: str


@dataclass(slots=True)
class PromptCall:
    """One call as discovery works on it."""

    index: int
    example: Example
    reply: ReplyFacts
    system: tuple[PromptSegment, ...]
    user: tuple[PromptSegment, ...]
    opening: tuple[str, str]
    group: str


@dataclass(slots=True)
class RecurringLines:
    """The lines and heads that are looked for in the prompts of one signature."""

    lines: set[str] = field(default_factory=set)
    """Verbatim where they hardly vary, else normalised."""
    heads: set[str] = field(default_factory=set)
    """`Label:` heads that stand for a line whose value varies."""

    def __len__(self) -> int:
        return len(self.lines) + len(self.heads)


class UnitSplitter:
    """Cuts texts into segments and remembers them, since system prompts come again and again."""

    def __init__(self, replaced: Iterable[str] = ()) -> None:
        """
        Args:
            replaced: segments that only de-identified prompts have: requests are not known by them.
        """
        self._replaced = frozenset(replaced)
        self._cache: dict[str, tuple[PromptSegment, ...]] = {}
        self._segments: dict[str, PromptSegment] = {}

    def __call__(self, text: str) -> tuple[PromptSegment, ...]:
        found = self._cache.get(text)
        if found is None:
            found = self._cache[text] = tuple(map(self._segment, segments(text)))
        return found

    def _segment(self, raw: str) -> PromptSegment:
        segment = self._segments.get(raw)
        if segment is None:
            segment = PromptSegment(raw, normalise(raw), head_of(raw))
            if raw in self._replaced or sum(map(str.isalpha, raw)) < 2:
                # separators, brackets and bare numbers say nothing of the task
                segment = PromptSegment(raw, "", "")
            self._segments[raw] = segment
        return segment


def prompt_call(index: int, example: Example, reply: ReplyFacts, split: UnitSplitter) -> PromptCall:
    """A call with its opening cut into segments."""
    system, user = opening(example.request)
    group = example.group or example.episode or example.call_id
    return PromptCall(index, example, reply, split(system), split(user), (system, user), group)


def find_recurring_lines(calls: Sequence[PromptCall], min_subjects: int = 1) -> RecurringLines:
    """The recurring lines and heads of the calls of one signature, found in rounds on the calls not grouped yet.

    A line recurs when at least max(8, 2 %) of the distinct openings have it (an opening counts once per group: the
    calls of one episode share it). Calls that the first round leaves with no line of their own are searched again, so
    that a task of few calls is found next to one of many. Of an agent's conversations only the system prompt is read:
    the first user message is a person's request, and its lines recur with the person, not with the task.

    Args:
        calls: the calls.
        min_subjects: a line that fewer data subjects have does not recur, however often it comes.
    """
    found = RecurringLines()
    if _are_agent_steps(calls):
        _search(calls, _system_segments, found, min_subjects)
        return found
    rest = list(calls)
    for number in range(ROUNDS):
        n_before = len(found)
        if number and _distinct_openings(rest)[1] < FEW_OPENINGS:
            break
        _search(rest, _all_segments, found, min_subjects)
        if len(found) == n_before:
            break
        rest = [
            call
            for (_, user), members in group_by_lines(calls, found).items()
            if not user or len(members) < MIN_SUPPORT
            for call in members
        ]
        if len(rest) < 2 * MIN_SUPPORT:
            break
    return found


def _are_agent_steps(calls: Sequence[PromptCall]) -> bool:
    """Check whether the calls are steps of conversations in which tools are used."""
    if not calls[0].example.request.tools:
        return False
    n_later = sum(
        any(m.get("role") in ("assistant", "tool") for m in call.example.request.messages) for call in calls
    )
    return n_later >= 0.2 * len(calls)


SegmentsOf = Callable[[PromptCall], set[PromptSegment]]


def _system_segments(call: PromptCall) -> set[PromptSegment]:
    return {*call.system}


def _all_segments(call: PromptCall) -> set[PromptSegment]:
    return {*call.system, *call.user}


@dataclass(slots=True)
class _UnitCounts:
    """The number of groups that have a segment, by each of its forms."""

    by_norm: Counter[str] = field(default_factory=Counter)
    by_head: Counter[str] = field(default_factory=Counter)
    raws: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Normalised segment -> its verbatim forms."""

    def add(self, present: set[PromptSegment], weight: int) -> None:
        for segment in present:
            self.raws[segment.norm][segment.raw] += weight
        for norm in {segment.norm for segment in present}:
            self.by_norm[norm] += weight
        for head in {segment.head for segment in present}:
            self.by_head[head] += weight


def _search(
    calls: Sequence[PromptCall], segments_of: SegmentsOf, found: RecurringLines, min_subjects: int
) -> None:
    """Adds the lines and heads that recur in the calls to `found`."""
    openings, total = _distinct_openings(calls)
    counts = _UnitCounts()
    for call, weight in openings:
        counts.add(segments_of(call), weight)
    need = _needed(total)
    recurring = {norm for norm, n in counts.by_norm.items() if norm and n >= _needed(total, norm)}
    heads = {head for head, n in counts.by_head.items() if n >= need and head}
    if min_subjects > 1:
        shared = _shared_forms(calls, segments_of, counts, recurring, heads, need, min_subjects)
        recurring &= shared
        heads &= shared
        for norm in recurring:
            counts.raws[norm] = Counter({raw: n for raw, n in counts.raws[norm].items() if raw in shared})
    lines = recurring - _value_lines(calls, recurring, heads, counts)
    for norm in lines:
        found.lines.update(_lookup_forms(norm, counts.raws[norm], counts.by_norm[norm], _needed(total, norm)))
    found.heads.update(_useful_heads(heads, lines, found, counts))


def _needed(n_openings: int, norm: str = "") -> int:
    """The number of openings in which a line recurs, by its normalised form; "": a short one."""
    if n_openings >= FEW_OPENINGS:
        is_long = len(norm) - len(MASK) * norm.count(MASK) >= LONG_CHARS
        return max(MIN_SUPPORT_LONG if is_long else MIN_SUPPORT, math.ceil(MIN_SHARE * n_openings))
    return max(2, math.ceil(n_openings / 2))


def _shared_forms(
    calls: Sequence[PromptCall],
    segments_of: SegmentsOf,
    counts: _UnitCounts,
    recurring: set[str],
    heads: set[str],
    need: int,
    min_subjects: int,
) -> set[str]:
    """Of the recurring lines, their frequent verbatim forms and the heads: those that enough data subjects have."""
    often = {raw for norm in recurring for raw, n in counts.raws[norm].items() if n >= need}
    candidates = recurring | heads | often
    return Subjects([call.example.subject for call in calls], min_subjects).shared(
        {text for segment in segments_of(call) for text in (segment.raw, segment.norm, segment.head)}
        & candidates
        for call in calls
    )


def _useful_heads(heads: set[str], lines: set[str], found: RecurringLines, counts: _UnitCounts) -> set[str]:
    """The heads that add something: a label that only ever stands before lines that recur as a whole does not."""
    heads_of_lines = {head_of(line) for line in found.lines}
    n_as_line: Counter[str] = Counter()
    for norm in lines:
        n_as_line[head_of(norm)] += counts.by_norm[norm]
    return {h for h in heads if h not in heads_of_lines or counts.by_head[h] > 1.25 * n_as_line[h]}


def _distinct_openings(calls: Sequence[PromptCall]) -> tuple[list[tuple[PromptCall, int]], int]:
    """The first call of each distinct opening with the number of groups it came from, and the sum of those."""
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    n_calls: Counter[tuple[str, str]] = Counter()
    first: dict[tuple[str, str], PromptCall] = {}
    for call in calls:
        groups[call.opening].add(call.group)
        n_calls[call.opening] += 1
        first.setdefault(call.opening, call)
    counts = {text: len(names) for text, names in groups.items()}
    if sum(counts.values()) < FEW_OPENINGS:
        counts = dict(n_calls)
    return [(first[text], n) for text, n in counts.items()], sum(counts.values())


def _lookup_forms(norm: str, raws: Counter[str], n: int, need: int) -> list[str]:
    """The forms in which a recurring line is looked up: verbatim where it hardly varies, else normalised."""
    frequent = [(raw, c) for raw, c in raws.items() if c >= need]
    if frequent and len(frequent) <= MAX_VARIANTS and sum(c for _, c in frequent) >= VERBATIM_SHARE * n:
        return [raw for raw, _ in frequent]
    return [norm]


def _value_lines(
    calls: Sequence[PromptCall],
    recurring: set[str],
    heads: set[str],
    counts: _UnitCounts,
) -> set[str]:
    """Recurring lines `Label: value` whose label has other values too: values that happen to be frequent.

    A label of which a value decides what kind of answer is given ("Task: translate") has no mere values: its lines
    stay lines.
    """
    suspects: dict[str, str] = {}
    for norm in recurring:
        head = head_of(norm)
        if head in heads and counts.by_norm[norm] < 0.8 * counts.by_head[head]:
            suspects[norm] = head
    if not suspects:
        return set()
    with_value: dict[str, Profile] = {norm: Profile() for norm in suspects}
    with_head: dict[str, list[PromptCall]] = defaultdict(list)
    wanted = set(suspects.values())
    for call in calls:
        for segment in {*call.system, *call.user}:
            if segment.norm in with_value:
                with_value[segment.norm].add(call.reply)
            if segment.head in wanted:
                with_head[segment.head].append(call)
    everything = {head: profile(call.reply for call in members) for head, members in with_head.items()}
    deciding: Counter[str] = Counter()
    for norm, head in suspects.items():
        if _decides(with_value[norm], everything[head]):
            deciding[head] += with_value[norm].n
    return {n for n, head in suspects.items() if deciding[head] < DECIDING_SHARE * everything[head].n}


def _decides(part: Profile, whole: Profile) -> bool:
    """Check whether a value gets another kind of reply than the calls that have its label with other values."""
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


def group_by_lines(
    calls: Iterable[PromptCall], found: RecurringLines
) -> dict[tuple[LineSet, LineSet], list[PromptCall]]:
    """The calls by their known segments: (of the system text in order of first appearance, of the user's text sorted).

    Lines of the user's text in another order say nothing else.
    """
    cache: dict[int, LineSet] = {}
    out: dict[tuple[LineSet, LineSet], list[PromptCall]] = defaultdict(list)
    for call in calls:
        system = cache.get(id(call.system))
        if system is None:
            system = cache[id(call.system)] = recognise(call.system, found)
        out[(system, tuple(sorted(recognise(call.user, found))))].append(call)
    return out


def recognise(text: Iterable[PromptSegment], found: RecurringLines) -> LineSet:
    """The known segments among those of a text, each once, in order of first appearance (as TemplateMatcher does)."""
    known: dict[str, None] = {}
    for segment in text:
        if segment.raw in found.lines:
            known[segment.raw] = None
        elif segment.norm and segment.norm in found.lines:
            known[segment.norm] = None
        elif segment.head and segment.head in found.heads:
            known[segment.head] = None
    return tuple(known)
