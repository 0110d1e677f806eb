"""The predictor of a specialist whose answers another program writes: read back slot by slot, with the confidence of
its decoder.

A decision counts with its probability among the choices, a value with its own, as in `specialists.decoder`; a choice
that the program does not list among its likeliest tokens counts as its least likely one listed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema, Slot
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.prompt_tokenizer import PromptTokenizer, slot_ids
from deputize.specialists.writing.base import Key, Writer, WrittenToken

_SURE = 30.0
"""Margin in nats where nothing else was possible."""


class WrittenDecoder:
    """Predicts answers that a writer writes."""

    kind = "decoder"

    def __init__(
        self,
        words: PromptTokenizer,
        writer: Writer,
        schema: AnswerSchema,
        max_tokens: int,
        max_slot_tokens: int,
    ) -> None:
        """
        Args:
            words: the tokenizer of the model.
            writer: what writes.
            schema: of the answers.
            max_tokens: longest prompt.
            max_slot_tokens: after which a value is given up.
        """
        self.words, self.writer, self.schema = words, writer, schema
        self.max_tokens, self.max_slot_tokens = max_tokens, max_slot_tokens

    @property
    def engine(self) -> str:
        """The engine and precision that answer, as certificates name them."""
        return self.writer.label

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order.

        Raises:
            BadInput, UpstreamError: as `Writer.write`.
        """
        prompts = self.words.prompt_ids(texts, self.max_tokens)
        if self.writer.at_once == 1 or len(prompts) < 2:
            return [self._predict(prompt) for prompt in prompts]
        with ThreadPoolExecutor(min(self.writer.at_once, len(prompts))) as pool:
            return list(pool.map(self._predict, prompts))

    def release(self) -> None:
        """Frees what the writer holds."""
        self.writer.close()

    def _predict(self, prompt: list[int]) -> RawPrediction:
        reading = _Reading(self)
        for token in self.writer.write(prompt):
            reading.take(token)
            if reading.slot is None:
                break
        answer = None if reading.cut else reading.builder.answer()
        confidence = RawConfidence.of(reading.log_ps, reading.margins)
        return RawPrediction(answer, confidence, len(prompt), reading.n_out)

    def text_of(self, keys: Sequence[Key]) -> str:
        """The text of some tokens."""
        if keys and isinstance(keys[0], int):
            return str(self.words.tokenizer.decode(list(keys), clean_up_tokenization_spaces=False))
        return "".join(map(str, keys))

    def tree(self, slot: Slot, *, by_id: bool) -> dict[Key, Any]:
        """The ways to write the choices of a decision, token by token."""
        root: dict[Key, Any] = {}
        for choice in slot.choices:
            at = root
            for token in slot_ids(self.words, choice):
                at = at.setdefault(token if by_id else self.text_of([token]), {})
        return root


class _Reading:
    """One answer as it is read."""

    def __init__(self, decoder: WrittenDecoder) -> None:
        self._decoder = decoder
        self.builder = AnswerBuilder(decoder.schema)
        self.slot = self.builder.slot()
        self.log_ps: list[float] = []
        self.margins: list[float] = []
        self.n_out = 0
        self.cut = False
        self._keys: list[Key] = []
        self._before = ""
        """What a token held beyond the line break before."""
        self._tree: dict[Key, Any] | None = None
        self._begun = False

    def take(self, token: WrittenToken) -> None:
        """Takes the next token; `slot` is None once the answer is complete or given up."""
        slot = self.slot
        assert slot is not None
        self.n_out += 1
        if not self._begun:
            by_id = isinstance(token.key, int)
            self._tree = self._decoder.tree(slot, by_id=by_id) if slot.role == "decision" else None
            self._begun = True
        if slot.role != "free":
            self._count(token)
        self._keys.append(token.key)
        if "\n" in self._decoder.text_of([token.key]):
            text, self._before = (self._before + self._decoder.text_of(self._keys)).split("\n", 1)
            self._end(slot, text.removeprefix(" "))
        elif len(self._keys) >= self._decoder.max_slot_tokens and slot.role != "decision":
            self.cut, self.slot = True, None

    def _end(self, slot: Slot, text: str) -> None:
        if slot.role == "decision" and text not in slot.choices:
            self.cut, self.slot = True, None
            return
        self.builder.put(text)
        self.slot, self._keys, self._begun = self.builder.slot(), [], False

    def _count(self, token: WrittenToken) -> None:
        tree = self._tree
        if tree is not None and token.key in tree:
            self._tree = tree[token.key]
            if len(tree) > 1:
                least = min([token.log_p, *token.others.values()])
                found = {key: token.others.get(key, least) for key in tree} | {token.key: token.log_p}
                whole = _log_sum(list(found.values()))
                self.log_ps.append(token.log_p - whole)
                self.margins.append(token.log_p - max(p for key, p in found.items() if key != token.key))
            return
        # a value, or a choice that is cut into other tokens than the tokenizer cuts it
        self._tree = {} if tree is not None else None
        rest = [p for key, p in token.others.items() if key != token.key]
        self.log_ps.append(token.log_p)
        self.margins.append(token.log_p - max(rest) if rest else _SURE)


def _log_sum(log_ps: Sequence[float]) -> float:
    top = max(log_ps)
    return top + math.log(sum(math.exp(p - top) for p in log_ps))
