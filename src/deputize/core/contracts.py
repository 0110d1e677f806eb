"""The canonical answer of a reply under a contract, the agreement of two answers, and the message of an answer.

One definition serves training, scoring, certification and the live path, so that they cannot drift apart.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container, Iterable
from typing import Any

from deputize.core.records import Answer, Contract, Message

DEFER = "<defer>"
"""The answer "the LLM answers this call" at a mixed site."""

_SPACE = re.compile(r"\s+")
_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n?\s*```\s*$", re.DOTALL)


def text_of(message: Message) -> str:
    """The text of a message: its content string, or its text parts joined; '' where there is none."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        parts = (p.get("text", "") for p in content if isinstance(p, dict))
        return "\n".join(p for p in parts if isinstance(p, str) and p)
    return ""


def fold(text: str) -> str:
    """Text with runs of white space folded and the ends trimmed."""
    return _SPACE.sub(" ", text).strip()


def parse_json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that the whole text is (a Markdown fence around it is allowed), else None."""
    fenced = _FENCE.match(text)
    try:
        value = json.loads(fenced.group(1) if fenced else text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def tool_calls_of(message: Message) -> list[dict[str, Any]] | None:
    """[{"name", "arguments"}] of a message, arguments parsed; [] without tool calls; None when they are malformed."""
    out: list[dict[str, Any]] = []
    for call in message.get("tool_calls") or []:
        function = call.get("function") if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return None
        arguments = function.get("arguments")
        if isinstance(arguments, str):
            try:
                arguments = json.loads(arguments) if arguments.strip() else {}
            except (ValueError, RecursionError):
                return None
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            return None
        out.append({"name": function["name"], "arguments": arguments})
    return out


def answer_of(response: Message, contract: Contract) -> Answer | None:
    """The canonical answer of a reply, or None where the reply breaks the contract.

    label -> str; json -> dict; tool_call -> list of {"name", "arguments"} or DEFER; text -> str.
    """
    calls = tool_calls_of(response)
    if contract.kind == "tool_call":
        if calls:
            return calls
        return DEFER if contract.may_defer and calls is not None else None
    if calls is None or calls:
        return DEFER if contract.may_defer else None
    text = text_of(response)
    answer: Answer | None = None
    if contract.kind == "json":
        value = parse_json_object(text)
        answer = value if value is not None and _fits(value, contract) else None
    else:
        folded = fold(text)
        answer = folded if folded in contract.labels or (folded and contract.kind == "text") else None
    # at a mixed site a reply in no form that code reads is meant for a person: the LLM's to give
    return DEFER if answer is None and contract.may_defer else answer


def _fits(value: dict[str, Any], contract: Contract) -> bool:
    known = {f.name for f in contract.fields}
    required = {f.name for f in contract.fields if not f.optional}
    return required <= value.keys() and value.keys() <= known


def agree(a: Answer | None, b: Answer | None, contract: Contract) -> bool:
    """Check whether two answers are the same under the contract. Nothing agrees with None.

    json: every field but "free" ones is equal; tool_call: same tools in the same order with equal arguments.
    Strings are compared with white space folded; 1 and 1.0 are equal, true and 1 are not.
    """
    if a is None or b is None:
        return False
    if contract.kind == "json" and isinstance(a, dict) and isinstance(b, dict):
        free = {f.name for f in contract.fields if f.type == "free"}
        a = {k: v for k, v in a.items() if k not in free}
        b = {k: v for k, v in b.items() if k not in free}
    try:
        return bool(_plain(a) == _plain(b))
    except RecursionError:  # nested as deep as no honest answer is
        return False


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return ("s", fold(value))
    if isinstance(value, bool) or value is None:
        return ("c", value)
    if isinstance(value, int | float):
        return ("n", float(value)) if abs(value) < 2**53 else ("i", value)
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    return ("o", repr(value))


def action_of(answer: Answer) -> str:
    """The decision part of a tool_call answer: the tool names joined by '+', or DEFER."""
    if isinstance(answer, list):
        return "+".join(str(c["name"]) for c in answer)
    return str(answer)


def message_of(answer: Answer, contract: Contract, call_ids: Iterable[str]) -> Message:
    """The assistant message that carries an answer. `call_ids` yields an id for each tool call.

    Raises:
        ValueError: for DEFER, which has no message: the LLM answers.
    """
    if answer == DEFER and contract.may_defer:
        raise ValueError("DEFER has no message: the LLM answers")
    if contract.kind == "tool_call":
        ids = iter(call_ids)
        return {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": next(ids),
                    "type": "function",
                    "function": {
                        "name": c["name"],
                        "arguments": json.dumps(c["arguments"], ensure_ascii=False),
                    },
                }
                for c in answer
            ],
        }
    content = json.dumps(answer, ensure_ascii=False) if contract.kind == "json" else str(answer)
    return {"role": "assistant", "content": content}


def short_reply(text: str) -> str:
    """A reply as the label it might be, "" where it is too long (more than 8 words or 80 characters) or empty."""
    folded = fold(text)
    return folded if len(folded) <= 80 and len(folded.split()) <= 8 else ""


def closed_labels(
    replies: Iterable[str],
    *,
    min_calls: int = 20,
    min_repeats: int = 3,
    coverage: float = 0.95,
    may_be: Container[str] | None = None,
) -> list[str] | None:
    """The closed set of short labels that replies are drawn from, most frequent first; None where there is none.

    A reply counts as a label when it is short (at most 8 words and 80 characters) and was given at least
    `min_repeats` times, and is one of `may_be` where that is given; the set is closed when labels cover at least
    `coverage` of at least `min_calls` replies.
    """
    counts = Counter(short_reply(r) for r in replies)
    n_calls = counts.total()
    if n_calls < min_calls:
        return None
    labels = {
        text: n
        for text, n in counts.items()
        if n >= min_repeats and text and (may_be is None or text in may_be)
    }
    if sum(labels.values()) < coverage * n_calls:
        return None
    return sorted(labels, key=lambda text: (-labels[text], text))
