"""Hidden states of training examples, with the output of the frozen lower layers computed once and kept.

Legend: B examples of a batch, T tokens, H width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from deputize.specialists.classification_head import padded
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune.encode import EncodedExample


def untuned_states(base: LanguageModel, rows: Sequence[EncodedExample]) -> Any:
    """The output [B, T, H] of the decoder without its adapters, left-padded, without a gradient."""
    with torch_module().no_grad(), base.without_adapters():
        return states_of(base, rows)


def states_of(base: LanguageModel, rows: Sequence[EncodedExample]) -> Any:
    """The output [B, T, H] of the decoder for any examples, left-padded."""
    ids_BT, mask_BT, positions_BT = padded(base, [r.ids for r in rows])
    base.attention_for(ids_BT.shape[1])
    out = base.decoder(input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False)
    return out.last_hidden_state


class HiddenStates:
    """The decoder's output for examples of train."""

    def __init__(
        self, base: LanguageModel, train: Sequence[EncodedExample], first_layer: int, cache_gb: float
    ) -> None:
        """
        Args:
            base: the model.
            train: examples, by whose index outputs are kept.
            first_layer: the lowest layer that is trained; 0: nothing is kept.
            cache_gb: most memory for what is kept.
        """
        self.base, self.train, self.first_layer = base, train, first_layer
        n_bytes = sum(len(r) for r in train) * base.width * (2 if base.dtype == "bf16" else 4)
        keeps = first_layer > 0 and n_bytes <= cache_gb * 1e9 and self._splits_exactly()
        self._lower: dict[int, Any] | None = {} if keeps else None
        """Per example the output [T, H] of the layers below the first trained one; None: not kept."""

    def of_rows(self, rows: Sequence[EncodedExample]) -> Any:
        """The output [B, T, H] for any examples, left-padded."""
        return states_of(self.base, rows)

    def of_train(self, indices: Sequence[int]) -> Any:
        """The output [B, T, H] for examples of train by index, left-padded."""
        rows = [self.train[i] for i in indices]
        if self._lower is None:
            return self.of_rows(rows)
        torch = torch_module()
        ids_BT, mask_BT, positions_BT = padded(self.base, [r.ids for r in rows])
        self.base.attention_for(ids_BT.shape[1])
        missing = [i for i in indices if i not in self._lower]
        if missing:
            self._fill(missing)
        kept = [self._lower[i] for i in indices]
        states_BTH = torch.zeros(
            (*ids_BT.shape, self.base.width), dtype=kept[0].dtype, device=self.base.device
        )
        for b, state in enumerate(kept):
            states_BTH[b, -state.shape[0] :] = state.to(self.base.device)
        with self._only(self.first_layer, None):
            out = self.base.decoder(
                inputs_embeds=states_BTH, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False
            )
        return out.last_hidden_state

    def clear(self) -> None:
        """Frees what was kept."""
        self._lower = None

    def _splits_exactly(self) -> bool:
        """True where running the lower layers and then the upper ones is the same as running all (not in every
        model)."""
        torch = torch_module()
        if not hasattr(self.base.decoder, "layers") or not hasattr(self.base.decoder, "norm"):
            return False
        first = self.first_layer
        ids_BT, mask_BT, positions_BT = padded(self.base, [r.ids for r in self.train[:2]])
        shared = {"attention_mask": mask_BT, "position_ids": positions_BT, "use_cache": False}
        with torch.inference_mode():
            whole = self.base.decoder(input_ids=ids_BT, **shared).last_hidden_state[:, -1].float()
            with self._only(0, first):
                lower = self.base.decoder(input_ids=ids_BT, **shared).last_hidden_state
            with self._only(first, None):
                parts = self.base.decoder(inputs_embeds=lower, **shared).last_hidden_state[:, -1].float()
        return bool(torch.allclose(whole, parts, rtol=1e-3, atol=1e-3))

    def _fill(self, indices: Sequence[int]) -> None:
        assert self._lower is not None
        torch = torch_module()
        rows = [self.train[i].ids for i in indices]
        ids_BT, mask_BT, positions_BT = padded(self.base, rows)
        with torch.no_grad(), self._only(0, self.first_layer):
            out = self.base.decoder(
                input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False
            ).last_hidden_state
        for b, i in enumerate(indices):
            self._lower[i] = out[b, out.shape[1] - len(self.train[i]) :].clone().cpu()

    @contextmanager
    def _only(self, start: int, stop: int | None) -> Iterator[None]:
        """The decoder cut to some of its layers; without the last norm where the top is cut off."""
        torch = torch_module()
        decoder = self.base.decoder
        layers, norm = decoder.layers, decoder.norm
        decoder.layers = torch.nn.ModuleList(layers[start:stop])
        if stop is not None:
            decoder.norm = torch.nn.Identity()
        try:
            yield
        finally:
            decoder.layers, decoder.norm = layers, norm
