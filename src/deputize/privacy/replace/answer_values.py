"""The values of an answer that must survive replacement: labels of the task, and values copied out of the prompt."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator
from typing import Any

from deputize.core.contracts import parse_json_object, text_of, tool_calls_of
from deputize.core.records import Call
from deputize.privacy.call_texts import message_strings, rewrite_text

MAX_LABEL_CHARS = 80
"""A longer answer in prose is not one value."""


def answer_values(call: Call, labels: Collection[str]) -> tuple[set[str], set[str]]:
    """(labels, copies): values of the answer that belong to the task's vocabulary, and values copied from the prompt.

    Args:
        call: a call.
        labels: the vocabulary of its site, case folded.
    """
    values = set(_values_of_answer(call))
    prompt = "\n".join(_prompt_texts(call))
    own = {value for value in values if value.casefold().strip() in labels}
    return own, {value for value in values - own if len(value) > 2 and occurs_in(value, prompt)}


def labels_are_kept(call: Call, clean: Callable[[str], str], labels: Collection[str]) -> bool:
    """True where no value of the answer that belongs to the task's vocabulary is changed."""
    values = {v for v in _values_of_answer(call) if v.casefold() in labels}
    return all(clean(value) == value for value in values)


def answer_still_follows(call: Call, clean: Callable[[str], str], labels: Collection[str]) -> bool:
    """True where the answer of a rewritten call still follows from its prompt: labels are unchanged, copies are still
    copies."""
    own, copies = answer_values(call, labels)
    if any(clean(value) != value for value in own):
        return False
    prompt = "\n".join(rewrite_text(text, clean) for text in _prompt_texts(call)) if copies else ""
    return all(occurs_in(clean(value), prompt) for value in copies)


def occurs_in(value: str, text: str) -> bool:
    """True where a value is part of a text as a whole, not inside a longer word or number."""
    at = text.find(value)
    while at >= 0:
        end = at + len(value)
        if not (value[0].isalnum() and text[at - 1 : at].isalnum()) and not (
            value[-1].isalnum() and text[end : end + 1].isalnum()
        ):
            return True
        at = text.find(value, at + 1)
    return False


def _prompt_texts(call: Call) -> list[str]:
    return [text for message in call.messages for text in message_strings(message)]


def _values_of_answer(call: Call) -> Iterator[str]:
    """The values of an answer: of its tool arguments or JSON fields, or the whole of a short text."""
    tool_calls = tool_calls_of(call.response)
    text = text_of(call.response)
    value: Any = [one["arguments"] for one in tool_calls] if tool_calls else parse_json_object(text)
    if value is None:
        if 0 < len(text.strip()) <= MAX_LABEL_CHARS:
            yield text.strip()
        return
    stack = [value]
    while stack:
        inner = stack.pop()
        if isinstance(inner, dict):
            stack.extend(inner.values())
        elif isinstance(inner, list):
            stack.extend(inner)
        elif isinstance(inner, str) and inner.strip():
            yield inner.strip()
        elif isinstance(inner, int | float) and not isinstance(inner, bool):
            yield json.dumps(inner)
