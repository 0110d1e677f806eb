"""The written form of a task's answers outside this package: a GBNF grammar for engines, and the way back to an answer.

An answer is written slot by slot, one line each: a blank, the text of the slot, a line break. Constants are not written.

References:
    GBNF, https://github.com/ggml-org/llama.cpp/blob/master/grammars/README.md
"""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.contracts import DEFER
from deputize.core.records import Answer
from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema, Slot


def grammar_of(schema: AnswerSchema) -> str:
    """A grammar whose sentences are the answers of a schema as a decoder writes them."""
    if schema.action_field is None:
        return f"root ::= {_lines(schema.slots)}\n{_VALUE}"
    ways = []
    for choice in schema.action_field.choices:
        slots: Sequence[Slot] = ()
        if choice != DEFER:
            given = schema.actions.get(choice, [])
            slots = [s for tool in given for s in tool.slots] if schema.kind == "tool_call" else schema.slots
        ways.append(f"{_line(_quoted(choice))} {_lines(slots)}".strip())
    return f"root ::= {' | '.join(ways)}\n{_VALUE}"


# as a decoder may: a value that begins without the blank, or is empty
_VALUE = "value ::= [^\\r\\n]*\n"


def _lines(slots: Sequence[Slot]) -> str:
    return " ".join(_slot(slot) for slot in slots if slot.constant is None)


def _slot(slot: Slot) -> str:
    if slot.role != "decision":
        return 'value "\\n"'
    return _line(f"({' | '.join(map(_quoted, slot.choices))})")


def _line(inner: str) -> str:
    return f'" " {inner} "\\n"'


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'


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
