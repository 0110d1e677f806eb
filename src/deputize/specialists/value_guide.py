"""What may be written next of a value that has a form, in tokens of the model: by llguidance."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from deputize.core.errors import MissingExtra
from deputize.specialists.answer_schema import Slot
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import torch_module
from deputize.specialists.value_forms import grammar_of_slot

log = logging.getLogger("deputize.engine")


class ValueGuide:
    """One value that is being written."""

    def __init__(self, matcher: Any, n_tokens: int, device: str) -> None:
        self._matcher, self._n_tokens, self._device = matcher, n_tokens, device

    def forbidden(self) -> Any:
        """Boolean [V]: tokens that break the form here."""
        bits = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        allowed = np.unpackbits(bits, count=self._n_tokens, bitorder="little").astype(bool)
        return torch_module().from_numpy(~allowed).to(self._device)

    def forced(self) -> list[int]:
        """Tokens that follow whatever is chosen, as the tokenizer would cut them; [] where there is a choice."""
        return [int(token) for token in self._matcher.compute_ff_tokens()]

    def take(self, token: int) -> None:
        """Goes on after a token."""
        self._matcher.consume_token(token)


MOST_GRAMMARS = 512
"""Compiled grammars that are kept: where requests bring their own schemas there is no end of them."""


class ValueGuides:
    """Guides for the values of one model's answers, their grammars compiled once."""

    def __init__(self, base: LanguageModel) -> None:
        self._base = base
        self._tokens: Any = None
        """The vocabulary as llguidance reads it, made with the first grammar."""
        self._fresh: dict[str, Any] = {}
        """By grammar, the one used last at the end."""

    def of(self, slot: Slot) -> ValueGuide | None:
        """A guide for a value; None where it has no form.

        Raises:
            MissingExtra: llguidance is not installed.
        """
        grammar = grammar_of_slot(slot)
        if not grammar:
            return None
        fresh = self._fresh.pop(grammar) if grammar in self._fresh else self._matcher(grammar)
        self._fresh[grammar] = fresh
        if len(self._fresh) > MOST_GRAMMARS:
            del self._fresh[next(iter(self._fresh))]
        return None if fresh is None else ValueGuide(fresh.deep_copy(), self._n_tokens, self._base.device)

    @property
    def _n_tokens(self) -> int:
        return int(self._base.lm.get_output_embeddings().weight.shape[0])

    def _matcher(self, grammar: str) -> Any:
        try:
            import llguidance
            import llguidance.hf
        except ImportError as error:
            raise MissingExtra.package("llguidance", "train") from error
        base = self._base
        if self._tokens is None:
            self._tokens = llguidance.hf.from_tokenizer(base.tokenizer, self._n_tokens)
        made = llguidance.LLMatcher(self._tokens, grammar)
        if made.is_error():
            log.warning("a value is written without its form: %s", made.get_error().splitlines()[0])
            return None
        return made
