"""The layers of a Llama model, read without transformers: tokens of many rows in one pass without padding, adapters
mixed.

On a CPU a pass over one token is two thirds Python and one third arithmetic in transformers; here it is mostly
arithmetic. The weights are those of the loaded model, read where they stand. Each token is computed by the same
products whatever else is in the pass, so that in bf16 with oneDNN an answer does not depend on its company;
`is_the_same_in_company` tries that on this machine before anyone relies on it.

Legend: N tokens of a pass, B rows, Q tokens of the row that has most, T tokens in the cache, H width, K heads of keys,
G heads of queries, D width of a head.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Any

from deputize.specialists.adapter_pack import (
    AdapterPack,
    AdapterPlaces,
    joined,
    pack_adapter,
    random_pack,
    why_no_pack,
)
from deputize.specialists.torch_runtime import torch_module

log = logging.getLogger("deputize.engine")

BLOCK = 64
"""Tokens by which the cache grows: attention sums over whole blocks, so its order does not depend on the length."""
QUERIES = 512
"""Tokens of a row whose attention is computed at once, for the memory that it takes."""
_ROPES = ("default", "linear", "llama3")
_JOINED_KEPT = 4
TRIED_LAYERS, TRIAL_S = 4, 20.0
"""Layers that the trial of company reads with, and the seconds that it may take."""


def why_no_stack(lm: Any, *, quantized: bool) -> str:
    """Why the layers of a model of transformers cannot be read here; "" where they can."""
    config = lm.config
    if config.model_type != "llama" or quantized:
        return "it is no Llama model in 16 or 32 bits"
    rope = getattr(config, "rope_parameters", None) or {}
    if config.hidden_act != "silu" or rope.get("rope_type", "default") not in _ROPES:
        return "its activation or its positions are of another kind"
    return ""


def linear(x_NI: Any, weight_OI: Any, bias_O: Any = None) -> Any:
    """A product that gives each row the same bits whatever the number of rows: of one alone oneDNN sums in another
    order."""
    torch = torch_module()
    if x_NI.shape[0] == 1:
        return torch.nn.functional.linear(x_NI.expand(2, -1), weight_OI, bias_O)[:1]
    return torch.nn.functional.linear(x_NI, weight_OI, bias_O)


class LlamaStack:
    """Reads tokens with the weights of a loaded model."""

    def __init__(self, lm: Any) -> None:
        """
        Args:
            lm: a model of transformers, for which `why_no_stack` has nothing to say.
        """
        torch = torch_module()
        self.lm = lm
        config = lm.config
        self.n_heads, self.n_key_heads = int(config.num_attention_heads), int(config.num_key_value_heads)
        self.head_width = int(getattr(config, "head_dim", None) or config.hidden_size // self.n_heads)
        self.eps = float(config.rms_norm_eps)
        like = lm.get_input_embeddings().weight
        self.device = str(like.device)
        places_1T = torch.arange(int(config.max_position_embeddings), device=self.device)[None]
        with torch.inference_mode():
            cos_1TD, sin_1TD = lm.base_model.rotary_emb(like, places_1T)
        self._cos_TD, self._sin_TD = cos_1TD[0], sin_1TD[0]
        self._joined: dict[tuple[int, ...], tuple[tuple[AdapterPack, ...], AdapterPack]] = {}
        self._most_layers: int | None = None

    @property
    def layers(self) -> Sequence[Any]:
        return self.lm.base_model.layers[: self._most_layers]  # type: ignore[no-any-return]

    def pack(self, adapter: str) -> AdapterPack | None:
        """An adapter as its weights are now; None for "", the base alone."""
        return pack_adapter(self.layers, adapter) if adapter else None

    def why_no_pack(self, adapter: str) -> str:
        """Why a loaded adapter cannot be read here; "" where it can."""
        return why_no_pack(self.layers, adapter) if adapter else ""

    def read(
        self, fed: Sequence[Sequence[int]], cache: KeyValueCache, packs: Sequence[AdapterPack | None]
    ) -> Any:
        """Hidden states after the last norm of every token fed, row by row, [N, H].

        Args:
            fed: for each row of the cache the tokens that follow.
            cache: of the rows; takes their keys and values, but not yet their lengths.
            packs: the adapter of each row; all or none have one.
        """
        torch = torch_module()
        device = self.device
        place = _Pass(fed, cache, device)
        places, pack = self._adapters(fed, packs)
        x_NH = torch.nn.functional.embedding(place.ids_N, self.lm.get_input_embeddings().weight)
        cos_N1D, sin_N1D = self._cos_TD[place.at_N][:, None], self._sin_TD[place.at_N][:, None]
        for number, layer in enumerate(self.layers):
            adds = pack.layers[number] if pack is not None else {}
            h_NH = self._norm(layer.input_layernorm, x_NH)
            q, k, v = self._project(
                layer.self_attn, ("q_proj", "k_proj", "v_proj"), h_NH, adds.get("qkv"), places
            )
            q_NGD = _turned(q.view(-1, self.n_heads, self.head_width), cos_N1D, sin_N1D)
            k_NKD = _turned(k.view(-1, self.n_key_heads, self.head_width), cos_N1D, sin_N1D)
            cache.put(number, place, k_NKD, v.view_as(k_NKD))
            read_NH = self._attend(number, place, cache, q_NGD)
            (out_NH,) = self._project(layer.self_attn, ("o_proj",), read_NH, adds.get("o"), places)
            x_NH = x_NH + out_NH
            h_NH = self._norm(layer.post_attention_layernorm, x_NH)
            gate, up = self._project(layer.mlp, ("gate_proj", "up_proj"), h_NH, adds.get("gate_up"), places)
            inner = torch.nn.functional.silu(gate) * up
            (out_NH,) = self._project(layer.mlp, ("down_proj",), inner, adds.get("down"), places)
            x_NH = x_NH + out_NH
        return self._norm(self.lm.base_model.norm, x_NH)

    def _adapters(
        self, fed: Sequence[Sequence[int]], packs: Sequence[AdapterPack | None]
    ) -> tuple[AdapterPlaces | None, AdapterPack | None]:
        """Where the tokens of each adapter stand, and the adapters as one pack."""
        found = {id(pack): pack for pack in packs if pack is not None}
        if not found:
            return None, None
        order = {key: at for at, key in enumerate(sorted(found))}
        adapter_N = [order[id(pack)] for row, pack in zip(fed, packs, strict=True) for _ in row]
        places = AdapterPlaces(adapter_N, len(found), self.device)
        if len(found) == 1:
            return places, next(iter(found.values()))
        key = tuple(sorted(found))
        if key not in self._joined:
            while len(self._joined) >= _JOINED_KEPT:
                self._joined.pop(next(iter(self._joined)))
            parts = tuple(found[one] for one in key)
            # the parts are kept as well, so that none of their ids is given to another pack
            self._joined[key] = parts, joined(parts)
        return places, self._joined[key][1]

    def _project(
        self, block: Any, names: Sequence[str], x: Any, weights: Any, places: AdapterPlaces | None
    ) -> list[Any]:
        """The outputs of projections of one input, with what the adapters add."""
        modules = [getattr(block, name) for name in names]
        modules = [getattr(module, "base_layer", module) for module in modules]
        out = [linear(x, module.weight, module.bias) for module in modules]
        if weights is not None and places is not None:
            added = places.product(x, weights).split([one.shape[1] for one in out], dim=1)
            out = [one + more for one, more in zip(out, added, strict=True)]
        return out

    def _attend(self, number: int, place: _Pass, cache: KeyValueCache, q_NGD: Any) -> Any:
        torch = torch_module()
        n_rows = len(place.lengths)
        if place.is_even:
            q_BGQD = q_NGD.view(n_rows, -1, self.n_heads, self.head_width).transpose(1, 2)
        else:
            grid = q_NGD.new_zeros(n_rows, place.most, self.n_heads, self.head_width)
            grid[place.row_N, place.column_N] = q_NGD
            q_BGQD = grid.transpose(1, 2)
        keys_BKTD, values_BKTD = cache.of(number, place)
        out_BGQD = torch.cat(
            [
                self._weighed(
                    q_BGQD[:, :, at : at + QUERIES],
                    keys_BKTD,
                    values_BKTD,
                    place.mask_B1QT[:, :, at : at + QUERIES],
                )
                for at in range(0, place.most, QUERIES)
            ],
            dim=2,
        )
        out_BQGD = out_BGQD.transpose(1, 2)
        read = out_BQGD.flatten(0, 1) if place.is_even else out_BQGD[place.row_N, place.column_N]
        return read.reshape(read.shape[0], -1)

    def _weighed(self, q_BGQD: Any, keys_BKTD: Any, values_BKTD: Any, mask_B1QT: Any) -> Any:
        """Attention in plain products: torch's own kernel sums in another order for one query than for several."""
        torch = torch_module()
        n_rows, _, n_queries, width = q_BGQD.shape
        folded = q_BGQD.reshape(n_rows, self.n_key_heads, -1, width)
        scores = torch.matmul(folded, keys_BKTD.transpose(2, 3)).float() * width**-0.5
        scores = scores.view(n_rows, self.n_key_heads, -1, n_queries, keys_BKTD.shape[2]) + mask_B1QT[:, None]
        weights = torch.softmax(scores, dim=-1).to(values_BKTD.dtype).flatten(2, 3)
        return torch.matmul(weights, values_BKTD).view(n_rows, self.n_heads, n_queries, width)

    def _norm(self, module: Any, x: Any) -> Any:
        return torch_module().nn.functional.rms_norm(x, (x.shape[-1],), module.weight, self.eps)

    @cached_property
    def is_the_same_in_company(self) -> bool:
        """True where a trial on this machine gives the same bits for tokens alone, in company, and after a prefix that
        is in the cache: with and without adapters, on one thread and on as many as are set now, which the worker
        changes between.

        It is made while specialists are loaded and somebody may wait, so on the first layers only, whose products are
        those of all; where it takes longer than TRIAL_S it has not shown it, and answers are written alone.
        """
        until = time.monotonic() + TRIAL_S
        few = copy.copy(self)
        few._joined, few._most_layers = {}, TRIED_LAYERS
        same = few._is_same_in_trials(until)
        if time.monotonic() > until:
            log.warning("whether answers are the same in company was not found out in %g s", TRIAL_S)
        return same

    def _is_same_in_trials(self, until: float) -> bool:
        torch = torch_module()
        random = torch.Generator().manual_seed(0)
        rows = [
            torch.randint(0, self.lm.config.vocab_size, (n,), generator=random).tolist()
            for n in (3, 17, 40, 5, 23, 9)
        ]
        one, two = (random_pack(self.layers, rank, rank) for rank in (8, 24))
        most = torch.get_num_threads()
        try:
            return all(
                self._is_same(rows, packs, sorted({1, most}), until) for packs in ([None] * 6, [one, two] * 3)
            )
        finally:
            torch.set_num_threads(most)

    def _is_same(
        self,
        rows: Sequence[list[int]],
        packs: Sequence[AdapterPack | None],
        threads: Sequence[int],
        until: float,
    ) -> bool:
        """False, too, where the time is over."""
        torch = torch_module()
        head = self.lm.get_output_embeddings().weight
        with torch.inference_mode():
            torch.set_num_threads(threads[0])
            alone = [
                self.read([row], KeyValueCache(self), [pack]) for row, pack in zip(rows, packs, strict=True)
            ]
            lasts_BH = torch.stack([one[-1] for one in alone])
            scores_1V = linear(lasts_BH[:1], head)
            for n_threads in threads:
                if time.monotonic() > until:
                    return False
                torch.set_num_threads(n_threads)
                cache = KeyValueCache(self)
                together = self.read(rows, cache, packs)
                cache.lengths = [len(row) - 2 for row in rows]
                after = self.read([row[-2:] for row in rows], cache, packs)
                if not (
                    torch.equal(together, torch.cat(alone))
                    and torch.equal(after, torch.cat([one[-2:] for one in alone]))
                    and torch.equal(linear(lasts_BH, head)[:1], scores_1V)
                ):
                    return False
        return True


