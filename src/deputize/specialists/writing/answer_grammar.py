"""The written form of a task's answers outside this package: a GBNF grammar for engines, and the way back to an answer.

An answer is written slot by slot, one line each: a blank, the text of the slot, a line break. Constants are not
written.

References:
    GBNF, https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from deputize.core.contracts import DEFER
from deputize.core.records import Answer
from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema, Slot


def grammar_of(schema: AnswerSchema, slot_ids: Callable[[str], Sequence[int]]) -> str:
    """A grammar whose sentences are the answers of a schema, token by token as a decoder writes them.

    Choices are spelled in tokens: a decoder was trained to prefer the right choice to the others, not to other ways to
    cut a choice into tokens.

    Args:
        schema: of the answers.
        slot_ids: the tokens of a slot's text, with the line break that ends it as the last one.
    """
    end = _tokens(slot_ids("")[-1:])
    if schema.action_field is None:
        return f"root ::= {_lines(schema.slots, slot_ids, end)}\n{_VALUE}"
    ways = [
        f"{_tokens(slot_ids(choice))} {_lines(slots, slot_ids, end)}".strip()
        for choice, slots in _slots_by_choice(schema, schema.action_field)
    ]
    return f"root ::= {' | '.join(ways)}\n{_VALUE}"


def _slots_by_choice(schema: AnswerSchema, action: Slot) -> Iterator[tuple[str, Sequence[Slot]]]:
    """Each action, and the slots that are written after it."""
    for choice in action.choices:
        if choice == DEFER:
            yield choice, ()
        elif schema.kind == "tool_call":
            yield choice, [slot for tool in schema.actions.get(choice, []) for slot in tool.slots]
        else:
            yield choice, schema.slots


# as a decoder may: a value that begins without the blank, or is empty
_VALUE = "value ::= [^\\r\\n]*\n"


def _lines(slots: Sequence[Slot], slot_ids: Callable[[str], Sequence[int]], end: str) -> str:
    written = [slot for slot in slots if slot.constant is None]
    return " ".join(
        f"({' | '.join(_tokens(slot_ids(choice)) for choice in slot.choices)})"
        if slot.role == "decision"
        else f"value {end}"
        for slot in written
    )


def _tokens(ids: Sequence[int]) -> str:
    return " ".join(f"<[{id}]>" for id in ids)


def pattern_of(schema: AnswerSchema) -> str:
    """A regular expression that whole answers of a schema match, for engines that keep to one: in signs, not in
    tokens."""
    if schema.action_field is None:
        return _line_patterns(schema.slots)
    ways = [
        f" {_literal(choice)}\\n{_line_patterns(slots)}"
        for choice, slots in _slots_by_choice(schema, schema.action_field)
    ]
    return f"({'|'.join(ways)})"


def _line_patterns(slots: Sequence[Slot]) -> str:
    return "".join(
        f" ({'|'.join(map(_literal, slot.choices))})\\n" if slot.role == "decision" else "[^\\r\\n]*\\n"
        for slot in slots
        if slot.constant is None
    )


def _literal(text: str) -> str:
    """A text as a pattern; only signs that have a meaning there are escaped, for not every dialect takes more."""
    return "".join(f"\\{sign}" if sign in "\\.^$*+?{}[]|()" else sign for sign in text)


def answer_of_text(schema: AnswerSchema, written: str) -> Answer | None:
    """The answer that a model has written; None where it is none of this schema. What follows it is not looked at."""
    builder = AnswerBuilder(schema)
    lines = written.split("\n")
    for line in lines[:-1]:
        slot = builder.slot()
        if slot is None:
            break
        text = line.removeprefix(" ")
        if slot.role == "decision" and text not in slot.choices:
            return None
        builder.put(text)
    return builder.answer()


def is_one_line(schema: AnswerSchema) -> bool:
    """True where every answer is one line, so that an engine may stop at the first line break."""
    if schema.action_field is None:
        return sum(slot.constant is None for slot in schema.slots) == 1
    if schema.kind != "tool_call":
        return False
    slots = [slot for tools in schema.actions.values() for tool in tools for slot in tool.slots]
    return all(slot.constant is not None for slot in slots)


def most_tokens(max_slot_tokens: int) -> int:
    """Tokens that an answer of several slots may take."""
    return 2 * max_slot_tokens + 32
