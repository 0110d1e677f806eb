"""Answers that an engine writes as text, read back by the answer schema."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.writing.answer_grammar import answer_of_text

NO_CONFIDENCE = RawConfidence(0.0, 0.0, 0.0)


class WrittenAnswers:
    """A text predictor around whatever writes; its confidence says nothing."""

    def __init__(self, schema: AnswerSchema, write: Callable[[str], str]) -> None:
        """
        Args:
            schema: of the answers.
            write: from a pruned prompt to what the engine writes, with the line break at its end.
        """
        self.schema, self.write = schema, write

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order."""
        return [RawPrediction(answer_of_text(self.schema, self.write(text)), NO_CONFIDENCE) for text in texts]
