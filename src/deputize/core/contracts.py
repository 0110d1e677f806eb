"""The canonical answer of a reply under a contract, the agreement of two answers, and the message of an answer.

One definition serves training, scoring, certification and the live path, so that they cannot drift apart. Two answers
agree when the messages that `message_of` makes of them say the same, or, where a person has set a measure for a text
(core.text_measures), when they are close enough. Otherwise white space and case count everywhere but in
labels, whose white space is folded, and at the end of a text. JSON is compared as JSON: layout and order of keys do not
count, and numbers are equal when they are of one kind (1 and 1.0 differ) and of one value.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Container, Iterable
from functools import lru_cache
from typing import Any, Final, Never

from deputize.core.records import Answer, Contract, Message
from deputize.core.signature import TEXT_PARTS
from deputize.core.text_measures import are_close

DEFER = "<defer>"
"""The answer "the LLM answers this call" at a mixed site."""

_SPACE = re.compile(r"\s+")
_FENCE = re.compile(r"\s*(```(?:json)?)[^\S\n]*\n(.*?)\n?\s*```\s*", re.DOTALL | re.IGNORECASE)


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


def fence_of(text: str) -> str:
    """The line that opens the Markdown fence around a whole text of JSON; '' where there is none."""
    fenced = _FENCE.fullmatch(text)
    return fenced.group(1) if fenced else ""


def parse_json_object(text: str) -> dict[str, Any] | None:
    """The JSON object that the whole text is (a Markdown fence around it is allowed), else None."""
    fenced = _FENCE.fullmatch(text)
    try:
        value = json.loads(fenced.group(2) if fenced else text, parse_constant=_no_json)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_json(name: str) -> Never:
    raise ValueError(f"{name} is no JSON")


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
                arguments = json.loads(arguments, parse_constant=_no_json) if arguments.strip() else {}
            except (ValueError, RecursionError):
                return None
        if arguments is None:
            arguments = {}
        if not isinstance(arguments, dict):
            return None
        out.append({"name": function["name"], "arguments": arguments})
    return out


_OTHER_PARTS: Final = ("refusal", "function_call", "audio", "annotations", "not_recorded")
"""Parts of a reply, besides its text and tool calls, that a program may read."""


def has_more_than_text(response: Message) -> bool:
    """True where a reply holds what an answer made of text and tool calls would leave out."""
    if any(response.get(name) for name in _OTHER_PARTS):
        return True
    content = response.get("content")
    if not isinstance(content, list):
        return False
    # two parts of text are not one: a program may read the first alone
    return len(content) > 1 or any(
        not isinstance(p, dict) or (p.get("type") or "text") not in TEXT_PARTS for p in content
    )


def answer_of(response: Message, contract: Contract) -> Answer | None:
    """The canonical answer of a reply, or None where the reply breaks the contract.

    label -> str; json -> dict; tool_call -> list of {"name", "arguments"} or DEFER; text -> str as it stands, without
    the white space at its end. A reply in another fence than the contract's, or with other text next to its tool calls,
    would not be served as it stands: it is no answer, or the LLM's to give where the contract may defer. The same holds
    for a reply with anything besides text and tool calls (a refusal, sound, citations, images): only these are served.
    """
    if has_more_than_text(response):
        return DEFER if contract.may_defer else None
    calls = tool_calls_of(response)
    text = text_of(response)
    if contract.kind == "tool_call":
        if calls and text.strip() == contract.content:
            return calls
        return DEFER if contract.may_defer and calls is not None else None
    if calls is None or calls:
        return DEFER if contract.may_defer else None
    answer: Answer | None = None
    if contract.kind == "json":
        value = parse_json_object(text) if fence_of(text) == contract.fence else None
        answer = _canonical(value, contract) if value is not None and _fits(value, contract) else None
    else:
        answer = _spellings(tuple(contract.labels)).get(fold(text))
        if answer is None and contract.kind == "text":
            answer = text.rstrip() or None
    # at a mixed site a reply in no form that code reads is meant for a person: the LLM's to give
    return DEFER if answer is None and contract.may_defer else answer


def _fits(value: dict[str, Any], contract: Contract) -> bool:
    if contract.from_request:
        return True  # its request says which fields it has
    known = {f.name for f in contract.fields}
    required = {f.name for f in contract.fields if not f.optional}
    if not (required <= value.keys() and value.keys() <= known):
        return False
    return all(isinstance(value.get(name, ""), str) for name in contract.uncompared)


@lru_cache(maxsize=1024)
def _spellings(labels: tuple[str, ...]) -> dict[str, str]:
    """Folded label -> the label as it is written; of labels that differ in white space alone the first."""
    return {fold(label): label for label in reversed(labels)}


def _canonical(answer: Answer, contract: Contract) -> Answer:
    """An answer with each label as the contract writes it, and the fields of a JSON object in the contract's order."""
    if contract.kind == "label" and isinstance(answer, str):
        return _spellings(tuple(contract.labels)).get(fold(answer), answer)
    if contract.kind != "json" or not isinstance(answer, dict):
        return answer
    out = dict(answer)
    for field in contract.fields:
        value = out.get(field.name)
        if field.type == "label" and isinstance(value, str):
            labels = tuple(label for label in field.labels if isinstance(label, str))
            out[field.name] = _spellings(labels).get(fold(value), value)
    known = [f.name for f in contract.fields if f.name in out]
    return {name: out[name] for name in (*known, *(n for n in out if n not in known))}


