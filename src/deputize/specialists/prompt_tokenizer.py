"""Prompts as tokens: the texts around a prompt, by the model's own chat template, and the bound on its length. No torch
here."""

from __future__ import annotations

from collections.abc import Container, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from deputize.core.errors import BadInput, MissingExtra
from deputize.core.records import Record


class ChatFrame(Record):
    """Texts around a prompt, in the special tokens of the model's own chat template."""

    before: str
    after: str


_FRAMES = (
    ("<|im_start|>", ChatFrame(before="<|im_start|>user\n", after="<|im_end|>\n<|im_start|>assistant\n")),
    (
        "<|start_header_id|>",
        ChatFrame(
            before="<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n",
            after="<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n",
        ),
    ),
    (
        "<start_of_turn>",
        ChatFrame(before="<bos><start_of_turn>user\n", after="<end_of_turn>\n<start_of_turn>model\n"),
    ),
    ("<|user|>", ChatFrame(before="<|user|>\n", after="<|end|>\n<|assistant|>\n")),
)


class PromptTokenizer:
    """A tokenizer, and how prompts are put before the model that it belongs to."""

    def __init__(self, path: Path, tokenizer: Any, context: int) -> None:
        """
        Args:
            path: of the model's folder.
            tokenizer: as transformers loads it.
            context: longest input in tokens.
        """
        self.path, self.tokenizer, self.context = path, tokenizer, context

    @classmethod
    def of_folder(cls, path: Path) -> PromptTokenizer:
        """That of the model in a folder, without its weights.

        Raises:
            BadInput: the folder holds no tokenizer and settings of a model.
            MissingExtra: transformers is not installed.
        """
        try:
            from transformers import AutoConfig, AutoTokenizer
        except ImportError as error:
            raise MissingExtra.package("transformers", "train") from error
        try:
            tokenizer = AutoTokenizer.from_pretrained(path, trust_remote_code=False)
            config = AutoConfig.from_pretrained(path, trust_remote_code=False).get_text_config()
        except (OSError, ValueError, KeyError) as error:
            raise BadInput(f"{path} holds no tokenizer: {error}") from error
        return PromptTokenizer(path, tokenizer, int(config.max_position_embeddings))

    @cached_property
    def frame(self) -> ChatFrame:
        """Texts before and after a prompt."""
        return _frame_for(self.tokenizer.get_vocab(), self.tokenizer.bos_token or "")

    @cached_property
    def newline(self) -> int:
        """The token that ends a slot."""
        ids = self.ids("\n")
        if len(ids) != 1:
            raise BadInput(f"{self.path.name} has no single token for a line break")
        return ids[0]

    def ids(self, text: str) -> list[int]:
        """Token ids of a text as it stands."""
        return [int(i) for i in self.tokenizer(text, add_special_tokens=False)["input_ids"]]

    def prompt_ids(self, texts: Sequence[str], most: int) -> list[list[int]]:
        """Framed prompts; where one is longer than `most` tokens its middle is left out."""
        if not texts:
            return []
        before, after = self.ids(self.frame.before), self.ids(self.frame.after)
        room = max(8, min(most, self.context - 64) - len(before) - len(after))
        bodies = self.tokenizer(list(texts), add_special_tokens=False)["input_ids"]
        return [[*before, *shortened([int(i) for i in body], room), *after] for body in bodies]


def _frame_for(vocabulary: Container[str], bos: str) -> ChatFrame:
    found = next((frame for token, frame in _FRAMES if token in vocabulary), None)
    return found or ChatFrame(before=bos, after="\n=>")


def shortened(ids: list[int], room: int) -> list[int]:
    """Token ids without the middle, where they are more than `room`: a third of the room goes to the beginning."""
    if len(ids) <= room:
        return ids
    head = room // 3
    return ids[:head] + ids[len(ids) - (room - head) :]


def slot_ids(words: PromptTokenizer, text: str) -> list[int]:
    """The tokens of a slot: its text after a blank, as it would stand in running text, and the break that ends it."""
    return [*words.ids(" " + text), words.newline]
