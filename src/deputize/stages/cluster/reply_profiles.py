"""The shape of one reply, the profile of many replies, and a test whether two profiles are of one kind."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from deputize.core.contracts import action_of, fold, parse_json_object, text_of, tool_calls_of
from deputize.core.records import Message

Shape: TypeAlias = str
"""tool, json:<fields>, array, code, tag:<name>, short, text or empty."""

SHORT_CHARS, SHORT_WORDS = 80, 8
SILENT_SHARE = 0.9
_TAG = re.compile(r"\s*(?:\[(\w{2,40})\]|<(\w{2,40})>|```(\w*)|(#{1,3} \w[\w ]{0,40}))")
_IN_TAGS = re.compile(r"\[(?:\w{2,40})\]\s*(\{.*\})\s*\[/\w{2,40}\]", re.DOTALL)
"""A JSON object between tags, as some frameworks ask for it."""
_BULLET = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
_KEPT_LAYOUTS = 400


@dataclass(frozen=True, slots=True)
class ReplyFacts:
    """The facts of one reply that task discovery uses."""

    shape: Shape
    text: str
    """The canonical short answer, the tool names, or '' for longer text."""
    fields: dict[str, str] | None
    """JSON replies: field -> its value as JSON, values of over 80 characters as ''."""
    layout: tuple[float, ...]
    """Longer text: log characters, log lines, share of bullets, share of digits, share of capitals."""


def read_reply(message: Message) -> ReplyFacts:
    """The facts of the reply of one call."""
    calls = tool_calls_of(message)
    if calls:
        return ReplyFacts("tool", action_of(calls), None, ())
    text = text_of(message)
    stripped = text.strip()
    if not stripped:
        return ReplyFacts("empty", "", None, ())
    inside = _IN_TAGS.fullmatch(stripped)
    held = inside.group(1) if inside else stripped
    value = parse_json_object(held) if held[:1] in ("{", "`") else None
    if value is not None:
        return ReplyFacts("json:" + ",".join(sorted(value)), "", {k: _small(v) for k, v in value.items()}, ())
    if stripped[0] == "[" and stripped[-1] == "]" and _is_array(stripped):
        return ReplyFacts("array", "", None, _layout(stripped))
    folded = fold(stripped)
    if "\n" not in stripped and len(folded) <= SHORT_CHARS and len(folded.split()) <= SHORT_WORDS:
        return ReplyFacts("short", folded, None, _layout(stripped))
    tag = _TAG.match(stripped)
    if tag is not None:
        name = tag.group(1) or tag.group(2) or tag.group(4)
        return ReplyFacts(f"tag:{name.lower()}" if name else "code", "", None, _layout(stripped))
    return ReplyFacts("text", "", None, _layout(stripped))


def _small(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= 80 else ""


def _is_array(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list)
    except (ValueError, RecursionError):
        return False


def _layout(text: str) -> tuple[float, ...]:
    n = len(text)
    lines = text.count("\n") + 1
    return (
        math.log1p(n),
        math.log1p(lines),
        len(_BULLET.findall(text)) / lines,
        sum(map(str.isdigit, text)) / n,
        sum(map(str.isupper, text)) / n,
        1.0 if text[-1] in ".!?" else 0.0,
    )


# floors of the spread within one task, the units of distance between two layouts
_SPREAD_FLOOR = (0.35, 0.25, 0.15, 0.06, 0.06, 0.35)


@dataclass(slots=True)
class Profile:
    """The distribution of the replies of a set of calls."""

    n: int = 0
    shapes: Counter[Shape] = field(default_factory=Counter)
    short: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    fields: Counter[str] = field(default_factory=Counter)
    values: dict[str, Counter[str]] = field(default_factory=dict)
    layouts: list[tuple[float, ...]] = field(default_factory=list)

    def add(self, reply: ReplyFacts) -> None:
        self.n += 1
        self.shapes[reply.shape] += 1
        if reply.shape == "short":
            self.short[reply.text] += 1
        elif reply.shape == "tool":
            self.tools[reply.text] += 1
        for name, value in (reply.fields or {}).items():
            self.fields[name] += 1
            self.values.setdefault(name, Counter())[value] += 1
        if reply.layout and len(self.layouts) < _KEPT_LAYOUTS:
            self.layouts.append(reply.layout)

    def kind(self) -> str:
        """tool where replies call tools at all, else the most frequent of json, short, array, code, tag:..., text."""
        if self.shapes["tool"] >= max(1, 0.05 * self.n):
            return "tool"
        kinds: Counter[str] = Counter()
        for shape, n in self.shapes.items():
            kinds["json" if shape.startswith("json:") else shape] += n
        return min(kinds, key=lambda kind: (-kinds[kind], kind)) if kinds else "empty"

    def share(self, kind: str) -> float:
        """The share of replies of a kind."""
        n = sum(
            c
            for shape, c in self.shapes.items()
            if shape == kind or (kind == "json" and shape.startswith("json:"))
        )
        return n / self.n if self.n else 0.0


def profile(replies: Iterable[ReplyFacts]) -> Profile:
    """The profile of some replies."""
    out = Profile()
    for reply in replies:
        out.add(reply)
    return out


def is_silent(p: Profile) -> bool:
    """Check whether there are hardly any replies, so that only requests tell jobs apart."""
    return p.share("empty") >= SILENT_SHARE


def closed(counts: Counter[str], n: int) -> bool:
    """Check whether short replies come from a closed set: nearly all of them repeat."""
    repeated = sum(c for c in counts.values() if c >= 2)
    return n >= 8 and repeated >= 0.9 * n and len(counts) <= n / 3


def overlap(a: Counter[str], b: Counter[str]) -> float:
    """The smaller of two shares: of the mass of a on the support of b, and of the mass of b on the support of a."""
    if not a or not b:
        return 0.0
    return min(
        sum(n for x, n in a.items() if x in b) / a.total(), sum(n for x, n in b.items() if x in a) / b.total()
    )


def same_kind(a: Profile, b: Profile) -> bool:
    """Check whether two sets of replies could be of one task: same contract, answers from the same sets.

    Says nothing of the requests; see `merge` for those.
    """
    kind = a.kind()
    if {kind, b.kind()} == {"short", "text"}:
        # free text of about eight words is now short, now not
        return not closed(a.short, a.n) and not closed(b.short, b.n) and same_layout(a, b)
    if kind != b.kind():
        return False
    if kind == "tool":
        return overlap(a.tools, b.tools) >= 0.2
    if kind == "json":
        return _same_fields(a, b)
    if kind == "short":
        if closed(a.short, a.n) and closed(b.short, b.n):
            return overlap(a.short, b.short) >= 0.5 or _nested(a.short, b.short)
        return overlap(a.short, b.short) >= 0.5 or same_layout(a, b)
    return same_layout(a, b)


def _nested(a: Counter[str], b: Counter[str]) -> bool:
    """One answer only, and the other set has it: a part of the calls in which the answer does not vary."""
    small, large = sorted((a, b), key=len)
    return len(small) == 1 and next(iter(small)) in large


def _same_fields(a: Profile, b: Profile) -> bool:
    shares_a = {f: n / max(1, _n_json(a)) for f, n in a.fields.items()}
    shares_b = {f: n / max(1, _n_json(b)) for f, n in b.fields.items()}
    names = shares_a.keys() | shares_b.keys()
    both = sum(min(shares_a.get(f, 0), shares_b.get(f, 0)) for f in names)
    either = sum(max(shares_a.get(f, 0), shares_b.get(f, 0)) for f in names)
    if not either or both / either < 0.65:
        return False
    # the same field names with answers from other closed sets are another job
    for name in shares_a.keys() & shares_b.keys():
        va, vb = a.values[name], b.values[name]
        if (
            closed(va, va.total())
            and closed(vb, vb.total())
            and len(va) > 1
            and len(vb) > 1
            and overlap(va, vb) < 0.2
        ):
            return False
    return True


def _n_json(p: Profile) -> int:
    return sum(n for shape, n in p.shapes.items() if shape.startswith("json:"))


def layout_distance(a: Profile, b: Profile) -> float:
    """The largest difference of means between the layouts of two sets of texts, in units of their spread."""
    if not a.layouts or not b.layouts:
        return 0.0 if a.layouts == b.layouts else math.inf
    worst = 0.0
    for i, floor in enumerate(_SPREAD_FLOOR):
        xs, ys = [f[i] for f in a.layouts], [f[i] for f in b.layouts]
        mx, my = sum(xs) / len(xs), sum(ys) / len(ys)
        var = (sum((x - mx) ** 2 for x in xs) + sum((y - my) ** 2 for y in ys)) / (len(xs) + len(ys))
        # means of few texts wander: allow for their standard error
        error = math.sqrt(var * (1 / len(xs) + 1 / len(ys)))
        worst = max(worst, (abs(mx - my) - error) / max(floor, math.sqrt(var)))
    return worst


def same_layout(a: Profile, b: Profile, limit: float = 1.5) -> bool:
    """Check whether two sets of texts have about one length and layout."""
    return layout_distance(a, b) < limit
