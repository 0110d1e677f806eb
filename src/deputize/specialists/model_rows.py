"""Rows of tokens that a language model reads further and further: by our own stack of layers, or by transformers where
that cannot.

Legend: B rows, N tokens of a pass, H width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from deputize.specialists.llama_stack import KeyValueCache, LlamaStack
from deputize.specialists.torch_runtime import torch_module

if TYPE_CHECKING:
    from deputize.specialists.adapter_pack import AdapterPack
    from deputize.specialists.language_model import LanguageModel

LEAST_PREFIX = 16
"""Tokens from which a shared beginning is worth a copy."""


class ModelRows(Protocol):
    """The rows of one base model that are being written."""

    takes_more: bool
    """Rows may be added while others are being written."""
    n_read: int
    """Tokens read so far, without padding."""

    def add(
        self, prompts: Sequence[Sequence[int]], adapters: Sequence[Any], trials: Sequence[Sequence[int]]
    ) -> Any:
        """Reads prompts as new rows behind the others; hidden states of each one's last token and of its trial, row by
        row, [N, H].

        Args:
            prompts: token ids.
            adapters: of each.
            trials: tokens read behind each prompt, which do not count yet; all empty where `takes_more` is False.
        """
        ...

    def feed(self, fed: Sequence[Sequence[int]]) -> Any:
        """Reads what follows in each row; hidden states of all of it, row by row, [N, H]."""
        ...

    def count(self, n_kept: Sequence[int]) -> None:
        """Of the tokens fed last, how many of each row count; the others are forgotten."""
        ...

    def keep(self, stay: Sequence[int]) -> None:
        """Leaves out the other rows."""
        ...


class SharedPrefix:
    """The beginning that the prompts of one specialist share, with its keys and values."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._kept: tuple[Any, Any] | None = None

    def common(self, prompt: Sequence[int]) -> int:
        """Tokens that a prompt begins with and that need not be read again; its last token always is."""
        n, most = 0, min(len(self.ids), len(prompt) - 1)
        while n < most and self.ids[n] == prompt[n]:
            n += 1
        return n if n >= LEAST_PREFIX else 0

    def begin(self, cache: KeyValueCache, row: int, n: int) -> None:
        """Gives a row the first n tokens."""
        assert self._kept is not None
        cache.begin(row, self._kept, n)

    def shorten(self, n: int) -> None:
        """Keeps the first n tokens, as many as were shared: no prompt stays in memory for long."""
        if self._kept is not None and n < len(self.ids):
            self.ids = self.ids[:n]
            self._kept = self._kept[0][:, :, :n].clone(), self._kept[1][:, :, :n].clone()

    def take(self, cache: KeyValueCache, row: int, prompt: Sequence[int]) -> None:
        """Keeps a prompt, for none began as what is kept does."""
        self.ids, self._kept = list(prompt), cache.prefix(row, len(prompt))


class LlamaRows:
    """Rows read by our own stack: no padding, adapters mixed, shared beginnings read once."""

    takes_more = True

    def __init__(self, stack: LlamaStack) -> None:
        self._stack, self._cache = stack, KeyValueCache(stack)
        self._packs: list[AdapterPack | None] = []
        self.n_read = 0
        """Tokens read so far."""

    def add(
        self,
        prompts: Sequence[Sequence[int]],
        adapters: Sequence[LoadedAdapter],
        trials: Sequence[Sequence[int]],
    ) -> Any:
        """Reads prompts as new rows, but not what their specialist's prompts share; see `ModelRows.add`."""
        cache, n_old = self._cache, len(self._packs)
        known = [one.prefix.common(prompt) for one, prompt in zip(adapters, prompts, strict=True)]
        cache.make_room([0] * n_old + [len(p) + len(t) for p, t in zip(prompts, trials, strict=True)])
        for at, (n, one) in enumerate(zip(known, adapters, strict=True)):
            if n:
                one.prefix.begin(cache, n_old + at, n)
        rest = [[*prompt[n:], *more] for prompt, n, more in zip(prompts, known, trials, strict=True)]
        packs = [one.pack for one in adapters]
        hidden_NH = self._stack.read(rest, cache.tail(n_old), packs)
        self._packs += packs
        self.n_read += sum(map(len, rest))
        cache.lengths[n_old:] = [len(prompt) for prompt in prompts]
        for at, (n, one, prompt) in enumerate(zip(known, adapters, prompts, strict=True)):
            if n:
                one.prefix.shorten(n)
            elif not one.prefix.common(prompt):
                one.prefix.take(cache, n_old + at, prompt)
        wanted, end = list[int](), 0
        for row, more in zip(rest, trials, strict=True):
            end += len(row)
            wanted += range(end - len(more) - 1, end)
        return hidden_NH[torch_module().tensor(wanted, device=hidden_NH.device)]

    def feed(self, fed: Sequence[Sequence[int]]) -> Any:
        """Reads what follows in each row; see `ModelRows.feed`."""
        self.n_read += sum(map(len, fed))
        return self._stack.read(fed, self._cache, self._packs)

    def count(self, n_kept: Sequence[int]) -> None:
        """Of the tokens fed last, how many of each row count."""
        self._cache.lengths = [n + kept for n, kept in zip(self._cache.lengths, n_kept, strict=True)]

    def keep(self, stay: Sequence[int]) -> None:
        """Leaves out the other rows."""
        self._cache.keep(stay)
        self._packs = [self._packs[row] for row in stay]


