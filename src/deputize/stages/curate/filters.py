"""Which calls are fit to learn from: each filter answers keep (None) or a reason to drop.

Drops keep a call out of training only; calibration and test keep the composition of the traffic.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from deputize.core.contracts import fold, parse_json_object, text_of
from deputize.core.records import Call, Outcome

Filter = Callable[[Call], str | None]

MIN_TRAINABLE_SHARE, MIN_TRAINABLE = 0.05, 2000
"""The outcome filter is lifted at a site where it would leave less than this share of the calls, or less than half of them
and fewer than this: most calls of a failed episode are right, and few examples cost more than some wrong ones
(docs/log.md, 2026-11-25)."""
MIN_EQUAL_PROMPTS = 3

_REFUSAL = re.compile(
    r"^\W*(?:i(?:'|’)?m (?:very |so )?sorry|sorry|i apologi[sz]e|unfortunately)?\W*(?:but )?\W*(?:i (?:can(?:'|’)?t|cannot|can not|am (?:not able|unable)|(?:'|’)m (?:not able|unable))|as an ai)\b",
    re.IGNORECASE,
)


def empty(call: Call) -> str | None:
    """A reply without content and without tool calls."""
    return None if call.response.get("tool_calls") or text_of(call.response).strip() else "empty answer"


def failed(call: Call) -> str | None:
    """A call the upstream answered with an error, or that the client cut off."""
    return "failed or aborted call" if call.aborted or call.status >= 400 else None


def truncated(call: Call) -> str | None:
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
    return None if not isinstance(schema, dict) or _fits(value, schema) else "schema-invalid answer"


def refusal(call: Call) -> str | None:
    """A reply that declines the job where a form was asked for (at a site for code a refusal teaches nothing)."""
    if call.response.get("tool_calls") or call.tools:
        return None
    return "refusal" if _REFUSAL.match(text_of(call.response)[:200]) else None


FILTERS: tuple[Filter, ...] = (failed, empty, truncated, bad_tool_call, off_schema, refusal)


def first_reason(call: Call, filters: Sequence[Filter] = FILTERS) -> str:
    """The reason of the first filter that drops the call, '' when all keep it."""
    for test in filters:
        if reason := test(call):
            return reason
    return ""


def _fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value fits the part of JSON schema that response formats use; unknown keywords are let pass."""
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    for options in (schema.get("anyOf"), schema.get("oneOf")):
        if isinstance(options, list) and not any(isinstance(o, dict) and _fits(value, o) for o in options):
            return False
    kinds = schema.get("type")
    if kinds and not any(_is(value, k) for k in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        if not set(schema.get("required") or ()) <= value.keys():
            return False
        if schema.get("additionalProperties") is False and not value.keys() <= properties.keys():
            return False
        return all(_fits(v, properties[k]) for k, v in value.items() if isinstance(properties.get(k), dict))
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return all(_fits(v, schema["items"]) for v in value)
    return True


def _is(value: Any, kind: str) -> bool:
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool)
    types: dict[str, type | tuple[type, ...]] = {
        "object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
    }  # fmt: skip
    return kind not in types or isinstance(value, types[kind])


class Judged(Protocol):
    """What is known of a call here: a Call, or its Note."""

    @property
    def id(self) -> str: ...
    @property
    def outcome(self) -> Outcome | None: ...


def outcome_reasons(calls: Sequence[Judged], site_of: dict[str, str]) -> tuple[dict[str, str], list[str]]:
    """call id -> "failed episode" where a call's outcome is a failure, and a warning per site where that is lifted.

    A call without an outcome is not judged by its neighbours': feedback on one call of a run says nothing of another.
    """
    by_site: dict[str, list[Judged]] = defaultdict(list)
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
                "failed episodes are learnt from there too."
            )
            continue
        reasons |= {c.id: "failed episode" for c in bad}
    return reasons, warnings


def contradictions(keyed: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """Calls whose answer differs from the clear majority's answer to the very same prompt.

    Args:
        keyed: (call id, prompt key, answer) per call.

    Returns:
        call id -> reason.
    """
    by_prompt: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for call_id, prompt, answer in keyed:
        by_prompt[prompt].append((call_id, fold(answer)))
    out: dict[str, str] = {}
    for rows in by_prompt.values():
        counts = Counter(answer for _, answer in rows)
        if len(rows) < MIN_EQUAL_PROMPTS or len(counts) < 2:
            continue
        (best, n_best), *_ = counts.most_common(1)
        if n_best * 3 >= 2 * len(rows):
            out |= {call_id: "contradicts equal prompts" for call_id, answer in rows if answer != best}
    return out
