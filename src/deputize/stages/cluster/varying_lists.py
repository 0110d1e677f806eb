"""Calls whose tools, or reply schema, differ from call to call, joined to one pool where the evidence says that one
specialist does them.

The job of such a call is "call a tool from the list given" (or "fill in the schema given"): the list is one more slot
of the prompt. A list that comes again and again is a site of its own and keeps its own signature.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from deputize.core.contracts import parse_json_object, text_of, tool_calls_of
from deputize.core.listed_tools import content_words, listed_tools, word_overlap
from deputize.core.signature import open_signature
from deputize.stages.cluster.recurring_lines import MIN_SUPPORT, PromptCall
from deputize.stages.cluster.reply_profiles import ReplyFacts

MIN_LISTS = 20
"""Different lists of few groups from which a site is taken for one whose lists vary; fewer are small sites of their
own."""
MAX_SHARE = 0.1
"""A list of more than this share of a pool's groups keeps its own signature."""
IN_LIST, IN_SCHEMA = 0.95, 0.8
"""Share of the replies that call a tool of their request's list, or have the fields of its schema."""
MIN_CHOICES, MIN_Z = 30, 3.0
"""Groups with a choice between tools from which the tool with most words in common must be the called one more often
than chance, by so many standard errors: else the request does not tell which tool is wanted."""


def pool_varying_lists(
    groups: dict[str, list[PromptCall]],
) -> tuple[dict[str, list[PromptCall]], dict[str, list[PromptCall]]]:
    """(the calls by signature that keep it, pools of the others by open signature).

    Args:
        groups: calls by signature.
    """
    by_open: dict[str, list[str]] = defaultdict(list)
    for sign, calls in groups.items():
        if (name := open_signature(calls[0].example.request)) != "":
            by_open[name].append(sign)
    pools: dict[str, list[PromptCall]] = {}
    pooled: set[str] = set()
    for name, signs in sorted(by_open.items()):
        members = _members(signs, groups)
        calls = [call for sign in members for call in groups[sign]]
        if members and _is_one_job(calls):
            pools[name] = sorted(map(_without_names, calls), key=lambda call: call.index)
            pooled.update(members)
    return {sign: calls for sign, calls in groups.items() if sign not in pooled}, pools


def _members(signs: Iterable[str], groups: dict[str, list[PromptCall]]) -> list[str]:
    """The signatures that are one pool; [] where lists do not vary."""
    n_groups = {sign: len({call.group for call in groups[sign]}) for sign in signs}
    rare = [sign for sign, n in n_groups.items() if n < MIN_SUPPORT]
    if len(rare) < MIN_LISTS:
        return []
    callers = {_caller(call) for sign in rare for call in groups[sign]}
    lines = _usual_lines(call for sign in rare for call in groups[sign])
    most = MAX_SHARE * sum(n_groups.values())
    also = [
        sign
        for sign, n in n_groups.items()
        if n >= MIN_SUPPORT
        and n <= most
        and {_caller(call) for call in groups[sign]} <= callers
        and _usual_lines(groups[sign]) == lines
    ]
    return sorted([*rare, *also])


def _caller(call: PromptCall) -> tuple[str, str]:
    return call.example.request.agent, call.example.request.site


def _usual_lines(calls: Iterable[PromptCall]) -> frozenset[str]:
    """The lines that most system prompts of some calls have."""
    counts: Counter[str] = Counter()
    n = 0
    for call in calls:
        n += 1
        counts.update({segment.norm for segment in call.system if segment.norm})
    return frozenset(line for line, count in counts.items() if count > n / 2)


def _is_one_job(calls: Sequence[PromptCall]) -> bool:
    """Check whether replies follow from the list of their request and its words, whichever list it is."""
    first = {call.group: call for call in calls}.values()
    if not any(call.example.request.tools for call in first):
        return _keeps_schemas(list(first))
    called = [(call, names) for call in first if (names := _called(call))]
    if not called or sum(_is_listed(call, names) for call, names in called) < IN_LIST * len(called):
        return False
    hits, chance, variance, n = 0, 0.0, 0.0, 0
    for call, names in called:
        tools = listed_tools(call.example.request)
        if len(tools) < 2 or len(names) != 1:
            continue
        words = content_words(call.opening[1])
        scores = [word_overlap(words, tool, tools) for tool in tools]
        hits += tools[max(range(len(tools)), key=lambda i: (scores[i], -i))].name in names
        p = 1 / len(tools)
        chance, variance, n = chance + p, variance + p * (1 - p), n + 1
    return n < MIN_CHOICES or hits - chance > MIN_Z * math.sqrt(variance)


def _called(call: PromptCall) -> set[str]:
    return {str(one["name"]) for one in tool_calls_of(call.example.response) or ()}


def _is_listed(call: PromptCall, names: set[str]) -> bool:
    return names <= {tool.name for tool in listed_tools(call.example.request)}


def _keeps_schemas(calls: Sequence[PromptCall]) -> bool:
    kept = 0
    for call in calls:
        value = parse_json_object(text_of(call.example.response))
        fields = {argument.name for tool in listed_tools(call.example.request) for argument in tool.arguments}
        kept += value is not None and bool(value) and value.keys() <= fields
    return kept >= IN_SCHEMA * len(calls)


def _without_names(call: PromptCall) -> PromptCall:
    """The call with a reply of which only the kind is told: its tool or fields are its request's, not its task's."""
    shape = call.reply.shape
    if shape == "tool":
        return replace(call, reply=ReplyFacts("tool", "", None, ()))
    return replace(call, reply=ReplyFacts("json:", "", None, ())) if shape.startswith("json:") else call
