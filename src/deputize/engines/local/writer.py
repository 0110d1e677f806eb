"""The generate reader: writes an answer slot by slot, greedily, in a batch, every decision inside its closed set.

Tokens that can only be one thing (the rest of a label, the break after it) are fed but never sampled, and where a
whole batch has such tokens they are fed in one pass.

Legend: B rows of a batch, T tokens, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deputize.engines.local.base import Base, torch_module
from deputize.engines.local.confidence import Sureness
from deputize.engines.local.forms import Form, Slot, Writing
from deputize.engines.local.head import batches, padded
from deputize.engines.local.reading import Reading

Trie = dict[int, Any]


def slot_ids(base: Base, text: str) -> list[int]:
    """The tokens of a slot: its text after a blank, as it would stand in running text, and the break that ends it."""
    return [*base.ids(" " + text), base.newline]


@dataclass
class _Row:
    """One answer in the making."""

    writing: Writing
    slot: Slot | None
    ids: list[int] = field(default_factory=list)
    """Tokens of the slot so far."""
    trie: Trie | None = None
    log_ps: list[float] = field(default_factory=list)
    margins: list[float] = field(default_factory=list)
    pending: list[int] = field(default_factory=list)
    """Tokens decided but not yet fed to the model."""
    n_out: int = 0
    cut: bool = False


class WriterReader:
    """Reads answers by decoding."""

    def __init__(self, base: Base, adapter: str, form: Form, max_tokens: int, max_slot_tokens: int) -> None:
        self.base, self.adapter, self.form = base, adapter, form
        self.max_tokens, self.max_slot_tokens = max_tokens, max_slot_tokens
        self._tries: dict[str, Trie] = {}

    def read(self, texts: Sequence[str], tokens: int = 4096) -> list[Reading]:
        """One reading per text, in order."""
        torch = torch_module()
        if self.adapter:
            self.base.use(self.adapter)
        prompts = self.base.prompt_ids(texts, self.max_tokens)
        out: dict[int, Reading] = {}
        with torch.inference_mode():
            for batch in batches([len(p) for p in prompts], tokens):
                with self.base.threads["read"].work(sum(len(prompts[i]) for i in batch)):
                    rows = self._write([prompts[i] for i in batch])
                for i, row in zip(batch, rows, strict=True):
                    answer = None if row.cut else row.writing.answer()
                    out[i] = Reading(answer, Sureness.of(row.log_ps, row.margins), len(prompts[i]), row.n_out)
        return [out[i] for i in range(len(texts))]

    def _write(self, prompts: list[list[int]]) -> list[_Row]:
        torch = torch_module()
        rows = [_Row(Writing(self.form), None) for _ in prompts]
        for row in rows:
            self._next_slot(row)
        live = [i for i, row in enumerate(rows) if row.slot is not None]
        if not live:
            return rows
        ids_BT, mask_BT, positions_BT = padded(self.base, [prompts[i] for i in live])
        out = self.base.lm(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            position_ids=positions_BT,
            use_cache=True,
            logits_to_keep=1,
        )
        cache, lengths = out.past_key_values, mask_BT.sum(1)
        while live:
            self._step([rows[i] for i in live], out.logits[:, -1].float())
            stay = [at for at, i in enumerate(live) if rows[i].slot is not None]
            if len(stay) < len(live):
                if not stay:
                    break
                live = [live[at] for at in stay]
                kept = torch.tensor(stay, device=mask_BT.device)
                cache.batch_select_indices(kept)
                mask_BT, lengths = mask_BT[kept], lengths[kept]
            n_feed = min(len(rows[i].pending) for i in live)
            fed = torch.tensor([rows[i].pending[:n_feed] for i in live], device=mask_BT.device)
            for i in live:
                del rows[i].pending[:n_feed]
            mask_BT = torch.cat([mask_BT, mask_BT.new_ones((len(live), n_feed))], dim=1)
            positions_BT = lengths[:, None] + torch.arange(n_feed, device=mask_BT.device)
            lengths = lengths + n_feed
            out = self.base.lm(
                input_ids=fed, attention_mask=mask_BT, position_ids=positions_BT, past_key_values=cache,
                use_cache=True, logits_to_keep=1,
            )  # fmt: skip
        return rows

    def _step(self, rows: list[_Row], logits_BV: Any) -> None:
        """Decides the next token of every row that has none pending, and all tokens that follow from it."""
        torch = torch_module()
        free = [b for b, row in enumerate(rows) if not row.pending and row.trie is None]
        if free:
            values_V = logits_BV[free].masked_fill(self.base.banned, float("-inf"))
            top = torch.topk(values_V, 2, dim=-1)
            all_log = torch.logsumexp(values_V, dim=-1)
            for at, b in enumerate(free):
                first, second = top.values[at].tolist()
                self._take(rows[b], int(top.indices[at, 0]), first - float(all_log[at]), first - second)
        for b, row in enumerate(rows):
            if row.pending or row.trie is None or b in free:
                continue
            allowed = list(row.trie)
            log_p = torch.log_softmax(logits_BV[b, allowed], dim=-1)
            ranked = torch.sort(log_p, descending=True)
            margin = float(ranked.values[0] - ranked.values[1]) if len(allowed) > 1 else 30.0
            self._take(row, allowed[int(ranked.indices[0])], float(ranked.values[0]), margin)

    def _take(self, row: _Row, token: int, log_p: float, margin: float) -> None:
        assert row.slot is not None
        if row.slot.role != "free":
            row.log_ps.append(log_p)
            row.margins.append(margin)
        self._append(row, token)
        while row.slot is not None and row.trie is not None and len(row.trie) == 1:
            self._append(row, next(iter(row.trie)))

    def _append(self, row: _Row, token: int) -> None:
        row.pending.append(token)
        row.n_out += 1
        if token != self.base.newline:
            row.ids.append(token)
            row.trie = row.trie[token] if row.trie is not None else None
            if len(row.ids) >= self.max_slot_tokens and row.trie is None:
                row.cut, row.slot = True, None
            return
        text = self.base.tokenizer.decode(row.ids, clean_up_tokenization_spaces=False)
        row.writing.put(text.removeprefix(" "))
        self._next_slot(row)

    def _next_slot(self, row: _Row) -> None:
        row.slot, row.ids = row.writing.slot(), []
        row.trie = self._trie(row.slot) if row.slot is not None and row.slot.role == "decision" else None

    def _trie(self, slot: Slot) -> Trie:
        key = "\n".join(slot.choices)
        if key not in self._tries:
            root: Trie = {}
            for text in slot.choices:
                at = root
                for token in slot_ids(self.base, text):
                    at = at.setdefault(token, {})
            self._tries[key] = root
        return self._tries[key]
