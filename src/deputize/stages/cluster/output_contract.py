"""Infers what the replies of a task look like: label set, JSON fields, tools or text (from train and validation only)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from deputize.core.contracts import closed_labels, parse_json_object, short_reply, text_of, tool_calls_of
from deputize.core.records import Contract, Example, Field
from deputize.core.subjects import Subjects

TOOL_SHARE = 0.05
"""From this share of replies on, calling tools is what a task is about."""
JSON_SHARE = 0.8
MAX_FIELD_LABELS = 64
FREE_CHARS = 60
"""Fields whose values are longer than this in the median, and not copied from the request, are prose."""
_REQUEST_CHARS = 60_000


def infer_contract(examples: Sequence[Example], min_origins: int = 1) -> Contract:
    """The output contract of the examples of one task.

    Answers of the calibration and test side are never looked at, unless there are no others.

    Args:
        examples: all examples of the task, human-directed ones of a mixed site among them.
        min_origins: labels, fields and tools that the replies to fewer data subjects have are left out: such a reply breaks
            the contract and is the LLM's to give.
    """
    seen = [e for e in examples if e.split in ("train", "validation")] or list(examples)
    called = [tool_calls_of(e.response) for e in seen]
    tools = Counter(call["name"] for calls in called for call in calls or ())
    n_tool = sum(1 for calls in called if calls)
    if n_tool >= max(1.0, TOOL_SHARE * len(seen)):
        known = _subjects(seen, min_origins).shared([c["name"] for c in calls or ()] for calls in called)
        tools = Counter({name: n for name, n in tools.items() if name in known})
        return Contract(kind="tool_call", tools=_by_count(tools), may_defer=n_tool < len(seen))
    # what is said to a person at a site that otherwise speaks to code is left to the LLM
    code = [e for e in seen if e.audience != "human"] or seen
    may_defer = len(code) < len(seen)
    texts = [text_of(e.response) for e in code]
    objects = [parse_json_object(text) for text in texts]
    found = [(e, value) for e, value in zip(code, objects, strict=True) if value is not None]
    if found and len(found) >= JSON_SHARE * len(code):
        return Contract(kind="json", fields=_fields(found, min_origins), may_defer=may_defer)
    few = len(texts) < 60
    common = _subjects(code, min_origins).shared([short_reply(text)] for text in texts)
    labels = closed_labels(texts, min_calls=8 if few else 20, min_repeats=2 if few else 3, may_be=common)
    if labels is not None and not (few and len(labels) > len(texts) / 3):
        return Contract(kind="label", labels=labels, may_defer=may_defer)
    return Contract(kind="text", may_defer=may_defer)


def _subjects(examples: Iterable[Example], least: int) -> Subjects:
    return Subjects([e.subject for e in examples], least)


def _by_count(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))


def _fields(found: Sequence[tuple[Example, dict[str, Any]]], least: int) -> list[Field]:
    counts: Counter[str] = Counter()
    place: Counter[str] = Counter()
    for _, value in found:
        for i, name in enumerate(value):
            counts[name] += 1
            place[name] += i
    rare = max(1, round(0.005 * len(found))) if len(found) >= 40 else 0
    common = _subjects((e for e, _ in found), least).shared(value for _, value in found)
    names = sorted(
        (n for n in counts if counts[n] > rare and n in common), key=lambda n: (place[n] / counts[n], n)
    )
    return [_field(name, found, least, optional=counts[name] < len(found)) for name in names]


def _field(
    name: str, found: Sequence[tuple[Example, dict[str, Any]]], least: int, *, optional: bool
) -> Field:
    pairs = [(e, value[name]) for e, value in found if name in value]
    written = [json.dumps(v, ensure_ascii=False, sort_keys=True) for _, v in pairs]
    common = _subjects((e for e, _ in pairs), least).shared([text] for text in written)
    counts = Counter(text for text in written if text in common)
    labels = _closed_values(counts, len(pairs))
    if labels is not None:
        return Field(name=name, type="label", labels=[json.loads(x) for x in labels], optional=optional)
    return Field(name=name, type=_open_type(pairs), optional=optional)


def _closed_values(counts: Counter[str], n: int) -> list[str] | None:
    """The closed set that values are drawn from, as JSON, most frequent first; None where there is none."""
    if n < 8:
        return None
    repeated = {v: c for v, c in counts.items() if c >= (3 if n >= 60 else 2) and len(v) <= FREE_CHARS + 20}
    scalar = all(v[:1] not in "[{" for v in repeated)
    if (
        not scalar
        or sum(repeated.values()) < 0.97 * n
        or len(repeated) > min(MAX_FIELD_LABELS, max(2, n / 5))
    ):
        return None
    # every value that was seen is an answer the specialist must be able to give, save one-off slips
    return sorted(repeated, key=lambda v: (-repeated[v], v))


def _open_type(pairs: Sequence[tuple[Example, Any]]) -> Literal["value", "free"]:
    """value: copied from the request or short; free: prose of its own."""
    texts = [v for _, v in pairs if isinstance(v, str) and v]
    if len(texts) < 0.5 * len(pairs):
        nested = [json.dumps(v) for _, v in pairs if isinstance(v, dict | list) and v]
        prose = nested and sorted(map(len, nested))[len(nested) // 2] > 4 * FREE_CHARS
        return "free" if prose else "value"
    lengths = sorted(map(len, texts))
    sample = [(e, v) for e, v in pairs if isinstance(v, str) and v][:200]
    copied = sum(v.strip() in _request_text(e) for e, v in sample) / len(sample)
    if copied >= 0.5:
        return "value"
    long = lengths[len(lengths) // 2] > FREE_CHARS
    wordy = sum(len(v.split()) for _, v in sample) / len(sample) > 6
    return "free" if long or wordy else "value"


def _request_text(example: Example) -> str:
    return "\n".join(text_of(m) for m in example.request.messages)[:_REQUEST_CHARS]
