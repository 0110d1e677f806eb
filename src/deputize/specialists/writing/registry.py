"""What writes answers outside this package, by the kind of the engine in a home's settings."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from deputize.core.config import EngineSettings
from deputize.specialists.prompt_tokenizer import PromptTokenizer, slot_ids
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.tuned_model import base_folder
from deputize.specialists.writing.answer_grammar import grammar_of, is_one_line, most_tokens, pattern_of
from deputize.specialists.writing.base import Writer
from deputize.specialists.writing.completions_server import AskedAnswer, CompletionsServer
from deputize.specialists.writing.llama_cpp_writer import LlamaCppWriter
from deputize.specialists.writing.vllm_server import VllmWriter
from deputize.specialists.writing.written_decoder import WrittenDecoder

MakeWriter: TypeAlias = Callable[[StoredSpecialist, EngineSettings, AskedAnswer], Writer]


def _openai(stored: StoredSpecialist, settings: EngineSettings, asked: AskedAnswer) -> Writer:
    precision = settings.served_precision or "unknown precision"
    return CompletionsServer(
        settings,
        asked,
        base_url=settings.base_url,
        model=settings.model or stored.card.id,
        label=f"openai {precision} at {settings.base_url}",
    )


WRITERS: dict[str, MakeWriter] = {"llamacpp": LlamaCppWriter, "vllm": VllmWriter, "openai": _openai}
"""Kind of an engine -> what makes a writer for one specialist."""


def writes_elsewhere(kind: str, engine: EngineSettings) -> bool:
    """True for a kind of specialist whose answers are not written by transformers in this process."""
    return kind == WrittenDecoder.kind and engine.kind in WRITERS


def written_decoder(stored: StoredSpecialist, engine: EngineSettings) -> WrittenDecoder:
    """The predictor of a stored decoder whose answers are written by an engine of WRITERS.

    Raises:
        BadInput: the engine cannot take this model, or the base has changed since training.
        MissingExtra: a package is not installed.
        UpstreamError: a server is not there.
    """
    settings = stored.settings
    words = PromptTokenizer.of_folder(base_folder(stored))
    schema = settings.schema
    asked = AskedAnswer(
        words=words,
        grammar=grammar_of(schema, partial(slot_ids, words)),
        pattern=pattern_of(schema),
        is_one_line=is_one_line(schema),
        most=most_tokens(settings.max_slot_tokens),
        context=settings.max_tokens + most_tokens(settings.max_slot_tokens),
    )
    writer = WRITERS[engine.kind](stored, engine, asked)
    return WrittenDecoder(words, writer, schema, settings.max_tokens, settings.max_slot_tokens)
