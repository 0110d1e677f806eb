"""Check that the replies of a task can be compared as they would be served; where most of a reply cannot, no model is
trained."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median

from deputize.core.contracts import fence_of, parse_json_object, text_of, tool_calls_of
from deputize.core.records import Message, Task

MOST_OTHER_FENCE = 0.25
"""Share of JSON replies in another fence than the contract's from which a task is refused."""
MOST_OTHER_TEXT = 0.5
"""Share of tool-calling replies with a text of their own from which a task is refused."""


def not_comparable(task: Task, replies: Sequence[Message]) -> str:
    """Why a task is not to be tuned although its replies keep a form, with the numbers; '' where it is."""
    if task.contract.kind == "json":
        return _other_fences(task, replies) or _mostly_uncompared(task, replies)
    if task.contract.kind == "tool_call":
        return _other_texts(task, replies)
    return ""


def _other_fences(task: Task, replies: Sequence[Message]) -> str:
    fences = [fence_of(text) for text in map(text_of, replies) if parse_json_object(text) is not None]
    n_other = sum(fence != task.contract.fence for fence in fences)
    if n_other <= MOST_OTHER_FENCE * len(fences):
        return ""
    return (
        f"{n_other} of {len(fences)} replies are in another Markdown fence than the others, or in none: what is served has "
        "one form, so it would differ from them"
    )


def _mostly_uncompared(task: Task, replies: Sequence[Message]) -> str:
    """Where the longest field is one that nothing compares. A person who set the field so has decided that it is
    enough."""
    objects = [value for reply in replies if (value := parse_json_object(text_of(reply))) is not None]
    lengths = {
        f.name: median(len(json.dumps(v[f.name], ensure_ascii=False)) for v in found)
        for f in task.contract.fields
        if (found := [v for v in objects if f.name in v])
    }
    if not lengths:
        return ""
    name = max(lengths, key=lambda n: lengths[n])
    field = next(f for f in task.contract.fields if f.name == name)
    if field.type != "free" or field.by_hand:
        return ""
    rest = sum(length for other, length in lengths.items() if other != name)
    return (
        f"the longest part of its replies, {name} ({lengths[name]:.0f} characters in the middle, all other fields together "
        f"{rest:.0f}), is prose: another wording is not another answer, so a certificate would say nothing of most of a reply. "
        f"Where only a person reads it, say so with `deputize tasks field {task.id} {name} free`"
    )


def _other_texts(task: Task, replies: Sequence[Message]) -> str:
    texts = [text_of(reply).strip() for reply in replies if tool_calls_of(reply)]
    n_other = sum(text != task.contract.content for text in texts)
    if n_other <= MOST_OTHER_TEXT * len(texts):
        return ""
    return (
        f"{n_other} of {len(texts)} replies that call tools say something next to it, in ever other words: a specialist's tool "
        "call would be served without it"
    )
