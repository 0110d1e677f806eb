"""Typed decisions: questions about an input, answered by an option each, with probabilities and without a text.

A request is read as a chat request that asks for a JSON object with a field for each question, and its answers as that
object: so a decision has a template key, a contract, an audit and a certificate like every structured reply. What is
compared of an answer is the option: true from a probability of one half on, the choice, the level next to the score.

References:
    OpenAI API reference, "Decisions" (beta): a list of questions about `input`. The System One API: named questions
    about `state`; some servers take this form at both paths.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from deputize.core.contracts import parse_json_object, same_value, text_of
from deputize.core.errors import BadInput
from deputize.core.records import Message
from deputize.wire.chat_parser import error_text
from deputize.wire.dialect import ReplyHead
from deputize.wire.events import Completion
from deputize.wire.json_fields import mapping
from deputize.wire.responses_parser import usage_event
from deputize.wire.responses_request import items_to_chat

_encode = msgspec.json.Encoder().encode

_RECORDED_APART = frozenset({"input", "state", "questions", "model"})
_HALF = 0.5
_DIGITS = 6
_LEAD = 1e-6
"""What the chosen option is ahead of the others by, whatever the confidence."""

_KINDS = frozenset({"predicate", "noul", "choice", "score"})
Kind = Literal["predicate", "choice", "score", "other"]


class Question(NamedTuple):
    """One question of a request."""

    name: str
    """By which its answer is known here: its own, else question_1 for the first of a list, and so on."""
    given: str | None
    """The name in the request; None: it has none."""
    kind: Kind
    options: list[Any]
    """The values an answer may have; of a score the numbers of its levels, from 0."""
    labels: list[str]
    """Of a score: the words of its levels."""
    schema: dict[str, Any]
    """Its answer as a JSON schema, which holds all that the question says."""


def params(fields: dict[str, Any]) -> dict[str, Any]:
    """Every request field besides the input, the questions and the model, as sent."""
    return {k: v for k, v in fields.items() if k not in _RECORDED_APART}


# --- requests --------------------------------------------------------------------------------------------------------


def to_chat(fields: dict[str, Any]) -> dict[str, Any]:
    """A request for decisions as a chat request.

    Raises:
        BadInput: it has no questions or no input, or asks for a stream.
    """
    if fields.get("stream"):
        raise BadInput("Decisions are not streamed.")
    properties = {question.name: question.schema for question in questions_of(fields)}
    if not properties:
        raise BadInput("The request needs 'questions': at least one.")
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {
        "model": fields.get("model"),
        "messages": _messages(fields),
        "response_format": {"type": "json_schema", "json_schema": {"name": "decisions", "schema": schema}},
    }


def from_chat(chat: dict[str, Any]) -> dict[str, Any]:
    """Nothing: a conversation is no list of questions.

    Raises:
        BadInput: always.
    """
    raise BadInput("A conversation cannot be translated to a request for decisions.")


def _messages(fields: dict[str, Any]) -> list[Message]:
    if "state" in fields:
        return [{"role": "user", "content": _as_text(fields["state"])}]
    if not fields.get("input"):
        raise BadInput("The request needs 'input': a text, or a list of items.")
    messages = items_to_chat(fields["input"])
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            message["content"] = [_plain_part(part) for part in content]
    return messages


def _plain_part(part: Any) -> Any:
    if isinstance(part, dict) and part.get("type") == "input_json":
        return {"type": "text", "text": _as_text(part.get("data"))}
    return part


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else _encode(value).decode()


def is_request(fields: Mapping[str, Any]) -> bool:
    """True for the body of a request for decisions: an input, and questions of the kinds that there are."""
    asked = fields.get("questions")
    questions = [*asked.values()] if isinstance(asked, dict) else asked
    if not isinstance(questions, list) or not questions or not ("input" in fields or "state" in fields):
        return False
    return all(isinstance(q, dict) and q.get("type") in _KINDS for q in questions)


def questions_of(fields: dict[str, Any]) -> list[Question]:
    """The questions of a request, in their order; [] where there are none that can be read."""
    asked = fields.get("questions")
    if isinstance(asked, dict):
        return [_question(name, value) for name, value in asked.items() if isinstance(value, dict)]
    return [_question(name, value) for name, value in _listed(asked)]


def _listed(rows: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, row) of each question of a list, or of each of its answers, which come in the same order."""
    taken: set[str] = set()
    for position, row in enumerate(rows if isinstance(rows, list) else (), 1):
        if isinstance(row, dict):
            given = row.get("name")
            name = given if isinstance(given, str) and given else f"question_{position}"
            while name in taken:
                name += "'"
            taken.add(name)
            yield name, row


def _question(name: str, asked: dict[str, Any]) -> Question:
    given = asked.get("name")
    about = {"description": _as_text(asked["instructions"])} if asked.get("instructions") else {}
    kind, criteria = asked.get("type"), asked.get("criteria")
    if kind in ("predicate", "noul"):
        meaning = {"criteria": criteria} if criteria else {}
        return Question(name, given, "predicate", [True, False], [], {"type": "boolean", **about, **meaning})
    if kind == "choice":
        rows = list(_choices(asked))
        options = [value for value, _ in rows]
        one_of = [{"const": value, **({"description": text} if text else {})} for value, text in rows]
        return Question(name, given, "choice", options, [], {**about, "oneOf": one_of})
    if kind == "score":
        levels = list(_levels(asked))
        one_of = [{"const": number, "title": level[0], **level[1]} for number, level in enumerate(levels)]
        numbers = list(range(len(levels)))
        return Question(
            name, given, "score", numbers, [level[0] for level in levels], {**about, "oneOf": one_of}
        )
    return Question(name, given, "other", [], [], {"question": asked})


