"""The encoder under the tagger: reading, running and writing it. The only file here that touches torch.

Weights lie on disk as half-precision safetensors next to JSON; nothing is ever unpickled.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deputize.core.errors import BadInput, MissingExtra
from deputize.core.progress import Progress, silent
from deputize.privacy.call_texts import valid_unicode
from deputize.privacy.tagger.encoding import windows
from deputize.specialists.torch_runtime import torch_module

WEIGHTS, CONFIG, TOKENIZER = "tagger.safetensors", "config.json", "tokenizer.json"
_CONFIG_KEYS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "hidden_act",
    "vocab_size",
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "max_position_embeddings",
    "type_vocab_size",
    "layer_norm_eps",
    "pad_token_id",
)

Read = tuple[NDArray[np.float32], list[int], list[tuple[int, int]]]
"""Class probabilities (T, C), word number and characters of each piece of one text."""


class SpecialTokens(NamedTuple):
    """Ids of the pieces that are no text."""

    start: int
    end: int
    pad: int
    mask: int


def read_tokenizer(folder: Path) -> Any:
    """The folder's tokenizer, without its truncation and padding.

    Raises:
        BadInput: there is none, or it cannot be read.
        MissingExtra: tokenizers is not installed.
    """
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtra.package("tokenizers", "train") from error
    try:
        text = (folder / TOKENIZER).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{folder} holds no readable {TOKENIZER}: {error}") from error
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:
        raise BadInput(f"{folder / TOKENIZER} is not a tokenizer: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def special_ids(tokenizer: Any) -> SpecialTokens:
    """Ids of [CLS], [SEP], [PAD] and [MASK].

    Raises:
        BadInput: the vocabulary lacks one of them.
    """
    ids = [tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]", "[PAD]", "[MASK]")]
    if None in ids:
        raise BadInput("the base's vocabulary lacks [CLS], [SEP], [PAD] or [MASK]: a BERT encoder is needed")
    return SpecialTokens(*ids)


def build(folder: Path, classes: int, *, weights: str = "model.safetensors") -> Any:
    """A BERT encoder with a layer of `classes` outputs, on the CPU, with the folder's weights where it has them.

    Raises:
        BadInput: the folder is no BERT encoder, or weights are missing or of a wrong shape.
        MissingExtra: transformers or safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
        from transformers import BertConfig, BertForTokenClassification
    except ImportError as error:
        raise MissingExtra.package("transformers", "train") from error
    try:
        config = json.loads((folder / CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder} holds no readable {CONFIG}: {error}") from error
    if not isinstance(config, dict) or config.get("model_type") != "bert":
        raise BadInput(f"{folder} is not a BERT encoder (model_type has to be bert)")
    settings = {key: config[key] for key in _CONFIG_KEYS if key in config}
    model = BertForTokenClassification(BertConfig(**settings, num_labels=classes))
    try:
        found = load_file(folder / weights)
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{folder / weights} cannot be read as safetensors: {error}") from error
    state = {
        (name if name.startswith(("bert.", "classifier.")) else f"bert.{name}"): tensor.float()
        for name, tensor in found.items()
        if "pooler." not in name and not name.endswith("position_ids")
    }
    try:
        missing, unknown = model.load_state_dict(state, strict=False)
    except RuntimeError as error:
        raise BadInput(f"the weights in {folder} do not fit their {CONFIG}") from error
    missing = [name for name in missing if not name.startswith("classifier.") or weights == WEIGHTS]
    if missing or unknown:
        raise BadInput(
            f"the weights in {folder} are not those of a BERT encoder: {sorted([*missing, *unknown])[:3]}"
        )
    return model


def save(model: Any, base_dir: Path, folder: Path) -> None:
    """Weights as fp16 safetensors, the base's tokenizer and configuration."""
    from safetensors.torch import save_file

    torch = torch_module()
    state = {name: tensor.to(torch.float16).contiguous() for name, tensor in model.state_dict().items()}
    save_file(state, folder / WEIGHTS)
    shutil.copyfile(base_dir / TOKENIZER, folder / TOKENIZER)
    config = json.loads((base_dir / CONFIG).read_text("utf-8"))
    kept = {"model_type": "bert"} | {key: config[key] for key in _CONFIG_KEYS if key in config}
    (folder / CONFIG).write_text(json.dumps(kept, indent=1), "utf-8")


def quantise(model: Any) -> Any | None:
    """The model with the encoder's linear layers in int8 (one scale per output; activations scaled as they come).

    None where this torch or processor cannot. The last layer stays as it is: it costs nothing and decides everything.
    """
    torch = torch_module()
    quantization: Any = getattr(getattr(torch, "ao", None), "quantization", None)
    engines = set(torch.backends.quantized.supported_engines) - {"none"}
    if not hasattr(quantization, "quantize_dynamic") or not engines:
        return None
    with warnings.catch_warnings():
        # torch announces that this moves to another package one day; until then nothing else runs int8 on a CPU
        warnings.simplefilter("ignore")
        layers = {f"bert.encoder.layer.{i}" for i in range(len(model.bert.encoder.layer))}
        recipe = dict.fromkeys(layers, quantization.per_channel_dynamic_qconfig)
        return quantization.quantize_dynamic(model, recipe, dtype=torch.qint8)


def pad(rows: Sequence[Sequence[int]], special: SpecialTokens, torch: Any) -> tuple[Any, Any]:
    """Ids and attention mask, both (rows, longest + 2), each row between its start and end piece."""
    width = max(map(len, rows)) + 2
    ids = np.full((len(rows), width), special.pad, dtype=np.int64)
    mask = np.zeros((len(rows), width), dtype=np.int64)
    for i, row in enumerate(rows):
        ids[i, : len(row) + 2] = [special.start, *row, special.end]
        mask[i, : len(row) + 2] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def probabilities(
    model: Any,
    tokenizer: Any,
    special: SpecialTokens,
    texts: Sequence[str],
    *,
    window: int,
    overlap: int,
    tokens_per_batch: int = 4096,
    bf16: bool = False,
    progress: Progress = silent,
) -> list[Read]:
    """Class probabilities of every piece of every text, long texts in overlapping windows.

    Args:
        model: from build(); run as it stands (call eval() first).
        tokenizer: from read_tokenizer().
        special: its special ids.
        texts: any strings; an empty one gives arrays of length 0.
        window: pieces that go through the encoder together.
        overlap: pieces that neighbouring windows share.
        tokens_per_batch: pieces in one forward pass, padding included.
        bf16: run in bfloat16 where that is fast.
        progress: called after windows.
    """
    torch = torch_module()
    encodings = tokenizer.encode_batch([valid_unicode(t) for t in texts], add_special_tokens=False)
    jobs = [(i, w) for i, e in enumerate(encodings) for w in windows(len(e.ids), window, overlap)]
    jobs.sort(key=lambda job: job[1].end - job[1].start)
    n_classes = int(model.num_labels)
    out: list[Read] = [
        (np.zeros((len(e.ids), n_classes), dtype=np.float32), _words(e.word_ids), e.offsets)
        for e in encodings
    ]
    at = 0
    device = next((p.device.type for p in model.parameters()), "cpu")
    with torch.inference_mode():
        while at < len(jobs):
            size = jobs[at][1].end - jobs[at][1].start + 2
            upto = at + 1
            while upto < len(jobs):
                size = jobs[upto][1].end - jobs[upto][1].start + 2
                if size * (upto - at + 1) > tokens_per_batch:
                    break
                upto += 1
            batch = jobs[at:upto]
            ids, mask = pad([encodings[i].ids[w.start : w.end] for i, w in batch], special, torch)
            with torch.autocast(device, torch.bfloat16, enabled=bf16):
                logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
            found = torch.softmax(logits.float(), dim=-1).cpu().numpy()
            for row, (i, w) in enumerate(batch):
                kept = found[row, 1 + w.keep_start - w.start : 1 + w.keep_end - w.start]
                out[i][0][w.keep_start : w.keep_end] = kept
            at = upto
            progress("reading with the tagger", at, len(jobs))
    return out


def _words(numbers: Sequence[int | None]) -> list[int]:
    """Word numbers without gaps in kind: a piece that belongs to no word stands alone."""
    out: list[int] = []
    current, last = -1, object()
    for number in numbers:
        if number is None or number != last:
            current += 1
        out.append(current)
        last = number
    return out
