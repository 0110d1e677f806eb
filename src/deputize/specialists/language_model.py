"""A small language model in this process: loaded once, shared by the adapters of all its specialists.

Knows nothing of answers. torch, transformers and peft are imported when a model is first loaded.

Legend: B texts of a batch, T tokens.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deputize.core.errors import BadInput, MissingExtra
from deputize.specialists.llama_stack import LlamaStack, why_no_stack
from deputize.specialists.prompt_tokenizer import PromptTokenizer
from deputize.specialists.thread_count import Threads
from deputize.specialists.torch_runtime import torch_module

if TYPE_CHECKING:
    import torch

EAGER_BELOW = 256
"""Tokens. The flash kernel's backward on a CPU costs more than it saves on short texts."""


class LanguageModel(PromptTokenizer):
    """Weights and tokenizer of one model on one device, with the adapters loaded so far."""

    def __init__(self, path: Path, device: str, dtype: str, *, quantized: bool = False) -> None:
        torch = torch_module()
        try:
            from transformers import AutoModelForCausalLM, AutoTokenizer
            from transformers.utils import logging
        except ImportError as error:
            raise MissingExtra.package("transformers", "train") from error
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        self.device, self.dtype, self.quantized = device, dtype, quantized
        kind = {"bf16": torch.bfloat16, "fp32": torch.float32}[dtype]
        extra: dict[str, Any] = {"quantization_config": _four_bit()} if quantized else {}
        try:
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            self.lm: Any = AutoModelForCausalLM.from_pretrained(
                path, dtype=kind, attn_implementation="sdpa", trust_remote_code=False, **extra
            )
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"{path} cannot be loaded as a language model: {error}") from error
        super().__init__(path, tokenizer, int(self.lm.config.get_text_config().max_position_embeddings))
        if not quantized:
            self.lm.to(device)
        self.lm.eval()
        self.lm.requires_grad_(False)
        self.peft: Any = None
        self.active = ""
        cores = torch.get_num_threads() if device == "cpu" else 1
        self.threads = {"train": Threads(cores), "read": Threads(cores)}

    @property
    def depends_on_batch(self) -> bool:
        """True where an answer may differ with what else is in a batch: in bf16 about one in a hundred does, in fp32
        none."""
        return self.dtype != "fp32" or self.quantized

    @property
    def engine(self) -> str:
        """This engine and the precision of the weights, as certificates name them."""
        return f"local {'4-bit' if self.quantized else self.dtype} on {self.device}"

    @property
    def decoder(self) -> Any:
        """The stack of layers without the output projection: token ids -> hidden states after the last norm."""
        return self.lm.base_model

    @property
    def can_stack(self) -> bool:
        """True where `stack` can read this model."""
        return not why_no_stack(self.lm, quantized=self.quantized)

    @cached_property
    def stack(self) -> LlamaStack:
        """The same layers, read without transformers."""
        return LlamaStack(self.lm)

    @property
    def n_layers(self) -> int:
        return int(self.lm.config.get_text_config().num_hidden_layers)

    @property
    def width(self) -> int:
        """Size of a hidden state."""
        return int(self.lm.config.get_text_config().hidden_size)

    def attention_for(self, n_tokens: int) -> None:
        """Chooses the attention kernel for a training step of this length (CPU only; CUDA keeps sdpa)."""
        if self.device == "cpu":
            wanted = "eager" if n_tokens < EAGER_BELOW else "sdpa"
            if self.lm.config._attn_implementation != wanted:
                self.lm.set_attn_implementation(wanted)

    @cached_property
    def pad(self) -> int:
        """A token to fill rows with; masked wherever it stands."""
        given = self.tokenizer.pad_token_id
        return int(given if given is not None else self.tokenizer.eos_token_id or 0)

    @cached_property
    def banned(self) -> torch.Tensor:
        """Boolean [V]: tokens that never stand inside a value (special ones, and line breaks but the end of a slot)."""
        torch = torch_module()
        n_vocabulary = self.lm.get_output_embeddings().weight.shape[0]
        mask = torch.zeros(n_vocabulary, dtype=torch.bool)
        texts = self.tokenizer.batch_decode([[i] for i in range(min(n_vocabulary, len(self.tokenizer)))])
        mask[[i for i, text in enumerate(texts) if "\n" in text or "\r" in text]] = True
        mask[[i for i in self.tokenizer.all_special_ids if i < n_vocabulary]] = True
        mask[len(texts) :] = True
        mask[self.newline] = False
        return mask.to(self.device)

    # -- adapters

    def new_adapter(self, name: str, settings: dict[str, Any]) -> None:
        """A fresh adapter under a name, active and trainable; settings are those of peft.LoraConfig."""
        lora = _peft()
        config = lora.LoraConfig(task_type="CAUSAL_LM", **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # peft warns of tied embeddings, which are not among the targets
            if self.peft is None:
                self.peft = lora.get_peft_model(
                    self.lm, config, adapter_name=name, autocast_adapter_dtype=False
                )
            else:
                self.peft.add_adapter(name, config)
                self._cast(name)
        self.use(name)

    def load_adapter(self, name: str, folder: Path) -> None:
        """An adapter from a folder, under a name; nothing where it is loaded already.

        Raises:
            BadInput: it is none, or not whole; the model is as it was.
        """
        if self.peft is not None and name in self.peft.peft_config:
            return
        lora = _peft()
        from safetensors import SafetensorError

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                self._add_from(lora, name, folder)
            except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
                raise BadInput(f"{folder} holds no adapter for {self.path.name}: {error}") from error
        self._cast(name)
        self.active = ""

    def _add_from(self, lora: Any, name: str, folder: Path) -> None:
        """The layers of an adapter with its weights, or none of it: layers without their weights would answer under its
        name for as long as the process lasts."""
        try:
            if self.peft is None:
                config = lora.PeftConfig.from_pretrained(folder)
                config.inference_mode = True
                self.peft = lora.PeftModelForCausalLM(self.lm, config, name, autocast_adapter_dtype=False)
            done = self.peft.load_adapter(folder, name, is_trainable=False, autocast_adapter_dtype=False)
            if done.missing_keys:
                raise ValueError(f"it has no weights for {len(done.missing_keys)} of its layers")
        except BaseException:
            self.drop_adapter(name)
            raise

    def _cast(self, name: str) -> None:
        kind = next(self.lm.parameters()).dtype if not self.quantized else torch_module().bfloat16
        for key, parameter in self.lm.named_parameters():
            if f".{name}." in key or key.endswith(f".{name}"):
                parameter.data = parameter.data.to(device=self.device, dtype=kind)

    def use(self, name: str) -> None:
        """Makes an adapter the active one; "" stands for none, where all weights were tuned."""
        if name and self.active != name:
            self.peft.set_adapter(name)
            self.active = name

    @contextmanager
    def without_adapters(self) -> Iterator[None]:
        """Runs the block on the weights of the base alone."""
        if self.peft is None:
            yield
            return
        with self.peft.disable_adapter():
            yield

    def save_adapter(self, name: str, folder: Path) -> None:
        """Writes an adapter into a folder."""
        self.peft.save_pretrained(folder, selected_adapters=[name], save_embedding_layers=False)
        inner = folder / name  # peft puts a named adapter into a folder of its name
        if inner.is_dir():
            for path in inner.iterdir():
                path.rename(folder / path.name)
            inner.rmdir()
        (folder / "README.md").unlink(missing_ok=True)

    def merge_adapter(self, name: str) -> None:
        """Adds the only adapter to the weights of the base, for good: this model is not to be a shared one."""
        self.use(name)
        self.lm = self.peft.merge_and_unload()
        self.__dict__.pop("stack", None)
        self.peft, self.active = None, ""

    def weaken_adapter(self, name: str, factor: float) -> None:
        """Multiplies what a low-rank adapter adds to each projection."""
        for key, weights in self.adapter_parameters(name):
            if ".lora_B." in key:
                weights.data.mul_(factor)

    def drop_adapter(self, name: str) -> None:
        """Forgets an adapter."""
        if self.peft is not None and name in self.peft.peft_config:
            if len(self.peft.peft_config) == 1:
                # peft cannot delete its last adapter: take its layers out instead
                self.lm = self.peft.unload()
                self.__dict__.pop("stack", None)
                self.peft = None
            else:
                self.use(next(n for n in self.peft.peft_config if n != name))
                self.peft.delete_adapter(name)
            self.active = ""

    def adapter_parameters(self, name: str) -> list[tuple[str, torch.Tensor]]:
        """Names and weights of an adapter, in a fixed order."""
        return [(k, p) for k, p in self.lm.named_parameters() if f".{name}." in k or k.endswith(f".{name}")]


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise MissingExtra.package("peft", "train") from error
    return peft


def require_packages() -> None:
    """Raises MissingExtra where a package that tunes language models is not installed."""
    for package in ("torch", "transformers", "peft", "safetensors"):
        if find_spec(package) is None:
            raise MissingExtra.package(package, "train")


def require_four_bit() -> None:
    """Raises MissingExtra where a model cannot be held in 4 bits on this machine."""
    require_packages()
    if find_spec("bitsandbytes") is None:
        raise MissingExtra.package("bitsandbytes", "qlora")


def _four_bit() -> Any:
    require_four_bit()
    torch = torch_module()
    import bitsandbytes  # noqa: F401 - transformers quantises with it
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_compute_dtype=torch.bfloat16,
        bnb_4bit_use_double_quant=True,
    )