class LoadedAdapter:
    """A specialist's adapter as its weights are now, and what its prompts share."""

    def __init__(self, pack: AdapterPack | None) -> None:
        self.pack, self.prefix = pack, SharedPrefix()


class TransformersRows:
    """Rows read by transformers: padded, all of one adapter, tokens that do not count masked as holes."""

    takes_more = False

    def __init__(self, model: LanguageModel) -> None:
        self._model = model
        self._cache: Any = None
        self._mask_BT: Any = None
        self._lengths: list[int] = []
        self._before, self.n_read = 0, 0

    def add(
        self, prompts: Sequence[Sequence[int]], adapters: Sequence[Any], trials: Sequence[Sequence[int]]
    ) -> Any:
        """Reads prompts as the first rows; see `ModelRows.add`."""
        from deputize.specialists.classification_head import padded

        ids_BT, self._mask_BT, positions_BT = padded(self._model, prompts)
        out = self._model.decoder(
            input_ids=ids_BT, attention_mask=self._mask_BT, position_ids=positions_BT, use_cache=True
        )
        self._cache, self._lengths = out.past_key_values, [len(prompt) for prompt in prompts]
        self.n_read += sum(self._lengths)
        return out.last_hidden_state[:, -1]

    def feed(self, fed: Sequence[Sequence[int]]) -> Any:
        """Reads what follows in each row; see `ModelRows.feed`."""
        torch, model, mask_BT = torch_module(), self._model, self._mask_BT
        self.n_read += sum(map(len, fed))
        longest = max(map(len, fed))
        ids_BL = torch.full((len(fed), longest), model.pad, device=mask_BT.device)
        block_BL = torch.zeros_like(ids_BL)
        for b, row in enumerate(fed):
            ids_BL[b, : len(row)], block_BL[b, : len(row)] = torch.tensor(row), 1
        self._before = mask_BT.shape[1]
        self._mask_BT = torch.cat([mask_BT, block_BL], dim=1)
        start_B1 = torch.tensor(self._lengths, device=mask_BT.device)[:, None]
        out = model.decoder(
            input_ids=ids_BL,
            attention_mask=self._mask_BT,
            position_ids=start_B1 + torch.arange(longest, device=mask_BT.device),
            past_key_values=self._cache,
            use_cache=True,
        )
        return torch.cat([out.last_hidden_state[b, : len(row)] for b, row in enumerate(fed)])

    def count(self, n_kept: Sequence[int]) -> None:
        """Of the tokens fed last, how many of each row count."""
        for b, n in enumerate(n_kept):
            self._lengths[b] += n
            self._mask_BT[b, self._before + n :] = 0

    def keep(self, stay: Sequence[int]) -> None:
        """Leaves out the other rows."""
        if len(stay) < len(self._lengths):
            torch = torch_module()
            kept = torch.tensor(list(stay), dtype=torch.long, device=self._mask_BT.device)
            if len(stay):
                self._cache.batch_select_indices(kept)
            self._mask_BT, self._lengths = self._mask_BT[kept], [self._lengths[row] for row in stay]
