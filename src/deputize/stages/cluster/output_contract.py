"""Infers what the replies of a task look like: label set, JSON fields, tools or text (from train and validation
only)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import structs

from deputize.core.contracts import (
    closed_labels,
    fence_of,
    fold,
    parse_json_object,
    short_reply,
    text_of,
    tool_calls_of,
)
from deputize.core.records import Contract, Example, Field, FieldType
from deputize.core.subjects import Subjects
from deputize.core.text_measures import TextMeasure
from deputize.stages.cluster.field_evidence import FieldEvidence, field_evidence, stands_in_request
from deputize.stages.cluster.prose import EpisodeTexts, is_prose

TOOL_SHARE = 0.05
"""From this share of replies on, calling tools is what a task is about."""
JSON_SHARE = 0.8
MAX_LABELS, MAX_PROVEN_LABELS = 64, 256
"""Values of a closed set at most; the larger number where enough of validation shows that train holds (nearly) all."""
MIN_PROOF, PROVEN, DISPROVEN = 30, 0.98, 0.9
"""Validation values from which the share of them that was seen in train says that a set is closed, or that it is
not."""
MAX_LABEL_CHARS = 80
ALWAYS = 0.95
"""Share of replies from which a fence, or a text next to tool calls, belongs to the contract."""
MANY_OTHER_TEXTS = 0.02
"""Share of tool-calling replies with another text next to the calls from which such replies are the LLM's to give."""
MOST_COPIED_PROSE = 0.1


def infer_contract(
    examples: Sequence[Example],
    min_origins: int = 1,
    *,
    log: Sequence[Example] | None = None,
    from_request: bool = False,
) -> Contract:
    """The output contract of the examples of one task.

    Answers of the calibration and test side are never looked at, unless there are no others.

    Args:
        examples: all examples of the task, human-directed ones of a mixed site among them.
        min_origins: labels, fields and tools that the replies to fewer data subjects have are left out: such a reply
            breaks the contract and is the LLM's to give.
        log: examples of all tasks, which show whether code uses what a field says; None: those of the task alone.
        from_request: each request lists its own tools or reply schema, so that neither is part of the contract.
    """
    seen = _learnable(examples)
    called = [tool_calls_of(e.response) for e in seen]
    n_tool = sum(1 for calls in called if calls)
    if n_tool >= max(1.0, TOOL_SHARE * len(seen)):
        found = _tool_contract(seen, called, min_origins)
        return structs.replace(found, tools=[], from_request=True) if from_request else found
    # what is said to a person at a site that otherwise speaks to code is left to the LLM
    code = [e for e in seen if e.audience != "human"] or seen
    may_defer = len(code) < len(seen)
    texts = [text_of(e.response) for e in code]
    objects = [parse_json_object(text) for text in texts]
    pairs = [(e, value) for e, value in zip(code, objects, strict=True) if value is not None]
    if pairs and len(pairs) >= JSON_SHARE * len(code):
        fences = Counter(
            fence_of(text) for text, value in zip(texts, objects, strict=True) if value is not None
        )
        episodes = EpisodeTexts(_learnable(log if log is not None else examples))
        return Contract(
            kind="json",
            fields=[] if from_request else _fields(pairs, min_origins, episodes),
            from_request=from_request,
            may_defer=may_defer,
            fence=fences.most_common(1)[0][0],
        )
    few = len(texts) < 60
    common = _subjects(code, min_origins).shared([short_reply(text)] for text in texts)
    labels = closed_labels(texts, min_calls=8 if few else 20, min_repeats=2 if few else 3, may_be=common)
    if (
        labels is not None
        and not (few and len(labels) > len(texts) / 3)
        and not (len(labels) > 1 and field_evidence(list(zip(code, texts, strict=True))).is_copied)
    ):
        return Contract(kind="label", labels=_as_written(labels, texts), may_defer=may_defer)
    return Contract(kind="text", may_defer=may_defer)


def typed_field(
    field: Field,
    type_: FieldType,
    examples: Sequence[Example],
    min_origins: int = 1,
    measure: TextMeasure | None = None,
) -> Field | None:
    """A JSON field with the type that a person gives it; None where its values cannot have this type.

    Args:
        field: as it was inferred.
        type_: label, value or free.
        examples: of the task.
        min_origins: values that the replies to fewer data subjects have are no labels.
        measure: type value: how texts are compared; None: character by character.
    """
    found = [
        (e, v) for e in _learnable(examples) if (v := parse_json_object(text_of(e.response))) is not None
    ]
    pairs = [(e, value[field.name]) for e, value in found if field.name in value]
    labels: list[Any] = []
    of_text = bool(pairs) and all(isinstance(value, str) for _, value in pairs)
    if (type_ == "free" or measure is not None) and not of_text:
        return None
    if type_ == "label":
        written = [_as_json(v) for _, v in pairs]
        common = _subjects((e for e, _ in pairs), min_origins).shared([text] for text in written)
        labels = _merged(
            json.loads(v) for v in _by_count(Counter(text for text in written if text in common))
        )
        if not labels or any(isinstance(label, dict | list) for label in labels):
            return None
    return Field(
        name=field.name, type=type_, labels=labels, optional=field.optional, by_hand=True, measure=measure
    )


