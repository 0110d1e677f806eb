"""A decoder with tools: what it writes, but for the values that a calculator or a lookup gives.

A tool that has no value for a prompt leaves the call to the LLM: arithmetic that a small model wrote in its place would
be a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from deputize.specialists.answer_schema import AnswerBuilder, AnswerSchema
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.decoder import DecoderPredictor, load_member_decoder
from deputize.specialists.pointer_predictor import SlotPlace, read_tools, save_tools, steps
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.tokenized_text import TokenizedText
from deputize.specialists.value_tools import ValueTool


class TooledPredictor:
    """Predicts what a decoder writes, with values from tools."""

    kind = "tools"

    def __init__(self, decoder: DecoderPredictor, tools: Mapping[SlotPlace, ValueTool]) -> None:
        """
        Args:
            decoder: what writes.
            tools: for the values of these places.
        """
        self.decoder, self.tools = decoder, tools

    @property
    def engine(self) -> str:
        """That of the decoder: tools are the same everywhere."""
        return self.decoder.engine

    @property
    def depends_on_batch(self) -> bool:
        """As the decoder."""
        return self.decoder.depends_on_batch

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order."""
        return [
            with_tools(found, TokenizedText(text), self.decoder.schema, self.tools)
            for text, found in zip(texts, self.decoder.predict(texts), strict=True)
        ]

    def without_free_slots(self) -> TooledPredictor:
        """The same predictor with slots left empty that are not compared."""
        return TooledPredictor(self.decoder.without_free_slots(), self.tools)

    def save(self, folder: Path) -> None:
        """Writes the tools; the decoder is in its own folder."""
        save_tools(self.tools, folder)

    def release(self) -> None:
        """Frees what the decoder holds in shared models."""
        self.decoder.release()


def with_tools(
    found: RawPrediction, page: TokenizedText, schema: AnswerSchema, tools: Mapping[SlotPlace, ValueTool]
) -> RawPrediction:
    """A prediction with the values that tools give; without an answer where one of them has none.

    Args:
        found: what was written.
        page: the prompt.
        schema: of the answer.
        tools: of the places of some values.
    """
    written = None if found.answer is None else steps(schema, found.answer)
    if written is None:
        return found
    builder, raw = AnswerBuilder(schema), found.raw_confidence
    for place, _, text in written:
        if (tool := tools.get(place)) is None:
            builder.put(text)
            continue
        if (given := tool.best(page)) is None:
            return found._replace(answer=None)
        text, log_p, margin = given
        raw = RawConfidence(raw.log_p + log_p, min(raw.min_margin, margin), raw.mean_margin)
        builder.put(text)
    return found._replace(answer=builder.answer(), raw_confidence=raw)


def load_tools(stored: StoredSpecialist) -> TooledPredictor:
    """The predictor of a stored specialist of kind "tools". Raises as `load_member_decoder`."""
    return TooledPredictor(load_member_decoder(stored), read_tools(stored.folder))