def agree(a: Answer | None, b: Answer | None, contract: Contract) -> bool:
    """Check whether two answers are the same under the contract. Nothing agrees with None.

    json: every field but "free" ones is equal; tool_call: same tools in the same order with equal arguments; label and
    text: the same string. A text or field with a measure: close enough by it. Without one, answers that agree make the
    same message, but for free fields and ids of tool calls.
    """
    if a is None or b is None:
        return False
    return _is_same(a, b, contract) or _is_same(a, _with_close_texts(b, a, contract), contract)


def _is_same(a: Answer, b: Answer, contract: Contract) -> bool:
    try:
        return same_value(_compared(a, contract), _compared(b, contract))
    except RecursionError:  # nested as deep as no honest answer is
        return False


def _with_close_texts(answer: Answer, other: Answer, contract: Contract) -> Answer:
    """An answer with the texts of another one in the place of its own where they are close by a measure."""
    if contract.measure is not None and DEFER not in (answer, other):
        close = (
            isinstance(answer, str) and isinstance(other, str) and are_close(answer, other, contract.measure)
        )
        return other if close else answer
    if not isinstance(answer, dict) or not isinstance(other, dict):
        return answer
    close_fields = {
        f.name: other[f.name]
        for f in contract.fields
        if f.measure is not None
        and isinstance(mine := answer.get(f.name), str)
        and isinstance(theirs := other.get(f.name), str)
        and are_close(mine, theirs, f.measure)
    }
    return {**answer, **close_fields}


def measures_of(contract: Contract) -> list[str]:
    """A sentence about each text that agrees from a level of closeness on."""
    whole = [("Two replies", contract.measure)] if contract.measure else []
    fields = [(f"Two values of {f.name}", f.measure) for f in contract.fields if f.measure]
    return [
        f"{what} count as the same here where a judge finds neither worse, asked in both orders."
        if measure.name == "judge"
        else f"{what} are the same here from {measure.in_words()} on."
        for what, measure in (*whole, *fields)
    ]


def needs_judge(contract: Contract) -> bool:
    """True where two texts that are not the same are for a judge to compare, so that certificates are of the judged
    tier."""
    return contract.measure is not None and contract.measure.name == "judge"


def levels_of(contract: Contract) -> list[str]:
    """The measures by which texts agree, each as "measure>=level", or "field: measure>=level"; "judge" where a judge
    decides."""
    named = [("", contract.measure), *((f"{f.name}: ", f.measure) for f in contract.fields)]
    return [
        "judge" if measure.name == "judge" else f"{name}{measure.name}>={measure.level:g}"
        for name, measure in named
        if measure is not None
    ]


