"""Filters that decide which calls are fit for training: each returns None to keep a call, or the reason to drop it.

A dropped call is not used for training only; calibration and test keep the composition of the traffic.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

from deputize.core.contracts import parse_json_object, text_of
from deputize.core.records import Call, Outcome

Filter = Callable[[Call], str | None]

MIN_TRAINABLE_SHARE, MIN_TRAINABLE = 0.05, 2000
"""A site is exempt from the outcome filter where it would leave less than this share of the calls, or less than half of
them and fewer than this number: most calls of a failed episode are right, and too few examples cost more accuracy than
some wrong ones (docs/log.md, 2026-11-25)."""
MIN_EQUAL_PROMPTS = 3
MIN_REPEATS = 5
"""A site answers with labels where each distinct answer is given this often on average."""

_REFUSAL = re.compile(
    r"^\W*(?:i(?:'|’)?m (?:very |so )?sorry|sorry|i apologi[sz]e|unfortunately)?\W*(?:but )?\W*(?:i (?:can(?:'|’)?t|cannot|can not|am (?:not able|unable)|(?:'|’)m (?:not able|unable))|as an ai)\b",
    re.IGNORECASE,
)


def empty_answer(call: Call) -> str | None:
    """A reply without content and without tool calls."""
    return None if call.response.get("tool_calls") or text_of(call.response).strip() else "empty answer"


def failed_call(call: Call) -> str | None:
    """A call the upstream answered with an error, or that the client cut off."""
    return "failed or aborted call" if call.aborted or call.status >= 400 else None


def partly_recorded(call: Call) -> str | None:
    """A reply of which the record does not hold all: sound, images, calls of the provider's own tools."""
    return "reply that is not recorded whole" if call.response.get("not_recorded") else None


def truncated_answer(call: Call) -> str | None:
    """A reply that stopped at its length limit or was withheld."""
    return {"length": "truncated answer", "content_filter": "withheld answer"}.get(call.finish_reason)


def bad_tool_call(call: Call) -> str | None:
    """Tool calls whose arguments are no JSON object, whose tool was not offered, or that miss a required argument."""
    offered = {
        f["name"]: f for t in call.tools or () if isinstance(f := t.get("function"), dict) and "name" in f
    }
    for raw in call.response.get("tool_calls") or ():
        function = raw.get("function") if isinstance(raw, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str):
            return "malformed tool call"
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            arguments = parse_json_object(arguments) if arguments.strip() else {}
        if not isinstance(arguments, dict | None):
            return "unparsable tool arguments"
        if arguments is None and isinstance(function.get("arguments"), str):
            return "unparsable tool arguments"
        if offered and name not in offered:
            return "tool that was not offered"
        parameters = offered.get(name, {}).get("parameters") or {}
        required = parameters.get("required") or [] if isinstance(parameters, dict) else []
        if isinstance(required, list) and not set(required) <= set(arguments or {}):
            return "tool call without a required argument"
    return None


def off_schema(call: Call) -> str | None:
    """A reply that is not what its response format asked for."""
    kind = (call.response_format or {}).get("type")
    if kind not in ("json_object", "json_schema") or call.response.get("tool_calls"):
        return None
    value = parse_json_object(text_of(call.response))
    if value is None:
        return "answer that is not JSON"
    wrapper = (call.response_format or {}).get("json_schema")
    schema = wrapper.get("schema") if isinstance(wrapper, dict) else None
    return None if not isinstance(schema, dict) or _matches(value, schema) else "schema-invalid answer"


def refusal(call: Call) -> str | None:
    """A reply that declines the job where a form was asked for (at a site for code a refusal teaches nothing)."""
    if call.response.get("tool_calls") or call.tools:
        return None
    return "refusal" if _REFUSAL.match(text_of(call.response)[:200]) else None


def contradictory_answer(call: Call) -> str | None:
    """A JSON reply, or tool arguments, that give one field two different values."""
    texts = [
        f["arguments"]
        for raw in call.response.get("tool_calls") or ()
        if isinstance(raw, dict)
        and isinstance(f := raw.get("function"), dict)
        and isinstance(f.get("arguments"), str)
    ] or [text_of(call.response)]
    return "answer that contradicts itself" if any(map(_has_duplicate_keys, texts)) else None


def _has_duplicate_keys(text: str) -> bool:
    """True where a JSON object in a text gives one key two different values."""
    clashes = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for name, value in items:
            if name in fields and fields[name] != value:
                clashes.append(name)
            fields[name] = value
        return fields

    if "{" not in text[:400]:
        return False
    try:
        json.loads(text, object_pairs_hook=pairs)
    except (ValueError, RecursionError):
        return False
    return bool(clashes)


FILTERS: tuple[Filter, ...] = (
    failed_call,
    partly_recorded,
    empty_answer,
    truncated_answer,
    bad_tool_call,
    contradictory_answer,
    off_schema,
    refusal,
)
"""In the order in which they are applied."""


