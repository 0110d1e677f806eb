"""Answers to requests that list their own tools: scores choose the tool, a language model writes its arguments.

The tool is chosen as `listed` does it. The model then reads this one tool and the request, and writes an object under
the tool's own schema. The answer is as sure as the choice and what was written together; how likely the scores that
copy values find what was written is a second opinion.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deputize.core.contracts import DEFER
from deputize.core.listed_tools import ListedArgument, ListedTool, split_list
from deputize.core.records import Contract
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.decoder import DecoderPredictor, load_decoder
from deputize.specialists.listed_answers import ListedChoice, ListedPredictor
from deputize.specialists.listed_values import pieces_of
from deputize.specialists.listed_writing import ARGUMENTS, arguments_schema, written_prompt
from deputize.specialists.registry import StoredSpecialist

_NO_TOOL = ListedTool("", "", [ListedArgument("text", "string", True)])


class ListedWriter:
    """Predicts calls of listed tools, their arguments written."""

    kind = "listed_writer"

    def __init__(self, chooser: ListedPredictor, decoder: DecoderPredictor) -> None:
        """
        Args:
            chooser: of the tool.
            decoder: what writes; each text brings its own schema.
        """
        self.chooser, self.decoder = chooser, decoder

    @property
    def contract(self) -> Contract:
        """Of the task."""
        return self.chooser.contract

    @property
    def engine(self) -> str:
        """That of the decoder: a choice is the same everywhere."""
        return self.decoder.engine

    @property
    def depends_on_batch(self) -> bool:
        """As the decoder."""
        return self.decoder.depends_on_batch

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        """One prediction per text, in order."""
        out: dict[int, RawPrediction] = {}
        chosen: list[tuple[int, str, ListedTool, ListedChoice]] = []
        prompts, schemas = [], []
        for at, text in enumerate(texts):
            asked, tools = split_list(text)
            choice = self.chooser.choose_tool(pieces_of(asked), tools) if tools else None
            if choice is None or choice.at == len(tools):
                out[at] = self._none(choice)
                continue
            tool = tools[choice.at]
            schema = arguments_schema(tool)
            if schema is None:
                out[at] = RawPrediction(None, _raw(choice))
                continue
            chosen.append((at, asked, tool, choice))
            prompts.append(written_prompt(asked, tool))
            schemas.append(schema)
        written = self.decoder.predict_each(prompts, schemas)
        for (at, asked, tool, choice), one in zip(chosen, written, strict=True):
            out[at] = self._call(asked, tool, choice, one)
        return [out[at] for at in range(len(texts))]

    def warm_up(self) -> None:
        """Writes a few tokens for nobody."""
        self.decoder.warm_up(arguments_schema(_NO_TOOL))

    def _none(self, choice: ListedChoice | None) -> RawPrediction:
        """Left to the LLM; with a list this is an answer, as sure as the choice."""
        raw = RawConfidence.of([], []) if choice is None else _raw(choice)
        return RawPrediction(DEFER if self.contract.may_defer else None, raw)

    def _call(
        self, asked: str, tool: ListedTool, choice: ListedChoice, written: RawPrediction
    ) -> RawPrediction:
        if not isinstance(written.answer, dict):
            return written._replace(answer=None, raw_confidence=_raw(choice))
        arguments = written.answer[ARGUMENTS]
        raw = RawConfidence(
            choice.log_p + written.raw_confidence.log_p,
            min(choice.margin, written.raw_confidence.min_margin),
            self.chooser.log_p_of(tool, arguments, pieces_of(asked)),
        )
        if self.contract.kind == "json":
            return written._replace(answer=arguments, raw_confidence=raw)
        return written._replace(answer=[{"name": tool.name, "arguments": arguments}], raw_confidence=raw)

    def save(self, folder: Path) -> None:
        """Writes what chooses; the adapter is written by the method."""
        self.chooser.save(folder)

    def release(self) -> None:
        """Frees what the decoder holds in shared models."""
        self.decoder.release()


def _raw(choice: ListedChoice) -> RawConfidence:
    """Of a choice after which nothing is written, so that no second opinion speaks against it."""
    return RawConfidence(choice.log_p, choice.margin, 0.0)


def load_listed_writer(stored: StoredSpecialist) -> ListedWriter:
    """The predictor of a stored specialist of kind "listed_writer".

    Raises:
        BadInput: its base has changed since training.
        MissingExtra: the base model is not fetched, or a package is not installed.
    """
    decoder = load_decoder(stored)
    return ListedWriter(ListedPredictor.load(stored.card.contract, stored.folder), decoder)
