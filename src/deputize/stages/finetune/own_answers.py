"""Answers that a specialist in training draws by itself, in its schema, as rows to be scored."""

from __future__ import annotations

import random
from collections.abc import Sequence

from deputize.specialists.answer_row import AnswerRow, AnswerRules, Trie, drawn_place
from deputize.specialists.answer_schema import AnswerSchema, Slot
from deputize.specialists.joint_writing import JointWriting, WrittenAnswer
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.model_rows import LlamaRows, LoadedAdapter, ModelRows, TransformersRows
from deputize.stages.finetune.encode import EncodedExample, written_example


class DrawnRow(AnswerRow):
    """An answer whose tokens are drawn, and kept slot by slot."""

    def __init__(self, rules: AnswerRules, prompt: Sequence[int], rng: random.Random) -> None:
        self.written: list[tuple[Slot, list[int]]] = []
        """Slots with their tokens, the break at the end included but for one that was given up."""
        super().__init__(rules, prompt, draw=lambda scores: drawn_place(scores, rng))

    def trial(self, most: int) -> list[int]:
        """None: what is drawn cannot be guessed."""
        return []

    def _append(self, token: int) -> None:
        assert self.slot is not None
        if not self.ids:
            self.written.append((self.slot, []))
        self.written[-1][1].append(token)
        super()._append(token)


class OwnAnswers:
    """Draws answers with the adapter that is being trained, as its weights are at that moment."""

    def __init__(self, base: LanguageModel, adapter: str, schema: AnswerSchema, max_slot_tokens: int) -> None:
        self.base, self.adapter, self.schema = base, adapter, schema
        self._rules = AnswerRules(base, schema, max_slot_tokens, write_free_slots=True)
        self._tries: dict[str, Trie] = {}

    def drawn(self, rows: Sequence[EncodedExample], seed: int) -> list[EncodedExample]:
        """An answer to the prompt of each row, as rows of the same weight; the same for the same seed and weights."""
        rng = random.Random(seed)
        made = [DrawnRow(self._rules, row.ids[: row.n_prompt], rng) for row in rows]
        is_stacked = self.base.can_stack and not self.base.stack.why_no_pack(self.adapter)
        reader: ModelRows = LlamaRows(self.base.stack) if is_stacked else TransformersRows(self.base)
        adapter = LoadedAdapter(self.base.stack.pack(self.adapter) if is_stacked else None)
        writing = JointWriting(self.base, reader, 0)
        writing.add([WrittenAnswer(one, adapter, lambda _: None, lambda: True) for one in made])
        writing.finish()
        return [
            written_example(self.base, one.prompt, one.written, self.schema, row.weight, self._tries)
            for one, row in zip(made, rows, strict=True)
        ]
