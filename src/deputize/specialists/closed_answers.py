"""Answers that are combinations of closed choices: a classifier can give them, one question per choice. No torch
here."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from deputize.core.contracts import DEFER, action_of
from deputize.core.records import Answer, Record
from deputize.specialists.answer_schema import ACTION, AnswerBuilder, AnswerSchema, Slot


class ClosedAnswers(Record):
    """A schema whose answers are combinations of closed choices: read in one forward pass, one head per question."""

    schema: AnswerSchema
    questions: list[Slot]
    open_actions: list[str] = msgspec.field(default_factory=list)
    """Actions with arguments that a classifier cannot write: recognised, but answered with None."""

    def indices(self, answer: Answer) -> list[int] | None:
        """For each question the index of its choice; None where the answer is not in the schema."""
        if self.schema.kind == "tool_call":
            name = action_of(answer)
            choices = self.questions[0].choices
            return [choices.index(name)] if name in choices else None
        segments = self.schema.segments(answer)
        if segments is None:
            return None
        found = {slot.name: slot.choices.index(text) for slot, text in segments}
        # a deferred reply has no fields: -1 = not asked, not trained on
        return [found.get(slot.name, -1) for slot in self.questions]

    def answer(self, indices: Sequence[int]) -> Answer | None:
        """The answer that a choice for each question makes; None for an action with open arguments."""
        texts = {q.name: q.choices[i] for q, i in zip(self.questions, indices, strict=True)}
        if texts.get(ACTION) in self.open_actions:
            return None
        builder = AnswerBuilder(self.schema)
        while (slot := builder.slot()) is not None:
            builder.put(texts[slot.name])
        return builder.answer()

    def asked(self, indices: Sequence[int]) -> list[bool]:
        """Which questions count for an answer: none but the action field where it is deferred."""
        if self.schema.action_field is None:
            return [True] * len(self.questions)
        deferred = self.questions[0].choices[indices[0]] == DEFER
        return [True] + [not deferred] * (len(self.questions) - 1)


def closed(schema: AnswerSchema, *, partly: bool = False) -> ClosedAnswers | None:
    """The closed questions of a schema; None where answers hold values that must be written.

    Args:
        schema: of the task.
        partly: also where only some actions of a tool_call schema are closed; the others are answered with None.
    """
    if schema.kind == "tool_call":
        if schema.action_field is None:
            return None
        open_ = [
            n
            for n, tools in schema.actions.items()
            if any(s.constant is None for t in tools for s in t.slots)
        ]
        if (open_ and not partly) or len(open_) == len(schema.actions):
            return None
        return ClosedAnswers(schema=schema, questions=[schema.action_field], open_actions=open_)
    slots = [s for s in schema.slots if s.constant is None]
    if not slots or any(s.role != "decision" for s in slots):
        return None
    return ClosedAnswers(
        schema=schema, questions=[*([schema.action_field] if schema.action_field else []), *slots]
    )
