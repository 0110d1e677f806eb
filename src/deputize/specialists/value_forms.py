"""Forms of the values of an answer: what the JSON schemas in a task's requests say of each, and the grammar of its
written text.

A decision is chosen from its set; of a value that is written only its form can be kept to: a number within its limits,
a list of so many words, a text of a pattern. The grammars are in llguidance's language. A form that the LLM itself did
not keep to is none.

References:
    llguidance, "Syntax" (Lark with %json) and "JSON Schema support" (x-guidance),
    https://github.com/guidance-ai/llguidance
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from importlib.util import find_spec
from typing import Any

import msgspec

from deputize.core.records import Answer, Request
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import ABSENT, AnswerSchema, Slot

Forms = Mapping[tuple[str, str], str]
"""(tool, argument), or ("", field of the reply) -> its JSON schema, written."""

MOST_TRIED = 200
"""Texts of a slot in train that its form is held against."""
_AS_WRITTEN = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


def forms_of(requests: Iterable[Request], subjects: Subjects) -> Forms:
    """The forms that the requests of a task give to values: those that all of them give alike, and that enough data
    subjects had.

    Args:
        requests: of train.
        subjects: of each.
    """
    read: dict[bytes, dict[tuple[str, str], str]] = {}
    found, held = dict[tuple[str, str], set[str]](), list[list[tuple[tuple[str, str], str]]]()
    for request in requests:
        key = msgspec.json.encode([request.tools, request.response_format])
        if key not in read:
            read[key] = _forms(request)
        for place, written in read[key].items():
            found.setdefault(place, set()).add(written)
        held.append(list(read[key].items()))
    shared = subjects.shared(held)
    return {
        place: next(iter(written))
        for place, written in found.items()
        if len(written) == 1 and (place, next(iter(written))) in shared
    }


def _forms(request: Request) -> dict[tuple[str, str], str]:
    out: dict[tuple[str, str], str] = {}
    for tool in request.tools or ():
        function = tool.get("function") if isinstance(tool, dict) else None
        if isinstance(function, dict) and isinstance(function.get("name"), str):
            out |= _fields(function["name"], function.get("parameters"))
    asked = request.response_format if isinstance(request.response_format, dict) else {}
    outer = asked.get("json_schema")
    if asked.get("type") == "json_schema" and isinstance(outer, dict):
        out |= _fields("", outer.get("schema"))
    return out


def _fields(tool: str, schema: Any) -> dict[tuple[str, str], str]:
    fields = schema.get("properties") if isinstance(schema, dict) else None
    if not isinstance(fields, dict):
        return {}
    # what a field refers to goes along with it
    named = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
    return {
        (tool, name): json.dumps({**field, **named}, sort_keys=True)
        for name, field in fields.items()
        if isinstance(field, dict)
    }


def with_forms(schema: AnswerSchema, forms: Forms, answers: Sequence[Answer]) -> AnswerSchema:
    """The schema with the forms of its values, those that the answers keep to; itself where llguidance is not
    installed.

    Args:
        schema: of the answers.
        forms: of the task.
        answers: the LLM's, of train.
    """
    has_slots = bool(schema.slots or schema.actions)
    if not forms or not has_slots or find_spec("llguidance") is None:
        return schema
    texts: dict[int, list[str]] = {}
    for answer in answers:
        for slot, text in schema.segments(answer) or ():
            texts.setdefault(id(slot), []).append(text)

    def formed(tool: str, slot: Slot) -> Slot:
        form = forms.get((tool, slot.name), "") if slot.role != "decision" and slot.constant is None else ""
        given = msgspec.structs.replace(slot, form=form)
        return given if form and keeps(given, texts.get(id(slot), [])[:MOST_TRIED]) else slot

    slots = [formed("", slot) for slot in schema.slots] if schema.kind == "json" else schema.slots
    actions = {
        name: [
            msgspec.structs.replace(tool, slots=[formed(tool.tool, slot) for slot in tool.slots])
            for tool in tools
        ]
        for name, tools in schema.actions.items()
    }
    return msgspec.structs.replace(schema, slots=slots, actions=actions)


def keeps(slot: Slot, texts: Sequence[str]) -> bool:
    """True where there is a grammar for a slot's form, and all of these texts keep to it."""
    from llguidance import LLMatcher, LLTokenizer

    grammar, signs = grammar_of_slot(slot), LLTokenizer("byte")
    if not grammar or not texts or LLMatcher.validate_grammar(grammar, signs):
        return False
    matcher = LLMatcher(signs, grammar)
    for text in dict.fromkeys(texts):
        matcher.reset()
        written = list(f" {text}\n".encode("utf-8", "surrogatepass"))
        if matcher.validate_tokens(written) != len(written):
            return False
    return True


@lru_cache(maxsize=512)
def _grammar(form: str, plain: bool, optional: bool) -> str:
    schema = json.loads(form)
    as_json = f"%json {json.dumps({**schema, 'x-guidance': _AS_WRITTEN})}"
    if not plain:
        absent = f' | "{ABSENT}"' if optional else ""
        return f'start: " "? value "\\n"\nvalue: written{absent}\nwritten: {as_json}\n'
    pattern = _pattern(schema)
    if not pattern:
        return ""
    # the blank is a part of each word: apart from a text that may begin with one it could not be told
    ways = ["TEXT", "TILDE written", *(["TILDE"] if optional else [])]
    return (
        f'start: value "\\n"\nvalue: {" | ".join(ways)}\n'
        f"TEXT: / ?({pattern})/\nTILDE: / ?~/\nwritten: {as_json}\n"
    )


def grammar_of_slot(slot: Slot) -> str:
    """The grammar of a slot's text, with the blank before and the line break after it; "" where any text will do."""
    return _grammar(slot.form, slot.plain, slot.optional) if slot.form else ""


def _pattern(schema: Mapping[str, Any]) -> str:
    """A regular expression for texts that stand as they are; "" where the schema says no more than that they are
    texts."""
    choices = [schema["const"]] if "const" in schema else schema.get("enum")
    if isinstance(choices, list):
        texts = [re.escape(c).replace("/", "\\/") for c in choices if isinstance(c, str) and c]
        return "|".join(texts)
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and pattern:
        inner = pattern.removeprefix("^").removesuffix("$")
        before = "" if pattern.startswith("^") else "([^\\s~][^\\r\\n]*)?"
        after = "" if pattern.endswith("$") else "[^\\r\\n]*"
        return f"{before}({inner}){after}".replace("/", "\\/")
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    if isinstance(most, int) and isinstance(least, int):
        return f"[^\\s~][^\\r\\n]{{{max(0, least - 1)},{max(0, most - 1)}}}" if most else ""
    return ""