def _choices(asked: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    """(value, description) of each option."""
    listed = asked.get("choices")
    for choice in listed if isinstance(listed, list) else ():
        if isinstance(choice, dict):
            yield choice.get("value"), choice.get("description")
    criteria = asked.get("criteria")
    if isinstance(criteria, dict):
        yield from criteria.items()
    elif isinstance(criteria, list):
        yield from ((value, None) for value in criteria)


def _levels(asked: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(label, what else is said of it) of each level, from the lowest."""
    levels = asked.get("levels") or asked.get("criteria")
    for level in levels if isinstance(levels, list) else ():
        if isinstance(level, dict):
            yield _as_text(level.get("label")), {k: v for k, v in level.items() if k != "label"}
        else:
            yield _as_text(level), {}


# --- replies ---------------------------------------------------------------------------------------------------------


def parse_reply(value: Any) -> Completion:
    """The answers as a JSON object: question -> option. The message also holds them as they came, with probabilities.

    A question that the model declined is left out and named as the refusal; of one that cannot be read the record says
    so.
    """
    reply = mapping(value) or {}
    if reply.get("error"):
        return Completion({}, "", error=error_text(reply["error"]))
    answers, usage = reply.get("answers"), mapping(reply.get("usage"))
    if not isinstance(answers, dict | list):
        answers = []
    decided: dict[str, Any] = {}
    refused: list[str] = []
    for name, answer in answers.items() if isinstance(answers, dict) else _listed(answers):
        option = _option(answer) if isinstance(answer, dict) else None
        if option is not None:
            decided[name] = option
        elif isinstance(answer, dict) and answer.get("type") == "refusal":
            refused.append(name)
    message: Message = {"role": "assistant", "content": _encode(decided).decode() if decided else ""}
    if answers:
        message["answers"] = answers
    if refused:
        message["refusal"] = ", ".join(refused)
    if len(decided) + len(refused) < max(1, len(answers)):
        message["not_recorded"] = ["decisions"]
    counts = usage_event(usage).usage() if usage is not None else None
    return Completion(message, "stop", counts, model=str(reply.get("model") or ""))


def _option(answer: dict[str, Any]) -> Any:
    """The option that an answer comes to; None where it cannot be read."""
    kind = answer.get("type")
    if kind in ("predicate", "noul"):
        probability = answer.get("probability" if kind == "predicate" else "noul")
        return None if (number := _number(probability)) is None else number >= _HALF
    if kind == "choice":
        choice = answer.get("choice")
        return choice if isinstance(choice, str | bool) else None
    score = _number(answer.get("score")) if kind == "score" else None
    return None if score is None else max(0, int(score + _HALF))


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def fits(message: Message, fields: dict[str, Any]) -> bool:
    """True where a message answers the questions of a request with nothing but options of theirs."""
    decided = parse_json_object(text_of(message))
    asked = {question.name: question for question in questions_of(fields)}
    return bool(decided) and all(
        name in asked and any(same_value(value, option) for option in asked[name].options)
        for name, value in (decided or {}).items()
    )


def encode_reply(reply: Completion, head: ReplyHead) -> bytes:
    """The decisions of a message in the form of the request. The confidence of the whole is the probability of each
    chosen option; the others share the rest. A question without an answer counts as declined."""
    decided = parse_json_object(text_of(reply.message)) or {}
    confidence = 1.0 if head.confidence is None else head.confidence
    by_name = isinstance(head.fields.get("questions"), dict)
    answers = [
        (question, _answer(question, decided.get(question.name), confidence, by_name))
        for question in questions_of(head.fields)
    ]
    written: Any
    if by_name:
        written = {question.name: answer for question, answer in answers if answer["type"] != "refusal"}
    else:
        written = [{**a, "name": question.given} for question, a in answers]
    counts = reply.counts
    n_in, n_out = counts.prompt_tokens or 0, counts.completion_tokens or 0
    usage = {
        "input_tokens": n_in,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": n_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": n_in + n_out,
    }
    return _encode({"model": head.model, "answers": written, "usage": usage})


def _answer(question: Question, option: Any, confidence: float, by_name: bool) -> dict[str, Any]:
    """One answer, in the form of named questions or of the list."""
    options = question.options
    place = next((i for i, known in enumerate(options) if same_value(known, option)), None)
    if place is None:
        return {"type": "refusal"}
    n = len(options)
    likely = min(1.0, max(confidence, 1 / n + _LEAD))
    rest = (1 - likely) / (n - 1) if n > 1 else 0.0
    probabilities = [round(likely if i == place else rest, _DIGITS) for i in range(n)]
    if question.kind == "predicate":
        kind, field = ("noul", "noul") if by_name else ("predicate", "probability")
        return {"type": kind, field: probabilities[0]}
    # 0 where all options are equally likely, 1 where one is certain
    lead = round((likely - 1 / n) / (1 - 1 / n), _DIGITS) if n > 1 else 1.0
    if question.kind == "choice":
        named: Any = dict(zip(map(str, options), probabilities, strict=True))
        rows = [{"value": o, "probability": p} for o, p in zip(options, probabilities, strict=True)]
        return {
            "type": "choice",
            "choice": option,
            "probabilities": named if by_name else rows,
            "confidence": lead,
        }
    words = question.labels
    if by_name:
        numbered = {str(i): p for i, p in enumerate(probabilities)}
        legend = {str(i): word for i, word in enumerate(words)}
        extra: dict[str, Any] = {"probabilities": numbered, "legend": legend}
    else:
        rows = [{"value": i, "label": words[i], "probability": p} for i, p in enumerate(probabilities)]
        extra = {"probabilities": rows}
    # the level itself, for that is what was certified: with the rest shared out the mean says nothing
    return {"type": "score", "score": float(option), **extra, "confidence": lead}
