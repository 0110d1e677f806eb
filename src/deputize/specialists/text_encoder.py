"""A small text encoder (MiniLM, ModernBERT) in this process: texts as mean-pooled vectors, in 32 bits.

Knows nothing of answers. A tenth of a small language model's size, and bidirectional: for closed answers often as good.

Legend: N texts, B texts of a batch, T tokens, S = H width.

References:
    Reimers and Gurevych, "Sentence-BERT", arXiv 1908.10084 (mean pooling); Wang et al., "MiniLM", arXiv 2002.10957.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deputize.core.errors import BadInput, MissingExtra
from deputize.specialists.classification_head import batches
from deputize.specialists.prompt_tokenizer import shortened
from deputize.specialists.thread_count import Threads
from deputize.specialists.torch_runtime import device_for, torch_module

Floats = npt.NDArray[np.float32]

BATCH_TOKENS = 4096
_ENCODER_TYPES = ("bert", "distilbert", "mpnet", "modernbert", "roberta", "xlm-roberta")


def is_encoder(folder: Path) -> bool:
    """True where a folder holds an encoder, not a model that generates."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    kinds = config.get("architectures")
    if not kinds:
        return config.get("model_type") in _ENCODER_TYPES
    return str(kinds[0]).endswith(("Model", "ForMaskedLM"))


class TextEncoder:
    """Weights and tokenizer of one encoder on one device."""

    depends_on_batch = False

    def __init__(self, path: Path, device: str = "") -> None:
        """
        Args:
            path: a folder in Hugging Face form.
            device: "" for CUDA where there is a device, else the CPU.

        Raises:
            BadInput: the folder holds no encoder.
            MissingExtra: torch or transformers are not installed.
        """
        torch = torch_module()
        try:
            from transformers import AutoModel, AutoTokenizer
            from transformers.utils import logging
        except ImportError as error:
            raise MissingExtra.package("transformers", "train") from error
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        self.path, self.device = path, device_for(device)
        try:
            self.tokenizer: Any = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            self.model: Any = AutoModel.from_pretrained(path, dtype=torch.float32, trust_remote_code=False)
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"{path} cannot be loaded as a text encoder: {error}") from error
        self.tokenizer.model_max_length = 10**9  # texts are shortened here, not there
        self.model.to(self.device).eval().requires_grad_(False)
        cores = torch.get_num_threads() if self.device == "cpu" else 1
        self.threads = {"train": Threads(cores), "read": Threads(cores)}

    @property
    def engine(self) -> str:
        """This engine and the precision of the weights, as certificates name them."""
        return f"local fp32 on {self.device}"

    @property
    def width(self) -> int:
        """Size of a vector."""
        return int(self.model.config.hidden_size)

    def rows(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """Token ids with the encoder's special tokens; where a text is longer than `most` tokens its middle is left
        out."""
        if not texts:
            return []
        start, end = self._around()
        room = max(8, min(most, int(self.model.config.max_position_embeddings)) - len(start) - len(end))
        bodies = self.tokenizer(list(texts), add_special_tokens=False, truncation=False)["input_ids"]
        return [[*start, *shortened([int(i) for i in body], room), *end] for body in bodies]

    def n_tokens(self, text: str) -> int:
        """Tokens of a whole text."""
        return len(self.tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"])

    def _around(self) -> tuple[list[int], list[int]]:
        """The special tokens before and after a text."""
        whole = [int(i) for i in self.tokenizer("a")["input_ids"]]
        bare = [int(i) for i in self.tokenizer("a", add_special_tokens=False)["input_ids"]]
        at = whole.index(bare[0])
        return whole[:at], whole[at + len(bare) :]

    def pooled(self, rows: Sequence[Sequence[int]]) -> Any:
        """The mean of a batch's last hidden states, a tensor [B, S]."""
        torch = torch_module()
        longest = max(map(len, rows))
        ids_BT = torch.full((len(rows), longest), int(self.tokenizer.pad_token_id or 0), dtype=torch.long)
        mask_BT = torch.zeros((len(rows), longest), dtype=torch.long)
        for b, row in enumerate(rows):
            ids_BT[b, : len(row)] = torch.tensor(row)
            mask_BT[b, : len(row)] = 1
        ids_BT, mask_BT = ids_BT.to(self.device), mask_BT.to(self.device)
        hidden_BTS = self.model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        weight_BT1 = mask_BT[..., None].float()
        return (hidden_BTS.float() * weight_BT1).sum(1) / weight_BT1.sum(1)

    def states(self, rows: Sequence[Sequence[int]]) -> Floats:
        """The vectors of texts, [N, S]."""
        out_NS = np.zeros((len(rows), self.width), np.float32)
        self.model.eval()
        with torch_module().inference_mode():
            for batch in batches([len(row) for row in rows], BATCH_TOKENS):
                some = [rows[i] for i in batch]
                with self.threads["read"].work(sum(map(len, some))):
                    out_NS[batch] = self.pooled(some).cpu().numpy()
        return out_NS

    def save(self, folder: Path) -> None:
        """Writes weights and tokenizer into a folder."""
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
