"""Template texts and prompt recipes of tasks."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Literal

from deputize.core.contracts import text_of
from deputize.core.prompt_segments import LONG_LINE, head_of, normalise, segments
from deputize.core.records import Example, PromptRecipe
from deputize.core.subjects import Subjects
from deputize.core.template_key import opening

SLOT = "⟨…⟩"
CONSTANT_SHARE = 0.95
"""A line is shown as constant when so many calls of a task have it; stricter than FIXED_SHARE, for it is read by
people."""
SAMPLE = 2000
DIALOGUE_CHARS = 800
TEMPLATE_CHARS = 6000


def template_text(example: Example, lines: frozenset[str], heads: frozenset[str]) -> str:
    """The prompt of an example as people may see it: recurring lines as they stand, everything else as slots."""
    parts: list[str] = []
    for text in opening(example.request):
        shown: list[str] = []
        for line in text.splitlines():
            pieces = [_shown(segment, lines, heads) for segment in segments(line)]
            for piece in pieces if len(line) <= LONG_LINE else [" ".join(_once(pieces))]:
                if piece != SLOT or not shown or shown[-1] != SLOT:
                    shown.append(piece)
        if shown:
            parts.append("\n".join(shown))
    full = "\n\n".join(parts)
    return full if len(full) <= TEMPLATE_CHARS else full[:TEMPLATE_CHARS] + " …"


def _once(pieces: Sequence[str]) -> list[str]:
    return [p for i, p in enumerate(pieces) if p != SLOT or i == 0 or pieces[i - 1] != SLOT]


def _shown(segment: str, lines: frozenset[str], heads: frozenset[str]) -> str:
    if segment in lines:
        return segment
    if (mask := normalise(segment)) in lines:
        return mask.replace("⟨⟩", SLOT)
    head = head_of(segment)
    return f"{head} {SLOT}" if head and head in heads else SLOT


_LETTERS = re.compile(r"[^\W\d_][\w'-]+")
_DATED = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}:\d\d|\b(?:19|20)\d\d\b")


def recipe_of(
    examples: Sequence[Example],
    variants: Sequence[str],
    heads: Sequence[str],
    min_origins: int = 1,
    *,
    with_list: bool = False,
) -> PromptRecipe:
    """The recipe of a task's short prompt: its constant lines and its mode.

    Args:
        examples: the task's examples for training.
        variants: for each, the template variant (key) it has; what is constant in the system prompt of a variant
            is left out too.
        heads: the task's `Label:` heads.
        min_origins: a line that fewer data subjects have stays in the short prompt, however constant it is.
        with_list: the tools or the reply schema of each request are a slot of its prompt.
    """
    step = max(1, len(examples) // SAMPLE)
    sample, keys = examples[::step], variants[::step]
    mode: Literal["slots", "dialogue"] = "dialogue" if _is_dialogue(sample) else "slots"
    everywhere: Counter[str] = Counter()
    segments_of: list[set[str]] = []
    in_system: dict[str, Counter[str]] = defaultdict(Counter)
    for example, key in zip(sample, keys, strict=True):
        system: set[str] = set()
        other: set[str] = set()
        for message in example.request.messages:
            role = message.get("role")
            if role in ("system", "developer"):
                system.update(segments(text_of(message)))
            elif mode == "slots" or role == "user":
                other.update(segments(text_of(message)))
        everywhere.update(system | other)
        segments_of.append(system | other)
        in_system[key].update(system)
    sizes = Counter(keys)
    constant = {segment for segment, n in everywhere.items() if n >= CONSTANT_SHARE * len(sample)}
    for key, counts in in_system.items():
        if sizes[key] >= 8:
            constant |= {segment for segment, n in counts.items() if n >= CONSTANT_SHARE * sizes[key]}
    common = Subjects([e.subject for e in sample], min_origins).shared(
        held & constant for held in segments_of
    )
    constant &= common
    # a date in an otherwise fixed line of the system prompt goes on changing after training
    system_segments = set().union(*in_system.values()) if in_system else set()
    dated = {normalise(segment) for segment in constant & system_segments if _DATED.search(segment)}
    return PromptRecipe(
        mode=mode,
        constant_lines=sorted(constant | {d for d in dated if len(_LETTERS.findall(d)) >= 3}),
        heads=sorted(heads),
        with_list=with_list,
        max_chars=DIALOGUE_CHARS if mode == "dialogue" else PromptRecipe().max_chars,
    )


def _is_dialogue(sample: Sequence[Example]) -> bool:
    """Check whether the calls are steps of a conversation, and not one question after constant worked examples."""
    first: Counter[str] = Counter()
    for example in sample:
        for message in example.request.messages:
            if message.get("role") not in ("system", "developer", "user"):
                first[f"{text_of(message)[:400]}|{message.get('tool_calls')}"] += 1
                break
    n = first.total()
    if n < 0.2 * len(sample):
        return False
    few_shot = n >= 8 and sum(c for _, c in first.most_common(2)) >= 0.9 * n
    return not few_shot