def first_reason(call: Call, filters: Sequence[Filter] = FILTERS) -> str:
    """The reason of the first filter that drops the call, '' when all keep it."""
    for check in filters:
        if reason := check(call):
            return reason
    return ""


def _matches(value: Any, schema: dict[str, Any]) -> bool:
    """True where a value matches a JSON schema, as far as response formats use it; unknown keywords are ignored."""
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    for options in (schema.get("anyOf"), schema.get("oneOf")):
        if isinstance(options, list) and not any(isinstance(o, dict) and _matches(value, o) for o in options):
            return False
    kinds = schema.get("type")
    if kinds and not any(_is_of_type(value, k) for k in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        if not set(schema.get("required") or ()) <= value.keys():
            return False
        if schema.get("additionalProperties") is False and not value.keys() <= properties.keys():
            return False
        return all(
            _matches(v, properties[k]) for k, v in value.items() if isinstance(properties.get(k), dict)
        )
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return all(_matches(v, schema["items"]) for v in value)
    return True


def _is_of_type(value: Any, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    types: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "null": type(None),
    }
    return kind not in types or isinstance(value, types[kind])


class CallFacts(Protocol):
    """The fields of a call that a filter by outcome reads; a Call or a CallSummary."""

    @property
    def id(self) -> str: ...
    @property
    def outcome(self) -> Outcome | None: ...


def outcome_reasons(calls: Sequence[CallFacts], site_of: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """(call id -> "failed episode" where a call's outcome is a failure, a warning for each site without this filter).

    A call without an outcome is not judged by the outcomes of others: feedback on one call of an episode says nothing
    about another.
    """
    by_site: dict[str, list[CallFacts]] = defaultdict(list)
    for call in calls:
        by_site[site_of[call.id]].append(call)
    reasons: dict[str, str] = {}
    warnings: list[str] = []
    for group in by_site.values():
        bad = [c for c in group if c.outcome is not None and c.outcome.success is False]
        n_good = len(group) - len(bad)
        if bad and (n_good < MIN_TRAINABLE_SHARE * len(group) or n_good < min(MIN_TRAINABLE, len(group) / 2)):
            warnings.append(
                f"Only {n_good:,} of {len(group):,} calls of one site belong to episodes that succeeded; "
                "failed episodes are used for training there too."
            )
            continue
        reasons |= {c.id: "failed episode" for c in bad}
    return reasons, warnings


class ComparedReply(NamedTuple):
    """A reply in text, as the filter that compares replies sees it."""

    id: str
    site: str
    prompt: str
    """Digest: equal for equal prompts."""
    near_prompt: str
    """Digest: equal for prompts that differ in case, white space and punctuation around words only."""
    answer: str


def disagreements(rows: Sequence[ComparedReply]) -> dict[str, str]:
    """Calls whose answer contradicts other calls: call id -> reason.

    Among equal prompts, then among near-identical ones, the answers that differ from a clear majority's (of at least
    MIN_EQUAL_PROMPTS calls, two thirds) are dropped. Where a site answers with labels and equal prompts have no clear
    majority the labels contradict themselves, and all of them are dropped; in prose different answers are no
    contradiction.
    """
    out: dict[str, str] = {}
    for reason, key in (
        ("contradicts equal prompts", lambda r: (r.site, r.prompt)),
        ("disagrees with near-identical prompts", lambda r: (r.site, r.near_prompt)),
    ):
        for group in _groups_of_several([r for r in rows if r.id not in out], key):
            best = _clear_majority(group)
            out |= {r.id: reason for r in group if best is not None and r.answer != best}
    labelled = _sites_with_labels(rows)
    for group in _groups_of_several(
        [r for r in rows if r.id not in out and r.site in labelled], lambda r: (r.site, r.prompt)
    ):
        if len({r.answer for r in group}) > 1:
            out |= {r.id: "self-contradicting label" for r in group}
    return out


def _groups_of_several(
    rows: Sequence[ComparedReply], key: Callable[[ComparedReply], tuple[str, str]]
) -> Iterator[list[ComparedReply]]:
    found: dict[tuple[str, str], list[ComparedReply]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return (group for group in found.values() if len(group) > 1)


def _clear_majority(group: Sequence[ComparedReply]) -> str | None:
    counts = Counter(row.answer for row in group)
    (best, n_best), *_ = counts.most_common(1)
    return best if len(group) >= MIN_EQUAL_PROMPTS and n_best * 3 >= 2 * len(group) else None


def _sites_with_labels(rows: Sequence[ComparedReply]) -> set[str]:
    """Sites that answer with few different texts, again and again."""
    answers: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        answers[row.site][row.answer] += 1
    return {site for site, counts in answers.items() if counts.total() >= MIN_REPEATS * len(counts)}