class _Pass:
    """The places of the tokens of one pass."""

    def __init__(self, fed: Sequence[Sequence[int]], cache: KeyValueCache, device: str) -> None:
        torch = torch_module()
        cache.make_room([len(row) for row in fed])
        self.lengths = [len(row) for row in fed]
        self.most = max(self.lengths)
        self.is_even = min(self.lengths) == self.most
        before = cache.lengths
        self.ids_N = torch.tensor([token for row in fed for token in row], device=device)
        self.row_N = torch.tensor([b for b, n in enumerate(self.lengths) for _ in range(n)], device=device)
        self.column_N = torch.tensor([c for n in self.lengths for c in range(n)], device=device)
        self.at_N = torch.tensor(
            [before[b] + c for b, n in enumerate(self.lengths) for c in range(n)], device=device
        )
        longest = max(n + more for n, more in zip(before, self.lengths, strict=True))
        self.reach = -(-longest // BLOCK) * BLOCK
        """Tokens of the cache that are looked at: whole blocks."""
        start_B1 = torch.tensor(before, device=device)[:, None]
        until_BQ = start_B1 + torch.arange(self.most, device=device)
        hidden_BQT = torch.arange(self.reach, device=device) > until_BQ[..., None]
        self.mask_B1QT = torch.zeros(hidden_BQT.shape, device=device).masked_fill_(hidden_BQT, float("-inf"))[
            :, None
        ]


class KeyValueCache:
    """Keys and values of the rows that are being read, each row from the left; room is made ahead in whole blocks."""

    def __init__(self, stack: LlamaStack) -> None:
        self._stack = stack
        self.lengths: list[int] = []
        """Per row the tokens that count."""
        self.keys: Any = None
        self.values: Any = None
        """[layers, rows, K, T, D]."""

    def make_room(self, more: Sequence[int]) -> None:
        """Room for so many further tokens of each row; rows that are not there yet begin empty."""
        self.lengths += [0] * (len(more) - len(self.lengths))
        need = max(n + m for n, m in zip(self.lengths, more, strict=True))
        n_rows, n_tokens = (self.keys.shape[1], self.keys.shape[3]) if self.keys is not None else (0, 0)
        if len(more) <= n_rows and need <= n_tokens:
            return
        rows = max(n_rows, len(more)) if len(more) <= n_rows else max(len(more), 2 * n_rows)
        tokens = max(n_tokens, -(-(need + BLOCK) // BLOCK) * BLOCK)
        self.keys, self.values = (
            self._larger(self.keys, rows, tokens),
            self._larger(self.values, rows, tokens),
        )

    def _larger(self, old: Any, rows: int, tokens: int) -> Any:
        torch, stack = torch_module(), self._stack
        weight = stack.lm.get_input_embeddings().weight
        shape = (len(stack.layers), rows, stack.n_key_heads, tokens, stack.head_width)
        # zeros: what is masked is multiplied with nothing, which does not help against a NaN
        fresh = torch.zeros(shape, dtype=weight.dtype, device=weight.device)
        if old is not None:
            fresh[:, : old.shape[1], :, : old.shape[3]] = old
        return fresh

    def put(self, layer: int, place: _Pass, k_NKD: Any, v_NKD: Any) -> None:
        """Keeps keys and values of the tokens of a pass."""
        self.keys[layer][place.row_N, :, place.at_N] = k_NKD
        self.values[layer][place.row_N, :, place.at_N] = v_NKD

    def of(self, layer: int, place: _Pass) -> tuple[Any, Any]:
        """Keys and values of a layer as far as a pass looks, [B, K, T, D] each."""
        n_rows = len(place.lengths)
        return self.keys[layer][:n_rows, :, : place.reach], self.values[layer][:n_rows, :, : place.reach]

    def tail(self, first: int) -> KeyValueCache:
        """The rows from `first` on, in the same memory."""
        rows = KeyValueCache(self._stack)
        rows.lengths = self.lengths[first:]
        rows.keys, rows.values = self.keys[:, first:], self.values[:, first:]
        return rows

    def prefix(self, row: int, n: int) -> tuple[Any, Any]:
        """A copy of the first n keys and values of a row, [layers, K, n, D] each."""
        return self.keys[:, row, :, :n].clone(), self.values[:, row, :, :n].clone()

    def begin(self, row: int, prefix: tuple[Any, Any], n: int) -> None:
        """Gives an empty row the first n keys and values of a prefix."""
        self.keys[:, row, :, :n], self.values[:, row, :, :n] = prefix[0][:, :, :n], prefix[1][:, :, :n]
        self.lengths[row] = n

    def keep(self, stay: Sequence[int]) -> None:
        """Leaves out the other rows; `stay` is in ascending order."""
        for to, row in enumerate(stay):
            if to != row:
                n = -(-self.lengths[row] // BLOCK) * BLOCK
                self.keys[:, to, :, :n], self.values[:, to, :, :n] = (
                    self.keys[:, row, :, :n],
                    self.values[:, row, :, :n],
                )
        self.lengths = [self.lengths[row] for row in stay]


def _turned(x_NGD: Any, cos_N1D: Any, sin_N1D: Any) -> Any:
    """Rotary positions: the two halves of a head are turned against each other."""
    torch = torch_module()
    first, second = x_NGD.chunk(2, dim=-1)
    return x_NGD * cos_N1D + torch.cat((-second, first), dim=-1) * sin_N1D
