"""A GLiNER of a few hundred KB, built from its own configuration class and trained to find ticket numbers in a minute."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import Any

from tests import tiny_encoder

from deputize.privacy.tagger import Sample

LABEL = "case number"
"""What tickets are called here; one of the labels that the detector asks for."""


def untrained(folder: Path, labels: Sequence[str], **settings: Any) -> Any:
    """A random GLiNER over a DeBERTa of 2 x 48, the kind of encoder that published ones have.

    Args:
        folder: gets tokenizer and encoder's configuration, which GLiNER reads them from.
        labels: whose words the tokenizer knows as wholes.
        settings: of GLiNERConfig, in place of ours.
    """
    from gliner import GLiNER, GLiNERConfig
    from transformers import DebertaV2Config, PreTrainedTokenizerFast

    tiny_encoder.make_tokenizer(folder, " ".join(labels).split())
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"),
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_max_length=320,
    )
    tokenizer.save_pretrained(folder)
    encoder = DebertaV2Config(
        vocab_size=len(tokenizer),
        hidden_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=96,
        max_position_embeddings=320,
        type_vocab_size=0,
        relative_attention=True,
        position_biased_input=False,
        pos_att_type=["p2c", "c2p"],
        position_buckets=32,
        norm_rel_ebd="layer_norm",
        share_att_key=True,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    encoder.save_pretrained(folder)
    config = GLiNERConfig(
        model_name=str(folder),
        encoder_config=encoder.to_dict(),
        hidden_size=48,
        dropout=0.0,
        **{"max_width": 4, "max_len": 100, **settings},
    )
    return GLiNER.from_config(config, backbone_from_pretrained=False)


def row(model: Any, samples: Sequence[Sample]) -> dict[str, Any]:
    """Samples, one after the other, in GLiNER's training format: words, and (first word, last word, label)."""
    out: dict[str, Any] = {"tokenized_text": [], "ner": []}
    for sample in samples:
        words = list(model.data_processor.words_splitter(sample.text))
        before = len(out["tokenized_text"])
        out["tokenized_text"] += [word for word, _, _ in words]
        for span in sample.spans:
            first = next(n for n, (_, start, _) in enumerate(words) if start == span.start)
            last = next(n for n, (_, _, end) in enumerate(words) if end == span.end)
            out["ner"].append((before + first, before + last, LABEL))
    return out


def trained(folder: Path, labels: Sequence[str], steps: int = 160) -> Any:
    """A GLiNER trained on tiny_encoder's samples to find ticket numbers as LABEL, among other labels."""
    import torch

    rng = random.Random(0)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = untrained(folder, labels)
        samples = tiny_encoder.samples(600, 1)
        rows = [row(model, [s]) for s in samples[:400]] + [
            row(model, samples[n : n + 6]) for n in range(400, 600)
        ]
        collate = model.data_collator_class(
            model.config, data_processor=model.data_processor, prepare_labels=True
        )
        optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda n: min(1.0, (n + 1) / 30) * (1 - n / steps)
        )
        model.train()
        for _ in range(steps):
            batch = []
            for one in rng.sample(rows, 16):
                # words of any letters, so that a word it does not know is no ticket yet
                others = [
                    "".join(rng.choices(ascii_lowercase, k=rng.randint(1, 8)))
                    for _ in range(rng.randint(0, 4))
                ]
                asked = [*rng.sample([x for x in labels if x != LABEL], rng.randint(0, 9)), LABEL]
                rng.shuffle(asked)
                batch.append(
                    {"tokenized_text": one["tokenized_text"] + others, "ner": one["ner"], "ner_labels": asked}
                )
            optimiser.zero_grad()
            loss = model(**collate(batch)).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            schedule.step()
        model.eval()
    torch.set_num_threads(threads)
    return model