def agrees_with_itself(first: Answer | None, second: Answer | None, contract: Contract) -> bool:
    """True where two answers of the LLM to one request agree, or both break the contract.

    Two broken answers say nothing for a specialist that answers otherwise, so they are no disagreement of the LLM's.
    """
    return agree(first, second, contract) or (first is None and second is None)


def _compared(answer: Answer, contract: Contract) -> Answer:
    if isinstance(answer, dict) and (free := contract.uncompared):
        answer = {k: v for k, v in answer.items() if k not in free}
    return _canonical(answer, contract)


MOST_DISTINCT = 4096
"""Distinct answers that are counted at a time: of more the rarer half is forgotten, so counts are too low by few."""


class CommonestAnswer:
    """The most frequent of answers that come by one at a time; those that differ only in what is not compared count as
    one."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._counts: dict[str, tuple[int, Answer]] = {}
        """Answer as it is compared -> how often, and the first of its kind."""

    def add(self, answer: Answer) -> None:
        """Counts an answer."""
        key = _written(_compared(answer, self._contract))
        n, first = self._counts.get(key, (0, answer))
        self._counts[key] = (n + 1, first)
        if len(self._counts) > MOST_DISTINCT:
            often = sorted(self._counts.items(), key=lambda item: -item[1][0])[: MOST_DISTINCT // 2]
            kept = {key for key, _ in often}
            self._counts = {key: found for key, found in self._counts.items() if key in kept}

    @property
    def answer(self) -> Answer | None:
        """The most frequent one, of several the first; None where there was none."""
        return max(self._counts.values(), key=lambda found: found[0])[1] if self._counts else None


def commonest_answer(answers: Iterable[Answer], contract: Contract) -> Answer | None:
    """The most frequent answer; answers that differ only in fields that are not compared count as one. None of no
    answers."""
    found = CommonestAnswer(contract)
    for answer in answers:
        found.add(answer)
    return found.answer


def same_value(a: Any, b: Any) -> bool:
    """True where two values are the same JSON: strings character by character, numbers by kind and value.

    Raises:
        RecursionError: they are nested too deeply.
    """
    if isinstance(a, str) and isinstance(b, str):
        return a == b
    return _written(a) == _written(b)


def _written(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, default=repr)


def action_of(answer: Answer) -> str:
    """The decision part of a tool_call answer: the tool names joined by '+', or DEFER."""
    if isinstance(answer, list):
        return "+".join(str(c["name"]) for c in answer)
    return str(answer)


def served_message(answer: Answer | None, contract: Contract, call_ids: Iterable[str]) -> Message | None:
    """The message that a specialist's answer is served as; None where it breaks the contract after all.

    The gateway serves it, and calibration counts an answer without one as not served, so that both decide alike.
    """
    if answer is None:
        return None
    try:
        message = message_of(answer, contract, call_ids)
    except (ValueError, TypeError, KeyError):
        return None
    # the message that is served must read back as the answer that was certified
    read = answer_of(message, contract)
    return message if read is not None and _is_same(read, answer, contract) else None


def message_of(answer: Answer, contract: Contract, call_ids: Iterable[str]) -> Message:
    """The assistant message that carries an answer. `call_ids` yields an id for each tool call.

    Raises:
        ValueError: for DEFER, which has no message (the LLM answers), and for numbers that JSON does not have.
    """
    if answer == DEFER and contract.may_defer:
        raise ValueError("DEFER has no message: the LLM answers")
    if contract.kind == "tool_call":
        ids = iter(call_ids)
        return {
            "role": "assistant",
            "content": contract.content or None,
            "tool_calls": [
                {
                    "id": next(ids),
                    "type": "function",
                    "function": {
                        "name": c["name"],
                        "arguments": json.dumps(c["arguments"], ensure_ascii=False, allow_nan=False),
                    },
                }
                for c in answer
            ],
        }
    answer = _canonical(answer, contract)
    if contract.kind == "json":
        content = json.dumps(answer, ensure_ascii=False, allow_nan=False)
        content = f"{contract.fence}\n{content}\n```" if contract.fence else content
    else:
        content = str(answer)
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
