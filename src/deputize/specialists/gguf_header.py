"""The header of a GGUF file: what a model it holds, and how its weights are quantised. No weights are loaded.

References:
    The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from deputize.core.errors import BadInput, MissingExtra
from deputize.core.records import Record

MAGIC = b"GGUF"


class GgufHeader(Record):
    """Facts that a GGUF file states about itself, and its digest."""

    file: str
    """Its name."""
    sha256: str
    architecture: str
    """As llama.cpp names it: llama, qwen3, gemma3, ..."""
    quantisation: str
    """Most of its tensors: F16, Q8_0, Q4_K_M, ..."""
    params_m: float
    """Counted from the shapes of its tensors, in millions."""
    context: int = 0
    layers: int = 0
    hidden: int = 0
    intermediate: int = 0
    heads: int = 0
    kv_heads: int = 0
    """0 where layers differ in it, or the file does not say."""
    vocab: int = 0


def read_gguf_header(path: Path) -> GgufHeader:
    """The header of a file.

    Raises:
        BadInput: it is no GGUF file, it is cut off, or it does not say its architecture.
        MissingExtra: the gguf package is not installed.
    """
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error}") from error
    if magic != MAGIC:
        raise BadInput(f"{path} is no GGUF file: it does not begin with {MAGIC.decode()}")
    try:
        import gguf
    except ImportError as error:
        raise MissingExtra.package("gguf", "train") from error
    try:
        reader = gguf.GGUFReader(path)
        found = {
            name: _value(field) for name, field in reader.fields.items() if not name.startswith("tokenizer.")
        }
        n_params = sum(int(tensor.n_elements) for tensor in reader.tensors)
    except (ValueError, IndexError, KeyError, OSError, OverflowError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is a damaged GGUF file: {type(error).__name__}: {error}") from error
    architecture = found.get("general.architecture")
    if not isinstance(architecture, str) or not architecture:
        raise BadInput(f"{path} does not say the architecture of its model (general.architecture)")
    size = {name: _size(found.get(f"{architecture}.{name}")) for name in _SIZES}
    embedding = next((t for t in reader.tensors if t.name == "token_embd.weight"), None)
    return GgufHeader(
        file=path.name,
        sha256=digest,
        architecture=architecture,
        quantisation=_quantisation(gguf, found.get("general.file_type")),
        params_m=round(n_params / 1e6, 6),
        context=size["context_length"],
        layers=size["block_count"],
        hidden=size["embedding_length"],
        intermediate=size["feed_forward_length"],
        heads=size["attention.head_count"],
        kv_heads=size["attention.head_count_kv"],
        vocab=int(max(embedding.shape)) if embedding is not None else 0,
    )


_SIZES = (
    "context_length",
    "block_count",
    "embedding_length",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
)


def _value(field: Any) -> Any:
    return field.contents() if hasattr(field, "contents") else None


def _size(value: Any) -> int:
    return int(value) if isinstance(value, int) else 0


def _quantisation(gguf: Any, file_type: Any) -> str:
    try:
        return str(gguf.LlamaFileType(file_type).name).removeprefix("MOSTLY_").removeprefix("ALL_")
    except ValueError:
        return "unknown"
