"""A BERT of a few hundred KB with random weights, made on the fly, and texts that it can learn to tag."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

from deputize.privacy.tagger import Sample, sample_of

WORDS = [
    "the",
    "order",
    "was",
    "sent",
    "to",
    "our",
    "office",
    "please",
    "call",
    "me",
    "back",
    "about",
    "my",
    "refund",
    "today",
    "thanks",
    "a",
    "lot",
    "for",
    "help",
]


def make_tokenizer(folder: Path, words: Sequence[str] = ()) -> int:
    """A tokenizer of single characters, WORDS and `words`, in the form of the real encoder's; the size of its
    vocabulary."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    folder.mkdir(parents=True, exist_ok=True)
    characters = "abcdefghijklmnopqrstuvwxyz0123456789@.-_/:,'()"
    vocabulary = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        *sorted({*characters, *WORDS, *words}),
        *(f"##{c}" for c in characters),
    ]
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.enable_truncation(16)
    tokenizer.save(str(folder / "tokenizer.json"))
    return len(vocabulary)


def make(folder: Path) -> Path:
    """A random BERT of 2 x 48 over single characters and a few words, in the form of the real encoder's folder."""
    import torch
    from safetensors.torch import save_file
    from transformers import BertConfig, BertModel

    n_vocabulary = make_tokenizer(folder)
    settings = {
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 96,
        "vocab_size": n_vocabulary,
        "max_position_embeddings": 320,
        "type_vocab_size": 2,
    }
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **settings}))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(BertConfig(**settings))
        # places count for nothing at first: what short samples teach then holds in long texts too
        model.embeddings.position_embeddings.weight.data.zero_()
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "model.safetensors")
    return folder


def samples(n: int, seed: int) -> list[Sample]:
    """Chat with ticket numbers like 123-45 to find, and as much chat without."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        words = rng.choices(WORDS, k=rng.randint(3, 9))
        spans = []
        if i % 2:
            at = rng.randint(0, len(words))
            value = f"{rng.randint(100, 999)}-{rng.randint(10, 99)}"
            words.insert(at, value)
            start = len(" ".join(words[:at])) + (at > 0)
            spans = [{"type": "TICKET", "start": start, "end": start + len(value)}]
        out.append(sample_of({"id": f"{seed}-{i}", "text": " ".join(words), "spans": spans}, source="toy"))
    return out
