"""A Llama model as one GGUF file, with its tokenizer and the chat template that its specialist was trained with.

References:
    The GGUF specification, https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (names and keys).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deputize.core.errors import BadInput, MissingExtra
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.prompt_tokenizer import ChatFrame
from deputize.specialists.torch_runtime import torch_module

PRECISIONS = ("f32", "f16", "bf16", "q8_0")
"""Of the matrices; vectors are always in 32 bits."""

_SPLITTERS = (
    ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|", "llama-bpe"),
    ("(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|", "qwen2"),
)
"""How the regular expression begins by which a tokenizer cuts texts -> llama.cpp's name for it."""


def why_no_gguf(folder: Path) -> str:
    """Why the model of a folder cannot be written; "" where it can."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        tokenizer = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        return f"{folder.name} has no readable config.json and tokenizer.json ({error})"
    if config.get("model_type") != "llama":
        return f"{folder.name} is of the architecture {config.get('model_type')}, and only llama is written as GGUF here"
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", rope.get("type", "default")) != "default":
        return f"{folder.name} stretches its positions ({rope.get('rope_type')}), which is not written as GGUF here"
    if tokenizer.get("model", {}).get("type") != "BPE" or not splitter_of(tokenizer):
        return f"llama.cpp has no name that is known here for the tokenizer of {folder.name}"
    return ""


def splitter_of(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for how a tokenizer.json cuts texts before merging; "" where none is known."""
    before = tokenizer.get("pre_tokenizer") or {}
    steps = before.get("pretokenizers", [before])
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits"):
        return "smollm"
    if kinds == ["Split", "ByteLevel"]:
        pattern = str(steps[0].get("pattern", {}).get("Regex", ""))
        return next((name for start, name in _SPLITTERS if pattern.startswith(start)), "")
    return ""


def write_gguf(base: LanguageModel, path: Path, *, name: str, precision: str) -> None:
    """Writes a model without adapters, whole or not at all.

    Args:
        base: the model, its adapter merged.
        path: of the file.
        name: of the model, for people.
        precision: one of PRECISIONS.

    Raises:
        BadInput: its architecture or tokenizer cannot be written.
        MissingExtra: gguf is not installed.
    """
    if why := why_no_gguf(base.path):
        raise BadInput(f"{why}.")
    gguf = gguf_module()
    fresh = path.with_name(path.name + ".new")
    writer = gguf.GGUFWriter(fresh, "llama")
    try:
        writer.add_name(name)
        _add_sizes(writer, base)
        _add_tokenizer(writer, base)
        kind = gguf.GGMLQuantizationType[precision.upper()]
        for tensor_name, array in _tensors(base):
            small = array.ndim == 1
            given = gguf.GGMLQuantizationType.F32 if small else kind
            if given is gguf.GGMLQuantizationType.F32:
                writer.add_tensor(tensor_name, array)
            else:
                writer.add_tensor(tensor_name, gguf.quants.quantize(array, given), raw_dtype=given)
        writer.add_file_type(
            gguf.LlamaFileType["ALL_F32" if precision == "f32" else f"MOSTLY_{precision.upper()}"]
        )
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()
    fresh.replace(path)


def chat_template(frame: ChatFrame) -> str:
    """A Jinja template that puts one message of a user into the texts that the specialist was trained with."""
    before, after = json.dumps(frame.before), json.dumps(frame.after)
    return f"{{{{ {before} + messages[-1]['content'] + {after} }}}}"


def require_gguf() -> None:
    """Raises MissingExtra where gguf is not installed."""
    gguf_module()


def gguf_module() -> Any:
    """The package gguf. Raises MissingExtra where it is not installed."""
    try:
        import gguf
    except ImportError as error:
        raise MissingExtra.package("gguf", "train") from error
    return gguf


def _add_sizes(writer: Any, base: LanguageModel) -> None:
    config = base.lm.config
    heads = int(config.num_attention_heads)
    writer.add_context_length(base.context)
    writer.add_embedding_length(base.width)
    writer.add_block_count(base.n_layers)
    writer.add_feed_forward_length(int(config.intermediate_size))
    writer.add_head_count(heads)
    writer.add_head_count_kv(int(config.num_key_value_heads))
    writer.add_layer_norm_rms_eps(float(config.rms_norm_eps))
    writer.add_rope_dimension_count(int(getattr(config, "head_dim", None) or base.width // heads))
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    writer.add_vocab_size(int(config.vocab_size))


def _add_tokenizer(writer: Any, base: LanguageModel) -> None:
    stored = json.loads((base.path / "tokenizer.json").read_text("utf-8"))
    size = int(base.lm.config.vocab_size)
    tokens = [f"[PAD{i}]" for i in range(size)]
    gguf = gguf_module()
    kinds = [int(gguf.TokenType.UNUSED)] * size
    for text, at in stored["model"]["vocab"].items():
        tokens[at], kinds[at] = text, int(gguf.TokenType.NORMAL)
    for added in stored.get("added_tokens", ()):
        kind = gguf.TokenType.CONTROL if added.get("special") else gguf.TokenType.USER_DEFINED
        tokens[added["id"]], kinds[added["id"]] = added["content"], int(kind)
    merges = stored["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(splitter_of(stored))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in merges])
    for add, id_ in (
        (writer.add_bos_token_id, base.tokenizer.bos_token_id),
        (writer.add_eos_token_id, base.tokenizer.eos_token_id),
        (writer.add_unk_token_id, base.tokenizer.unk_token_id),
        (writer.add_pad_token_id, base.tokenizer.pad_token_id),
    ):
        if id_ is not None:
            add(int(id_))
    writer.add_add_bos_token(False)
    writer.add_chat_template(chat_template(base.frame))


def _tensors(base: LanguageModel) -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    """Names and weights as GGUF has them; float32."""
    gguf = gguf_module()
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, base.n_layers)
    config = base.lm.config
    torch = torch_module()
    for key, weight in base.lm.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        name = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if name is None:
            raise BadInput(f"{base.path.name} has the weight {key}, which GGUF has no name for.")
        array = weight.detach().to("cpu", torch.float32).numpy()
        if key.endswith("q_proj.weight"):
            array = interleaved(array, int(config.num_attention_heads))
        elif key.endswith("k_proj.weight"):
            array = interleaved(array, int(config.num_key_value_heads))
        yield name, np.ascontiguousarray(array)


def interleaved(rows: npt.NDArray[np.float32], n_heads: int) -> npt.NDArray[np.float32]:
    """Rows of a projection with the two halves of each head interleaved: ggml rotates neighbours, transformers
    halves."""
    halves = rows.reshape(n_heads, 2, rows.shape[0] // n_heads // 2, rows.shape[1])
    return halves.swapaxes(1, 2).reshape(rows.shape)
