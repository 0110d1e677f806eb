"""A language model of a few hundred KB with random weights, made on the fly: stands in for a real SLM in fast tests."""

from __future__ import annotations

from pathlib import Path

from deputize.specialists import catalogue, model_download

NAME = "tiny-random"
_CORPUS = (
    "the order LH-12345 of the customer has not arrived yet, please refund it today",
    "intent: refund_request urgency: high product: lamp table rug yes no",
    '{"name": "escalate", "queue": "returns", "reason": "policy"} 0123456789',
    "Subject: question about the Nimbus rug, write to ada.king42@example.org thank you",
)


def make(folder: Path, *, seed: int = 0, width: int = 48, layers: int = 2, vocabulary: int = 384) -> Path:
    """Writes the model and its tokenizer into a folder in Hugging Face form."""
    import torch
    from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
    from tokenizers.models import BPE
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(BPE(unk_token="<|endoftext|>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        initializer_range=0.08,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


def installed(models_dir: Path, scratch: Path) -> str:
    """The tiny model among the models of models_dir, as if fetched; its name."""
    if not catalogue.is_fetched(NAME, models_dir):
        model_download.add(NAME, make(scratch / "tiny-source"), models_dir, licence="apache-2.0")
    return NAME
