"""The form "gguf": one file for llama.cpp and what is built on it, with a grammar that keeps answers in their
schema."""

from __future__ import annotations

from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from deputize.specialists.export_forms.base import LoadedExport
from deputize.specialists.export_forms.tuned_copy import predictor_around
from deputize.specialists.export_forms.written_answers import WrittenAnswers
from deputize.specialists.language_model import LanguageModel, require_packages
from deputize.specialists.prompt_tokenizer import slot_ids
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.torch_runtime import torch_module
from deputize.specialists.tuned_model import base_folder, merged_model
from deputize.specialists.writing.answer_grammar import grammar_of, most_tokens
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import PRECISIONS, require_gguf, why_no_gguf, write_gguf

GGUF_FILE, GRAMMAR_FILE = "model.gguf", "answer.gbnf"


class GgufForm:
    """Base model and adapter in one file; of specialists that write their answers."""

    name = "gguf"
    precisions = ("f16", *(p for p in PRECISIONS if p != "f16"))

    def refusal(self, stored: StoredSpecialist) -> str:
        if stored.card.kind != "decoder":
            return (
                "it does not write its answers, it chooses them by a classifier, which GGUF has no place for"
            )
        why = why_no_gguf(base_folder(stored))
        return f"it cannot be written: {why}" if why else ""

    def require(self) -> None:
        require_packages()
        require_gguf()

    def write(self, stored: StoredSpecialist, folder: Path, precision: str) -> str:
        model = merged_model(stored)
        write_gguf(model, folder / GGUF_FILE, name=stored.card.task.name, precision=precision)
        (folder / GRAMMAR_FILE).write_text(_grammar(stored, model), "utf-8")
        return (
            f"`{GGUF_FILE}` ({precision}) is loaded by llama.cpp: "
            f"`llama-server -m {GGUF_FILE} --grammar-file {GRAMMAR_FILE} --temp 0`. The grammar names tokens, which llama.cpp reads since the end of 2025; without it answers are not those of the specialist. The chat template in the file puts one message of a user into the texts it was trained with, so it is "
            "asked with the pruned prompt as that message and no system prompt."
        )

    def load(self, stored: StoredSpecialist, folder: Path) -> LoadedExport:
        """In llama.cpp where xllamacpp is installed, else in transformers."""
        if find_spec("xllamacpp") is None:
            model = loaded_gguf(base_folder(stored), folder / GGUF_FILE)
            return LoadedExport(
                predictor_around(stored, model, "", folder),
                "transformers, fp32 on cpu, reading the GGUF file (xllamacpp is not installed, so llama.cpp was not asked)",
            )
        settings = stored.settings
        words = LanguageModel(base_folder(stored), "cpu", "fp32")
        most = most_tokens(settings.max_slot_tokens)
        engine = LlamaCppEngine(folder / GGUF_FILE, context=settings.max_tokens + most)
        grammar = _grammar(stored, words)

        def write(text: str) -> str:
            (prompt,) = words.prompt_ids([text], settings.max_tokens)
            return engine.write(prompt, grammar=grammar, most=most)

        return LoadedExport(
            WrittenAnswers(settings.schema, write),
            f"llama.cpp (xllamacpp {engine.version}), with the grammar",
            has_confidence=False,
        )


GGUF = GgufForm()


def _grammar(stored: StoredSpecialist, model: LanguageModel) -> str:
    return grammar_of(stored.settings.schema, partial(slot_ids, model))


def loaded_gguf(tokenizer_folder: Path, path: Path) -> LanguageModel:
    """The model of a GGUF file in transformers, with the tokenizer of the model that it was made from."""
    from transformers import AutoModelForCausalLM

    model = LanguageModel(tokenizer_folder, "cpu", "fp32")
    found: Any = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch_module().float32, trust_remote_code=False
    )
    model.lm = found.eval().requires_grad_(False)
    return model
