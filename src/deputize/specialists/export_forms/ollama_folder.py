"""The form "ollama": a GGUF file with a Modelfile that has the prompt template and settings that the specialist
needs."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.export_forms.base import LoadedExport
from deputize.specialists.export_forms.gguf_file import GGUF, GGUF_FILE, loaded_gguf
from deputize.specialists.export_forms.written_answers import WrittenAnswers
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.prompt_tokenizer import ChatFrame
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.torch_runtime import torch_module
from deputize.specialists.tuned_model import base_folder, merged_model
from deputize.specialists.writing.answer_grammar import is_one_line, most_tokens
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import write_gguf

MODELFILE = "Modelfile"


class OllamaForm:
    """Ollama takes no grammar of this kind, so answers are written freely, to the first line break.

    Only where that is enough: of a closed set a specialist has learned which choice to prefer to the others, not to all
    that could be written, and nothing tells it that its last line was the last one.
    """

    name, precisions = "ollama", GGUF.precisions

    def refusal(self, stored: StoredSpecialist) -> str:
        schema = stored.settings.schema
        closed = schema.action_field is not None or any(slot.role == "decision" for slot in schema.slots)
        if not (why := GGUF.refusal(stored)) and (closed or not is_one_line(schema)):
            return (
                "its answers are several lines or chosen from a closed set, and Ollama takes no grammar that keeps a model to them: without "
                "one it writes other answers (take gguf with llama.cpp)"
            )
        return why

    def require(self) -> None:
        GGUF.require()

    def write(self, stored: StoredSpecialist, folder: Path, precision: str) -> str:
        model = merged_model(stored)
        write_gguf(model, folder / GGUF_FILE, name=stored.card.task.name, precision=precision)
        text = modelfile(
            model.frame, stored.settings.schema, stored.settings.max_tokens, stored.settings.max_slot_tokens
        )
        (folder / MODELFILE).write_text(text, "utf-8")
        return (
            f"`ollama create NAME -f {MODELFILE}`, then `ollama run NAME` or Ollama's API with the pruned prompt. No grammar "
            "keeps the answer in its form here: see the comparison before using it."
        )

    def load(self, stored: StoredSpecialist, folder: Path) -> LoadedExport:
        """In llama.cpp, which Ollama is built on, asked as the Modelfile says; without it in transformers."""
        settings = stored.settings
        words = LanguageModel(base_folder(stored), "cpu", "fp32")
        most, one_line = most_tokens(settings.max_slot_tokens), is_one_line(settings.schema)
        write: Callable[[str], str]
        if find_spec("xllamacpp") is None:
            write = _transformers_writer(
                loaded_gguf(base_folder(stored), folder / GGUF_FILE), settings.max_tokens, most
            )
            engine = "transformers, fp32 on cpu, reading the GGUF file, without a grammar"
        else:
            llama = LlamaCppEngine(folder / GGUF_FILE, context=settings.max_tokens + most)

            def write(text: str) -> str:
                (prompt,) = words.prompt_ids([text], settings.max_tokens)
                rendered = words.tokenizer.decode(prompt, clean_up_tokenization_spaces=False)
                found = llama.write(rendered, grammar="", most=most, stop="\n" if one_line else "")
                return found + "\n" if one_line else found

            engine = f"llama.cpp (xllamacpp {llama.version}), without a grammar, the prompt as text"
        return LoadedExport(
            WrittenAnswers(settings.schema, write),
            f"{engine}; Ollama itself was not asked",
            has_confidence=False,
        )


OLLAMA = OllamaForm()


def modelfile(frame: ChatFrame, schema: AnswerSchema, max_tokens: int, max_slot_tokens: int) -> str:
    """A Modelfile with the texts around a prompt, greedy decoding and a bound on the answer."""
    most = most_tokens(max_slot_tokens)
    lines = [
        f"FROM ./{GGUF_FILE}",
        f'TEMPLATE """{frame.before}{{{{ .Prompt }}}}{frame.after}"""',
        "PARAMETER temperature 0",
        f"PARAMETER num_ctx {max_tokens + most}",
        f"PARAMETER num_predict {most}",
    ]
    if is_one_line(schema):
        lines.append('PARAMETER stop "\\n"')
    return "\n".join(lines) + "\n"


def _transformers_writer(model: LanguageModel, max_tokens: int, most: int) -> Callable[[str], str]:
    def write(text: str) -> str:
        torch = torch_module()
        (prompt,) = model.prompt_ids([text], max_tokens)
        ids_1T = torch.tensor([prompt])
        with torch.inference_mode():
            out_1T = model.lm.generate(
                ids_1T,
                attention_mask=torch.ones_like(ids_1T),
                max_new_tokens=most,
                do_sample=False,
                pad_token_id=model.pad,
            )
        return str(model.tokenizer.decode(out_1T[0][len(prompt) :], clean_up_tokenization_spaces=False))

    return write
