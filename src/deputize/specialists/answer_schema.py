"""Schema of a task's answers: only what varies is written, slot by slot; the rest is added by construction.

Constant JSON keys, constant values and tool names never become tokens. A schema is made from the LLM's answers in
train (learn_schema); `AnswerBuilder` then asks for one slot after the other and builds an answer that keeps the
contract. No torch here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from deputize.core.contracts import DEFER, action_of, same_value
from deputize.core.records import Answer, Record

ACTION = "<action>"
"""Name of the slot that decides between tools, or between answering and deferring to the LLM."""
REPLY = "<reply>"
"""In the action slot of a json, label or text task at a mixed site: the specialist answers itself."""
ABSENT = "~"


class Slot(Record):
    """One value of an answer, as text."""

    name: str
    role: Literal["decision", "value", "free"]
    """decision: out of a closed set; value: copied or computed, compared; free: text that is not compared."""
    choices: list[str] = msgspec.field(default_factory=list)
    """role decision: the texts it is chosen from."""
    plain: bool = True
    """True: strings stand as they are and everything else as ~JSON; False: every value is JSON."""
    optional: bool = False
    constant: str | None = None
    """The text, where it never varied: not written at all."""
    form: str = ""
    """JSON schema, written, that a value keeps to; "": none is known."""

    def write(self, value: Any, *, present: bool = True) -> str:
        """A value as the text of this slot: one line, read back by `read`."""
        if not present:
            return ABSENT
        if self.plain and isinstance(value, str) and _is_plain(value):
            return value
        data = json.dumps(value, ensure_ascii=False, separators=(", ", ": "))
        return f"~{data}" if self.plain else data

    def read(self, text: str) -> tuple[bool, Any]:
        """(present, value) of a text.

        Raises:
            ValueError: the text is no value of this slot.
        """
        if text == ABSENT:
            if not self.optional:
                raise ValueError("a required value is absent")
            return False, None
        if not self.plain:
            return True, json.loads(text)
        return True, json.loads(text[1:]) if text.startswith("~") else text


def _is_plain(text: str) -> bool:
    return bool(text) and not text.startswith("~") and text == text.strip() and text.isprintable()


class ToolCallSchema(Record):
    """One tool call: its name and its arguments in the order they are written."""

    tool: str
    slots: list[Slot]
    keys: list[str]
    """Argument names in the LLM's order, for the JSON that is sent."""


class AnswerSchema(Record):
    """How answers of one task are written."""

    kind: Literal["label", "json", "tool_call", "text"]
    slots: list[Slot] = msgspec.field(default_factory=list)
    keys: list[str] = msgspec.field(default_factory=list)
    """json: the keys in the LLM's order."""
    actions: dict[str, list[ToolCallSchema]] = msgspec.field(default_factory=dict)
    """tool_call: what each action writes after it is decided; DEFER writes nothing."""
    action_field: Slot | None = None
    """The slot that decides the action: of tool_call always, of other kinds where the site is mixed."""

    def segments(self, answer: Answer) -> list[tuple[Slot, str]] | None:
        """The slots of an answer and their texts, in the order of writing, constants left out.

        None where this schema cannot express the answer (an unseen label, tool, key or argument).
        """
        builder = AnswerBuilder(self)
        out: list[tuple[Slot, str]] = []
        while (slot := builder.slot()) is not None:
            text = _wanted(self, builder, slot, answer)
            if text is None or (slot.role == "decision" and text not in slot.choices):
                return None
            out.append((slot, text))
            builder.put(text)
        return out if same_value(builder.answer(), answer) else None


class AnswerBuilder:
    """One answer being written: `slot()` says what comes next, `put(text)` takes it, `answer()` builds the whole."""

    def __init__(self, schema: AnswerSchema) -> None:
        self.schema = schema
        self.action: str | None = None
        self.texts: list[str] = []
        """Texts of all slots after the action field, constants included."""
        self._plan: list[Slot] = list(schema.slots)
        if schema.action_field is None:
            self._take_constants()

    def slot(self) -> Slot | None:
        """The next slot to write, None when the answer is complete."""
        if self.schema.action_field is not None and self.action is None:
            return self.schema.action_field
        return self._plan[len(self.texts)] if len(self.texts) < len(self._plan) else None

    def place(self) -> tuple[int, int]:
        """Which tool call (0 for other kinds) and which of its slots comes next."""
        at, index = len(self.texts), 0
        if self.schema.kind == "tool_call" and self.action is not None:
            for index, tool in enumerate(self.schema.actions.get(self.action, [])):
                if at < len(tool.slots):
                    return index, at
                at -= len(tool.slots)
        return index, at

    def put(self, text: str) -> None:
        """Takes the text of the next slot."""
        if self.schema.action_field is not None and self.action is None:
            self.action = text
            if text == DEFER:
                self._plan = []
            elif self.schema.kind == "tool_call":
                self._plan = [slot for tool in self.schema.actions.get(text, []) for slot in tool.slots]
        else:
            self.texts.append(text)
        self._take_constants()

    def _take_constants(self) -> None:
        while len(self.texts) < len(self._plan):
            constant = self._plan[len(self.texts)].constant
            if constant is None:
                return
            self.texts.append(constant)

    def answer(self) -> Answer | None:
        """The canonical answer, None where a text was no value of its slot or slots are missing."""
        if self.slot() is not None:
            return None
        if self.action == DEFER:
            return DEFER
        try:
            if self.schema.kind == "tool_call":
                return self._calls()
            if self.schema.kind == "json":
                return _object(self.schema.slots, self.texts, self.schema.keys)
            return self.schema.slots[0].read(self.texts[0])[1]
        except (ValueError, RecursionError):
            return None

    def _calls(self) -> Answer | None:
        if not self.action or self.action not in self.schema.actions:
            return None
        out, at = [], 0
        for tool in self.schema.actions[self.action]:
            n_slots = len(tool.slots)
            out.append(
                {
                    "name": tool.tool,
                    "arguments": _object(tool.slots, self.texts[at : at + n_slots], tool.keys),
                }
            )
            at += n_slots
        return out


def _object(slots: Sequence[Slot], texts: Sequence[str], keys: Sequence[str]) -> dict[str, Any]:
    found = {}
    for slot, text in zip(slots, texts, strict=True):
        present, value = slot.read(text)
        if present:
            found[slot.name] = value
    return {key: found[key] for key in keys if key in found}


def _wanted(schema: AnswerSchema, builder: AnswerBuilder, slot: Slot, answer: Answer) -> str | None:
    if slot is schema.action_field:
        return action_of(answer) if schema.kind == "tool_call" else (DEFER if answer == DEFER else REPLY)
    if schema.kind in ("label", "text"):
        return slot.write(answer) if isinstance(answer, str) else None
    if schema.kind == "json":
        return _field(slot, answer)
    index, _ = builder.place()
    return (
        _field(slot, answer[index]["arguments"]) if isinstance(answer, list) and index < len(answer) else None
    )


def _field(slot: Slot, values: Any) -> str | None:
    if not isinstance(values, dict):
        return None
    if slot.name not in values:
        return ABSENT if slot.optional else None
    return slot.write(values[slot.name])
