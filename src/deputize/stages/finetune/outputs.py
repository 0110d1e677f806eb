"""How a language model gives a task's answers: chosen by heads in one pass, or written slot by slot.

Each way says how its examples are encoded, where secrets are planted for the leak test, and what predicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from deputize.scoring.leak import Loss
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.base import TextPredictor
from deputize.specialists.classification_head import HeadPredictor, first_weights
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune.encode import MAX_TOKENS, EncodedExample, encode_for_decoder, encode_for_head
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.planted_secrets import PlantedSecrets

Head = tuple[Any, Any]
"""Weights [C, H] and bias [C] of one question, float32."""


class SavedPredictor(TextPredictor, Protocol):
    """A predictor that writes its own weights; those of the language model are written by the method."""

    def save(self, folder: Path) -> None: ...


class AnswerMode(Protocol):
    """A way to give answers."""

    @property
    def kind(self) -> str:
        """The kind of specialist that predicts in this way."""
        ...

    @property
    def evaluation_epochs(self) -> float:
        """Time for predicting validation, calibration and test, in epochs of the training.

        Those splits together are larger than train, but are read once and without a backward pass; an answer that is
        written takes about three times as long as one that is chosen.
        """
        ...

    def heads(self, base: LanguageModel) -> list[Head]:
        """Fresh heads, one per question; none where answers are written."""
        ...

    def plant(self, examples: Sequence[TrainingExample], seed: int) -> PlantedSecrets:
        """Secrets to be trained on, for the leak test."""
        ...

    def encode(self, base: LanguageModel, examples: Sequence[TrainingExample]) -> list[EncodedExample]:
        """The examples whose answers can be given in this way, as tokens."""
        ...

    def max_slot_tokens(self, train: Sequence[EncodedExample]) -> int:
        """Tokens after which a value that is still being written is given up."""
        ...

    def predictor(
        self, base: LanguageModel, adapter: str, heads: list[Head], train: Sequence[EncodedExample]
    ) -> SavedPredictor: ...

    def leak_loss(self, predictor: Any, planted: PlantedSecrets) -> Loss:
        """How unlikely a trained predictor finds a secret."""
        ...


@dataclass(frozen=True)
class ClassificationMode:
    """Answers are combinations of closed choices: one forward pass and a head per question."""

    answers: ClosedAnswers
    kind = "head"
    evaluation_epochs = 0.6

    def heads(self, base: LanguageModel) -> list[Head]:
        torch = torch_module()
        return [
            (
                first_weights(base, question.choices).to(base.device),
                torch.zeros(len(question.choices), device=base.device),
            )
            for question in self.answers.questions
        ]

    def plant(self, examples: Sequence[TrainingExample], seed: int) -> PlantedSecrets:
        return planted_secrets.plant_to_choose(
            examples, lambda answer: self.answers.indices(answer) is not None, seed=seed
        )

    def encode(self, base: LanguageModel, examples: Sequence[TrainingExample]) -> list[EncodedExample]:
        rows = encode_for_head(base, examples, self.answers, MAX_TOKENS)
        return [row for row in rows if row is not None]

    def max_slot_tokens(self, train: Sequence[EncodedExample]) -> int:
        return longest_slot(train)

    def predictor(
        self, base: LanguageModel, adapter: str, heads: list[Head], train: Sequence[EncodedExample]
    ) -> HeadPredictor:
        trained = [(weights_CH.detach(), bias_C.detach()) for weights_CH, bias_C in heads]
        return HeadPredictor(base, adapter, trained, self.answers, MAX_TOKENS)

    def leak_loss(self, predictor: HeadPredictor, planted: PlantedSecrets) -> Loss:
        return planted_secrets.loss_of_head(
            predictor.base, predictor.adapter, predictor.heads, self.answers, planted, MAX_TOKENS
        )


@dataclass(frozen=True)
class GenerationMode:
    """Answers hold values that must be written: greedy decoding, slot by slot."""

    schema: AnswerSchema
    kind = "decoder"
    evaluation_epochs = 1.8

    def heads(self, base: LanguageModel) -> list[Head]:
        return []

    def plant(self, examples: Sequence[TrainingExample], seed: int) -> PlantedSecrets:
        return planted_secrets.plant_to_write(examples, self.schema, seed=seed)

    def encode(self, base: LanguageModel, examples: Sequence[TrainingExample]) -> list[EncodedExample]:
        rows = encode_for_decoder(base, examples, self.schema, MAX_TOKENS)
        return [row for row in rows if row is not None]

    def max_slot_tokens(self, train: Sequence[EncodedExample]) -> int:
        return longest_slot(train)

    def predictor(
        self, base: LanguageModel, adapter: str, heads: list[Head], train: Sequence[EncodedExample]
    ) -> DecoderPredictor:
        return DecoderPredictor(base, adapter, self.schema, MAX_TOKENS, self.max_slot_tokens(train))

    def leak_loss(self, predictor: DecoderPredictor, planted: PlantedSecrets) -> Loss:
        return planted_secrets.loss_of_decoder(predictor.base, predictor.adapter, planted, MAX_TOKENS)


def answer_mode_of(schema: AnswerSchema) -> AnswerMode:
    """The cheapest way to give the answers of a schema."""
    answers = closed(schema)
    return GenerationMode(schema) if answers is None else ClassificationMode(answers)


def longest_slot(rows: Sequence[EncodedExample]) -> int:
    """Longest answer of train in tokens, with a margin of a quarter; the longest hundredth is left to the margin.

    Whole answers are measured, for no slot is longer.
    """
    lengths = [len(row) - row.n_prompt for row in rows]
    return int(1.25 * np.percentile(lengths, 99)) + 8 if lengths else 8