def _learnable(examples: Sequence[Example]) -> list[Example]:
    return [e for e in examples if e.split in ("train", "validation")] or list(examples)


def _subjects(examples: Iterable[Example], least: int) -> Subjects:
    return Subjects([e.subject for e in examples], least)


def _by_count(counts: Counter[str]) -> list[str]:
    return sorted(counts, key=lambda name: (-counts[name], name))


def _as_written(labels: Sequence[str], texts: Sequence[str]) -> list[str]:
    """Labels in the spelling that most replies give them: a folded label may have stood on two lines."""
    spelt: dict[str, Counter[str]] = {label: Counter() for label in labels}
    for text in texts:
        if (counts := spelt.get(short_reply(text))) is not None:
            counts[text.strip()] += 1
    return [counts.most_common(1)[0][0] if counts else label for label, counts in spelt.items()]


def _tool_contract(
    seen: Sequence[Example], called: Sequence[list[dict[str, Any]] | None], least: int
) -> Contract:
    tools = Counter(call["name"] for calls in called for call in calls or ())
    known = _subjects(seen, least).shared([c["name"] for c in calls or ()] for calls in called)
    tools = Counter({name: n for name, n in tools.items() if name in known})
    calling = [e for e, calls in zip(seen, called, strict=True) if calls]
    texts = Counter(text_of(e.response).strip() for e in calling)
    content, n_content = texts.most_common(1)[0]
    shared = _subjects(calling, least).shared([text_of(e.response).strip()] for e in calling)
    if n_content < ALWAYS * len(calling) or content not in shared:
        content = ""
    # a reply with another text next to its calls would not be served as it stands
    n_other = len(calling) - texts[content]
    may_defer = len(calling) < len(seen) or n_other > MANY_OTHER_TEXTS * len(calling)
    return Contract(kind="tool_call", tools=_by_count(tools), may_defer=may_defer, content=content)


def _fields(
    found: Sequence[tuple[Example, dict[str, Any]]], least: int, episodes: EpisodeTexts
) -> list[Field]:
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
    return [_field(name, found, least, episodes) for name in names]


def _field(
    name: str, found: Sequence[tuple[Example, dict[str, Any]]], least: int, episodes: EpisodeTexts
) -> Field:
    pairs = [(e, value[name]) for e, value in found if name in value]
    optional = len(pairs) < len(found)
    evidence = field_evidence(pairs)
    written = [_as_json(v) for _, v in pairs]
    common = _subjects((e for e, _ in pairs), least).shared([text] for text in written)
    counts = Counter(text for text in written if text in common)
    labels = _closed_values(counts, len(pairs), evidence)
    if labels is not None and not (len(labels) > 1 and evidence.is_copied):
        return Field(
            name=name, type="label", labels=_merged(json.loads(x) for x in labels), optional=optional
        )
    # a reply without its prose would break the contract: whether a field is there is compared in any case
    if len(pairs) >= ALWAYS * len(found) and _is_free(pairs, episodes):
        return Field(name=name, type="free")
    return Field(name=name, type="value", optional=optional)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def _merged(labels: Iterable[Any]) -> list[Any]:
    """Labels without those that differ from an earlier one in white space alone."""
    kept: dict[tuple[str, Any], Any] = {}
    for label in labels:
        key = fold(label) if isinstance(label, str) else repr(label)
        kept.setdefault((type(label).__name__, key), label)
    return list(kept.values())


def _closed_values(counts: Counter[str], n: int, evidence: FieldEvidence) -> list[str] | None:
    """The closed set that values are drawn from, as JSON, most frequent first; None where there is none."""
    if n < 8 or (evidence.n >= MIN_PROOF and evidence.covered < DISPROVEN):
        return None
    repeated = {v: c for v, c in counts.items() if c >= (3 if n >= 60 else 2) and len(v) <= MAX_LABEL_CHARS}
    scalar = all(v[:1] not in "[{" for v in repeated)
    most = MAX_PROVEN_LABELS if evidence.n >= MIN_PROOF and evidence.covered >= PROVEN else MAX_LABELS
    if not scalar or sum(repeated.values()) < 0.97 * n or len(repeated) > min(most, max(2, n / 5)):
        return None
    # every value that was seen is an answer the specialist must be able to give, save one-off slips
    return sorted(repeated, key=lambda v: (-repeated[v], v))


def _is_free(pairs: Sequence[tuple[Example, Any]], episodes: EpisodeTexts) -> bool:
    """True where values are prose of the LLM's own for a person: not copied from the request, and used by no code."""
    sample = pairs[:: max(1, len(pairs) // 200)]
    copied = sum(stands_in_request(e, v) for e, v in sample)
    return copied <= MOST_COPIED_PROSE * len(sample) and is_prose(pairs, episodes)
